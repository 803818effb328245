package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// putSome puts n keys one after the other, each synced by itself, and returns them.
func putSome(t *testing.T, c *cluster, prefix string, n int) map[string]string {
	t.Helper()
	client := newClient(t, c.members...)
	acked := map[string]string{}
	for i := range n {
		key, value := fmt.Sprintf("%s/%04d", prefix, i), fmt.Sprintf("value of %d", i)
		if _, err := client.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
		acked[key] = value
	}
	return acked
}

// tree returns what is in a directory: path to size, time of change and digest.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		files[path] = fmt.Sprintf("%d bytes, %v, %x", info.Size(), info.ModTime(), sha256.Sum256(data))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// sameTree compares two results of tree.
func sameTree(t *testing.T, what string, before, after map[string]string) {
	t.Helper()
	for path, was := range before {
		if is := after[path]; is != was {
			t.Errorf("%s: %s was %s, is %q", what, path, was, is)
		}
	}
	for path := range after {
		if _, ok := before[path]; !ok {
			t.Errorf("%s: %s is new", what, path)
		}
	}
}

// refuses starts a member and checks that it ends by itself, with an exit code and with the words given in its log.
func refuses(t *testing.T, m *member, words ...string) {
	t.Helper()
	skip := len(m.logText())
	m.start()
	state := m.awaitExit(30 * time.Second)
	if state.ExitCode() == 0 {
		t.Errorf("%s ended with exit code 0", m.name)
	}
	said := m.logText()[min(skip, len(m.logText())):]
	for _, word := range words {
		if !regexp.MustCompile(word).MatchString(said) {
			t.Errorf("%s does not say %q but\n%s", m.name, word, said)
		}
	}
}

// flip inverts one bit of a file.
func flip(t *testing.T, path string, offset int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, offset); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b, offset); err != nil {
		t.Fatal(err)
	}
}

// find returns the file below dir and the offset in it that hold a text.
func find(t *testing.T, dir, text string) (path string, offset int64) {
	t.Helper()
	for name := range tree(t, dir) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if i := bytes.Index(data, []byte(text)); i >= 0 {
			return name, int64(i)
		}
	}
	t.Fatalf("%q is in no file below %s", text, dir)
	return "", 0
}

func TestWALByteChanged_RefusesToStartAndLosesNothing(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	m := c.members[0]
	acked := putSome(t, c, "wal", 100)
	m.kill()
	path, offset := find(t, filepath.Join(m.dir, "member", "wal"), "wal/0050")
	flip(t, path, offset)
	if stockEtcd {
		refuses(t, m)
	} else {
		before := tree(t, filepath.Join(m.dir, "member"))
		refuses(t, m, regexp.QuoteMeta(filepath.Base(path)), `offset \d+`, "(?i)corrupt")
		sameTree(t, "after a refused start", before, tree(t, filepath.Join(m.dir, "member")))
	}
	flip(t, path, offset)
	m.start()
	m.awaitServing()
	equalMembers(t, c, acked)
}

func TestSnapshotByteChanged_RefusesToStartAndLosesNothing(t *testing.T) {
	t.Parallel()
	ownFiles(t)
	c := startCluster(t, 1, "--snapshot-count", "100", "--snapshot-catchup-entries", "10")
	m := c.members[0]
	acked := putSome(t, c, "snapshot", 350)
	var files []string
	eventually(t, "there is a snapshot", func() (err error) {
		files, err = filepath.Glob(filepath.Join(m.dir, "member", "snapshot", "*.snap"))
		if err == nil && len(files) == 0 {
			err = fmt.Errorf("the directory holds %v", tree(t, filepath.Join(m.dir, "member", "snapshot")))
		}
		return err
	})
	m.kill()
	files, err := filepath.Glob(filepath.Join(m.dir, "member", "snapshot", "*.snap"))
	if err != nil || len(files) == 0 {
		t.Fatalf("snapshots: %v, %v", files, err)
	}
	for _, path := range files {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		flip(t, path, info.Size()/2)
		defer flip(t, path, info.Size()/2)
	}
	refuses(t, m, `\.snap`, `offset \d+`, "(?i)corrupt")
	for _, path := range files {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatalf("the damaged snapshot is gone: %v", err)
		}
		flip(t, path, info.Size()/2)
		defer flip(t, path, info.Size()/2)
	}
	m.start()
	m.awaitServing()
	equalMembers(t, c, acked)
}

func TestWALTornTail_StartsWithAllThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	ownFiles(t)
	c := startCluster(t, 1)
	m := c.members[0]
	acked := putSome(t, c, "torn", 50)
	garbage := bytes.Repeat([]byte{0xA7, 0x13, 0x5C}, 100)
	for i, tear := range []struct {
		name string
		tear func(f *os.File, end int64) error
	}{
		{"half a record", func(f *os.File, end int64) error {
			_, err := f.WriteAt(garbage, end)
			return err
		}},
		{"half a record beyond a hole", func(f *os.File, end int64) error {
			_, err := f.WriteAt(garbage, end+4096)
			return err
		}},
	} {
		m.kill()
		segments, err := filepath.Glob(filepath.Join(m.dir, "member", "wal", "*.log"))
		if err != nil || len(segments) == 0 {
			t.Fatalf("%s: segments %v, %v", tear.name, segments, err)
		}
		path := segments[len(segments)-1]
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		end := int64(len(bytes.TrimRight(data, "\x00"))+7) &^ 7 // records begin at multiples of 8
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := tear.tear(f, end); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		m.start()
		m.awaitServing()
		for key, value := range putSome(t, c, fmt.Sprintf("after%d", i), 20) {
			acked[key] = value
		}
		equalMembers(t, c, acked)
	}
}

func TestDataDir_SecondProcessIsRefused(t *testing.T) {
	t.Parallel()
	ownFiles(t) // stock etcd waits for the lock instead
	c := startCluster(t, 1)
	second := newCluster(t, 1).members[0]
	second.flags = append(second.flags, "--data-dir", c.members[0].dir)
	refuses(t, second, "in use by another process", regexp.QuoteMeta(c.members[0].dir))
	equalMembers(t, c, putSome(t, c, "first", 3))
}

func TestDataDir_OfStockEtcdIsRefusedAndUntouched(t *testing.T) {
	t.Parallel()
	ownFiles(t)
	m := newCluster(t, 1).members[0]
	for _, name := range []string{"member/snap/db", "member/wal/0000000000000000-0000000000000000.wal", "member/wal/0.tmp"} {
		path := filepath.Join(m.dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("what etcd wrote in "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := tree(t, m.dir)
	refuses(t, m, "etcd", "detcdctl make-mirror", regexp.QuoteMeta(m.dir))
	sameTree(t, "after a refused start", before, tree(t, m.dir))
	// Its directories are as they were, too: nothing was added beside what tree lists.
	entries, err := os.ReadDir(m.dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory now holds %v, %v", entries, err)
	}
}

func TestDataDir_IsPrivate(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	info, err := os.Stat(c.members[0].dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the data directory has permissions %04o", info.Mode().Perm())
	}
}

func TestNormalWork_LogsNoErrors(t *testing.T) {
	ownFiles(t)
	c := startCluster(t, 3)
	putSome(t, c, "normal", 20)
	for _, m := range c.members {
		m.signal(os.Interrupt)
		m.awaitExit(30 * time.Second)
	}
	for _, m := range c.members {
		text := m.logText()
		if !strings.Contains(text, "ready to serve client requests") {
			t.Errorf("%s never said that it is ready", m.name)
		}
		for line := range strings.Lines(text) {
			if strings.Contains(line, `"level":"error"`) || strings.Contains(line, "removed from") {
				t.Errorf("%s: %s", m.name, line)
			}
		}
	}
}
