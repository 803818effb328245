package e2e

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A member never forgets that it lived, nor believes a log that is shorter than it was. Each of these once started, served less than it had
// acknowledged, and said that it is healthy.

// putMany puts n keys of a kilobyte each, from several clients at once, and returns them.
func putMany(t *testing.T, c *cluster, prefix string, n int) map[string]string {
	t.Helper()
	acked := map[string]string{}
	var lock sync.Mutex
	var clients sync.WaitGroup
	const many = 16
	for w := range many {
		client := newClient(t, c.members...)
		clients.Go(func() {
			for i := w; i < n; i += many {
				key, value := fmt.Sprintf("%s/%05d", prefix, i), fmt.Sprintf("%d %s", i, strings.Repeat("x", 1000))
				if _, err := client.Put(t.Context(), key, value); err != nil {
					t.Error(err)
					return
				}
				lock.Lock()
				acked[key] = value
				lock.Unlock()
			}
		})
	}
	clients.Wait()
	return acked
}

// stop ends the member in good order.
func (m *member) stop() {
	m.t.Helper()
	m.signal(syscall.SIGTERM)
	m.awaitExit(30 * time.Second)
}

func (m *member) walDir() string { return filepath.Join(m.dir, "member", "wal") }

// lastSegment returns the log's newest file.
func (m *member) lastSegment() string {
	m.t.Helper()
	segments, err := filepath.Glob(filepath.Join(m.walDir(), "*.log"))
	if err != nil || len(segments) == 0 {
		m.t.Fatalf("segments: %v, %v", segments, err)
	}
	return segments[len(segments)-1]
}

// refusesUntouched checks that the member refuses to start, with the words given, and changes no file of its data directory.
func refusesUntouched(t *testing.T, m *member, words ...string) {
	t.Helper()
	before := tree(t, m.dir)
	refuses(t, m, words...)
	sameTree(t, "after a refused start", before, tree(t, m.dir))
}

func TestForget_AnEmptyLogIsNoNewMember(t *testing.T) {
	t.Parallel()
	ownFiles(t)
	for _, snapshots := range []bool{false, true} {
		flags := []string{}
		if snapshots {
			flags = []string{"--snapshot-count", "10"}
		}
		c := startCluster(t, 1, flags...)
		m := c.members[0]
		acked := putSome(t, c, "five", 5)
		if snapshots {
			acked = putSome(t, c, "five", 50)
			eventually(t, "there is a snapshot", func() error {
				files, err := filepath.Glob(filepath.Join(m.dir, "member", "snapshot", "*.snap"))
				if err == nil && len(files) == 0 {
					err = fmt.Errorf("none yet")
				}
				return err
			})
		}
		m.stop()
		aside := filepath.Join(t.TempDir(), "wal")
		missing := []string{"the log of this member is missing", regexp.QuoteMeta(m.walDir()), "mount", "--wal-dir"}
		if err := os.Rename(m.walDir(), aside); err != nil {
			t.Fatal(err)
		}
		refusesUntouched(t, m, missing...) // without its directory
		if _, err := os.Stat(m.walDir()); !os.IsNotExist(err) {
			t.Errorf("a directory was made for the log: %v", err)
		}
		if err := os.Mkdir(m.walDir(), 0o700); err != nil {
			t.Fatal(err)
		}
		refusesUntouched(t, m, missing...) // with an empty one
		member := filepath.Join(m.dir, "member")
		if err := os.Rename(member, member+"-aside"); err != nil {
			t.Fatal(err)
		}
		refusesUntouched(t, m, missing...) // without both
		if err := os.Rename(member+"-aside", member); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(m.walDir()); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(aside, m.walDir()); err != nil {
			t.Fatal(err)
		}
		m.start()
		m.awaitServing()
		equalMembers(t, c, acked)
	}
}

// The log of a member with the same flags, but another life, is not this one's.
func TestForget_ALogOfAnotherLifeIsRefused(t *testing.T) {
	t.Parallel()
	ownFiles(t)
	c := startCluster(t, 1)
	m := c.members[0]
	acked := putSome(t, c, "one", 20)
	m.stop()
	if err := os.Rename(m.dir, m.dir+"-aside"); err != nil {
		t.Fatal(err)
	}
	m.start()
	m.awaitServing()
	putSome(t, c, "other", 30)
	m.stop()
	if err := os.Rename(m.walDir(), m.dir+"-other"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(m.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(m.dir+"-aside", m.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(m.walDir(), m.dir+"-wal"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(m.dir+"-other", m.walDir()); err != nil {
		t.Fatal(err)
	}
	refusesUntouched(t, m, "(?i)corrupt", regexp.QuoteMeta(m.walDir()))
	if err := os.RemoveAll(m.walDir()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(m.dir+"-wal", m.walDir()); err != nil {
		t.Fatal(err)
	}
	m.start()
	m.awaitServing()
	equalMembers(t, c, acked)
}

// Who a member is stands in IDENTITY and in its log. A start that the log refuses writes nothing down, else the right flags would be refused, too.
func TestForget_WrongFlagsWithoutIdentityLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	ownFiles(t)
	c := startCluster(t, 1)
	m := c.members[0]
	acked := putSome(t, c, "identity", 20)
	m.stop()
	identity := filepath.Join(m.dir, "IDENTITY")
	right := m.flags
	m.flags = append(right[:len(right):len(right)], "--initial-cluster-token", "another")
	if err := os.WriteFile(identity, []byte("cluster 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	refusesUntouched(t, m, regexp.QuoteMeta(identity), "remove it")
	if err := os.Remove(identity); err != nil {
		t.Fatal(err)
	}
	refusesUntouched(t, m, "belongs to another cluster or member")
	m.flags = right
	m.start()
	m.awaitServing()
	equalMembers(t, c, acked)
}

func TestForget_AFlippedBitInTheLastRecordAtRestIsRefused(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	m := c.members[0]
	acked := putSome(t, c, "rest", 20)
	time.Sleep(3 * time.Second) // the member is at rest
	m.kill()
	path, offset := find(t, filepath.Join(m.dir, "member", "wal"), "rest/0019")
	flip(t, path, offset)
	if stockEtcd {
		refuses(t, m)
	} else {
		refusesUntouched(t, m, regexp.QuoteMeta(filepath.Base(path)), `offset \d+`, "(?i)corrupt")
	}
	flip(t, path, offset)
	m.start()
	m.awaitServing()
	equalMembers(t, c, acked)
}

func TestForget_ALogCutShortIsRefused(t *testing.T) {
	t.Parallel()
	ownFiles(t)
	c := startCluster(t, 1)
	m := c.members[0]
	acked := putMany(t, c, "cut", 2000)
	m.kill()
	path := m.lastSegment()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const from = 1_000_000
	used := bytes.TrimRight(whole, "\x00")
	if len(used) < 2*from {
		t.Fatalf("the log holds %d bytes", len(used))
	}
	zeroes := bytes.Clone(whole)
	clear(zeroes[from:])
	random := bytes.Clone(whole)
	if _, err := rand.Read(random[from:]); err != nil {
		t.Fatal(err)
	}
	some := bytes.Clone(zeroes)
	copy(some[from:], random[from:][:5000])
	for what, content := range map[string][]byte{"cut": whole[:from], "zeroes": zeroes, "random bytes": random, "random bytes, then zeroes": some,
		"the last batch": append(bytes.Clone(used[:len(used)-8]), make([]byte, len(whole)-len(used)+8)...)} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Log(what)
		refusesUntouched(t, m, regexp.QuoteMeta(filepath.Base(path)), `offset \d+`, "(?i)corrupt")
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	m.start()
	m.awaitServing()
	equalMembers(t, c, acked)
}

// A snapshot that the log goes on from and that is not there: the refusal says what can be done.
func TestForget_AMissingSnapshotNamesTheWayOut(t *testing.T) {
	t.Parallel()
	ownFiles(t)
	c := startCluster(t, 1, "--snapshot-count", "10")
	m := c.members[0]
	putSome(t, c, "snapshot", 60)
	m.stop()
	files, err := filepath.Glob(filepath.Join(m.dir, "member", "snapshot", "*.snap"))
	if err != nil || len(files) == 0 {
		t.Fatalf("snapshots: %v, %v", files, err)
	}
	for _, path := range files {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	refusesUntouched(t, m, `snap-[0-9a-f-]+\.snap`, "missing", regexp.QuoteMeta(filepath.Dir(files[0])), "put back a copy")
}

// A log may be moved to a directory of its own and back, as with stock etcd; a start that looks in the wrong place says where it is.
func TestWALDir_TheLogMayBeMoved(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	m := c.members[0]
	acked := putSome(t, c, "moved", 20)
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	flags := m.flags
	starts := func(flags []string, prefix string) {
		t.Helper()
		m.flags = flags
		m.start()
		m.awaitServing()
		for key, value := range putSome(t, c, prefix, 5) {
			acked[key] = value
		}
		equalMembers(t, c, acked)
		m.stop()
	}
	m.stop()
	if err := os.Rename(m.walDir(), elsewhere); err != nil {
		t.Fatal(err)
	}
	out := append(flags[:len(flags):len(flags)], "--wal-dir", elsewhere)
	starts(out, "out")
	starts(out, "again")
	if !stockEtcd {
		m.flags = flags
		refusesUntouched(t, m, "--wal-dir="+regexp.QuoteMeta(elsewhere))
		m.flags = append(flags[:len(flags):len(flags)], "--wal-dir", t.TempDir())
		refusesUntouched(t, m, "--wal-dir="+regexp.QuoteMeta(elsewhere))
	}
	if err := os.Rename(elsewhere, m.walDir()); err != nil {
		t.Fatal(err)
	}
	if !stockEtcd {
		m.flags = out
		refusesUntouched(t, m, regexp.QuoteMeta(m.walDir()), "without --wal-dir")
	}
	starts(flags, "back")
}

func TestDataDir_WhatIsNoDirectoryIsSaid(t *testing.T) {
	t.Parallel()
	ownFiles(t)
	m := newCluster(t, 1).members[0]
	if err := os.WriteFile(m.dir, []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(t, m, regexp.QuoteMeta(m.dir), "not a directory but a file")
	if err := os.Remove(m.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(t.TempDir(), "nowhere"), m.dir); err != nil {
		t.Fatal(err)
	}
	refuses(t, m, regexp.QuoteMeta(m.dir), "a link to .*nowhere, which does not exist")
}
