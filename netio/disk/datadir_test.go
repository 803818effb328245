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
