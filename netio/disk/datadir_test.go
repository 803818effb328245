package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func mustOpenDir(t *testing.T, path string, o DirOptions) *Dir {
	t.Helper()
	d, err := OpenDir(path, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// tree returns all paths below dir with their content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		content := "directory"
		if !e.IsDir() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content = string(b)
		}
		all[path] = content
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func sameTree(t *testing.T, before, after map[string]string) {
	t.Helper()
	if len(before) != len(after) {
		t.Errorf("there were %d files and directories, now %d", len(before), len(after))
	}
	for path, content := range before {
		if after[path] != content {
			t.Errorf("%s was touched", path)
		}
	}
}

func TestOpenDir_KeepsFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b.etcd")
	d := mustOpenDir(t, path, DirOptions{})
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("mode %v, error %v; want 0700", info.Mode(), err)
	}
	f, err := d.WAL().Create("w", 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = mustOpenDir(t, path, DirOptions{})
	defer d.Close()
	if names, err := d.WAL().List(); err != nil || strings.Join(names, " ") != "w" {
		t.Fatalf("WAL files %q, error %v", names, err)
	}
	if names, err := d.Snapshots().List(); err != nil || len(names) != 0 {
		t.Fatalf("snapshot files %q, error %v", names, err)
	}
	if len(d.Warnings()) != 0 {
		t.Errorf("warnings %q about a directory of our own making", d.Warnings())
	}
}

func TestOpenDir_OneProcessAtATime(t *testing.T) {
	path, wal := t.TempDir(), t.TempDir()
	d := mustOpenDir(t, path, DirOptions{WALDir: wal})
	if _, err := OpenDir(path, DirOptions{WALDir: wal}); !errors.Is(err, ErrLocked) {
		t.Fatalf("error %v, want ErrLocked", err)
	}
	if _, err := OpenDir(t.TempDir(), DirOptions{WALDir: wal}); !errors.Is(err, ErrLocked) {
		t.Fatalf("error %v, want ErrLocked for the WAL's directory", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mustOpenDir(t, path, DirOptions{WALDir: wal}).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpenDir_RefusesStockEtcd(t *testing.T) {
	for _, file := range []string{"member/snap/db", "member/wal/0000000000000000-0000000000000000.wal"} {
		path := t.TempDir()
		full := filepath.Join(path, file)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte("etcd's"), 0o600); err != nil {
			t.Fatal(err)
		}
		before := tree(t, path)
		_, err := OpenDir(path, DirOptions{})
		if !errors.Is(err, ErrStockEtcd) || !strings.Contains(err.Error(), "detcdctl make-mirror --endpoints") {
			t.Errorf("error %v, want ErrStockEtcd with the import command", err)
		}
		sameTree(t, before, tree(t, path))
	}
}

func TestOpenDir_RefusesOtherFormats(t *testing.T) {
	for name, content := range map[string]string{
		"newer":       "detcd data directory\nformat 2\nwal inside\n",
		"foreign":     "something else\n",
		"empty":       "",
		"place":       "detcd data directory\nformat 1\nwal nowhere\n",
		"member only": "-",
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			if content == "-" {
				if err := os.MkdirAll(filepath.Join(path, "member", "x"), 0o700); err != nil {
					t.Fatal(err)
				}
			} else if err := os.WriteFile(filepath.Join(path, formatName), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			before := tree(t, path)
			if _, err := OpenDir(path, DirOptions{}); !errors.Is(err, ErrFormat) {
				t.Errorf("error %v, want ErrFormat", err)
			}
			sameTree(t, before, tree(t, path))
		})
	}
}

// Leaving --wal-dir out on a restart must not look like a new member.
func TestOpenDir_RemembersWhereTheWALIs(t *testing.T) {
	for _, first := range []string{"", t.TempDir()} {
		second := ""
		if first == "" {
			second = t.TempDir()
		}
		path := t.TempDir()
		if err := mustOpenDir(t, path, DirOptions{WALDir: first}).Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenDir(path, DirOptions{WALDir: second}); !errors.Is(err, ErrWALPlace) {
			t.Errorf("error %v, want ErrWALPlace", err)
		}
		if err := mustOpenDir(t, path, DirOptions{WALDir: first}).Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenDir_WarnsOfLoosePermissions(t *testing.T) {
	path := t.TempDir()
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	d := mustOpenDir(t, path, DirOptions{})
	defer d.Close()
	if len(d.Warnings()) != 1 {
		t.Errorf("warnings %q, want one", d.Warnings())
	}
}

// segment puts something that looks like a segment of a log into a directory.
func segment(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "wal-0000000000000001.log"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// opens opens the directory, looks where it takes the log to be, and has it noted.
func opens(t *testing.T, path, walDir, want string) {
	t.Helper()
	d := mustOpenDir(t, path, DirOptions{WALDir: walDir})
	defer d.Close()
	if got := d.WAL().Dir(); got != want {
		t.Errorf("the log is taken to be in %s, not %s", got, want)
	}
	if err := d.Opened(); err != nil {
		t.Fatal(err)
	}
}

// A log may be moved out, within, and back, with either layout of --wal-dir.
func TestOpenDir_TakesALogThatWasMoved(t *testing.T) {
	path, elsewhere := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "else")
	opens(t, path, "", filepath.Join(path, "member", "wal"))
	segment(t, filepath.Join(path, "member", "wal"))
	opens(t, path, "", filepath.Join(path, "member", "wal"))

	move(t, filepath.Join(path, "member", "wal"), elsewhere)
	before := tree(t, path)
	_, err := OpenDir(path, DirOptions{WALDir: elsewhere + "-not"})
	if !errors.Is(err, ErrWALPlace) || !strings.Contains(err.Error(), filepath.Join(path, "member", "wal")) {
		t.Errorf("the wrong directory: %v", err)
	}
	sameTree(t, before, tree(t, path))
	opens(t, path, elsewhere, elsewhere)

	// What is in its place is looked for; where it was is named.
	for _, walDir := range []string{"", t.TempDir()} {
		before = tree(t, path)
		_, err = OpenDir(path, DirOptions{WALDir: walDir})
		if !errors.Is(err, ErrWALPlace) || !strings.Contains(err.Error(), "--wal-dir="+elsewhere) {
			t.Errorf("--wal-dir=%s: %v", walDir, err)
		}
		sameTree(t, before, tree(t, path))
		if walDir != "" && len(tree(t, walDir)) != 1 {
			t.Errorf("%s was touched: %v", walDir, tree(t, walDir))
		}
	}
	next := t.TempDir()
	move(t, elsewhere, filepath.Join(next, "wal"))
	opens(t, path, next, filepath.Join(next, "wal"))
	move(t, filepath.Join(next, "wal"), filepath.Join(path, "member", "wal"))
	if _, err := OpenDir(path, DirOptions{WALDir: next}); !errors.Is(err, ErrWALPlace) || !strings.Contains(err.Error(), "start without --wal-dir") {
		t.Errorf("moved back, but started as before: %v", err)
	}
	opens(t, path, "", filepath.Join(path, "member", "wal"))

	segment(t, next)
	segment(t, filepath.Join(next, "wal"))
	if _, err := OpenDir(path, DirOptions{WALDir: next}); !errors.Is(err, ErrWALPlace) {
		t.Errorf("two logs: %v", err)
	}
}

// Nothing is made where the log's directory is gone: an operator may be about to put it back.
func TestOpenDir_MakesNothingForAMissingLog(t *testing.T) {
	path, walDir := t.TempDir(), filepath.Join(t.TempDir(), "mounted")
	if err := mustOpenDir(t, path, DirOptions{WALDir: walDir}).Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(walDir); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDir(path, DirOptions{WALDir: walDir}); !errors.Is(err, ErrWALPlace) || !strings.Contains(err.Error(), walDir) {
		t.Errorf("error %v", err)
	}
	if exists(walDir) {
		t.Error("the directory of the log was made anew")
	}
	inside := t.TempDir()
	for range 2 {
		d := mustOpenDir(t, inside, DirOptions{})
		if names, err := d.WAL().List(); len(names) != 0 || err != nil || d.Lived() {
			t.Errorf("files %v, %v", names, err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if exists(filepath.Join(inside, "member")) {
			t.Error("a directory was made for files that there are not")
		}
	}
}

// What detcd 0.1.0 wrote is read, and known for what it is until the place of the log is written down.
func TestOpenDir_TakesAnEarlyDirectory(t *testing.T) {
	path, walDir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(path, formatName), []byte("detcd data directory\nformat 1\nwal outside\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	segment(t, filepath.Join(walDir, "wal"))
	d := mustOpenDir(t, path, DirOptions{WALDir: walDir})
	if !d.Early() {
		t.Error("it is not known for an early one")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	opens(t, path, walDir, filepath.Join(walDir, "wal"))
	d = mustOpenDir(t, path, DirOptions{WALDir: walDir})
	defer d.Close()
	if want := walDir + " (--wal-dir=" + walDir + ")"; d.Early() || !d.Lived() || d.LogWas() != want {
		t.Errorf("early %v, lived %v, the log was in %s", d.Early(), d.Lived(), d.LogWas())
	}
}

func TestOpenDir_SaysWhatIsNoDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(t.TempDir(), "nowhere"), link); err != nil {
		t.Skip("no links here:", err)
	}
	good := t.TempDir()
	for _, c := range []struct{ data, wal, says string }{{file, "", "a file"}, {link, "", "nowhere"}, {good, file, "a file"}, {good, link, "nowhere"}} {
		_, err := OpenDir(c.data, DirOptions{WALDir: c.wal})
		if !errors.Is(err, ErrNoDir) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s, %s: %v", c.data, c.wal, err)
		}
	}
	if len(tree(t, good)) != 1 {
		t.Errorf("made %v", tree(t, good))
	}
}
