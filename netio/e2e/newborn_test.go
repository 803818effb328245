package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A member of a running cluster whose data directory is gone must not start as if it were new: it has promised things that it can't remember.
func TestWipedMember_IsRefusedAndComesBackWithItsData(t *testing.T) {
	t.Parallel()
	ownFiles(t)
	c := startCluster(t, 3)
	acked := putSome(t, c, "before", 20)
	leader := c.leader()
	wiped, other := c.others(leader)[0], c.others(leader)[1]
	wiped.kill()
	kept := wiped.dir + ".kept"
	if err := os.Rename(wiped.dir, kept); err != nil {
		t.Fatal(err)
	}
	for range 2 { // what the first start has left behind changes nothing
		wiped.start()
		state := wiped.awaitExit(time.Minute)
		if state.ExitCode() != 1 {
			t.Errorf("it ended with %v, want exit code 1", state)
		}
	}
	text := wiped.logText()
	if !strings.Contains(text, "has already been bootstrapped") || !strings.Contains(text, "Put its data directory back") {
		t.Errorf("it does not say what is wrong and what to do:\n%s", text)
	}
	if strings.Contains(text, "goroutine ") {
		t.Errorf("a stack is in the log:\n%s", text)
	}
	// The others go on.
	for k, v := range putThrough(t, newClient(t, leader, other), "meanwhile", 20) {
		acked[k] = v
	}
	if err := os.RemoveAll(wiped.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(kept, wiped.dir); err != nil {
		t.Fatal(err)
	}
	wiped.start()
	wiped.awaitServing()
	// A majority rests on it.
	leader.kill()
	c.leader()
	for k, v := range putThrough(t, newClient(t, wiped, other), "after", 20) {
		acked[k] = v
	}
	leader.start()
	c.awaitServing()
	equalMembers(t, c, acked)
}

// A data directory that was put back from an old copy lacks what the member had acknowledged since. Its leader knows.
func TestOldCopy_EndsTheMemberWithWords(t *testing.T) {
	t.Parallel()
	ownFiles(t)
	c := startCluster(t, 3)
	acked := putSome(t, c, "before", 20)
	leader := c.leader()
	old := c.others(leader)[0]
	old.kill()
	copied, kept := old.dir+".copy", old.dir+".kept"
	if err := os.CopyFS(copied, os.DirFS(old.dir)); err != nil {
		t.Fatal(err)
	}
	old.start()
	old.awaitServing()
	for k, v := range putSome(t, c, "since", 20) {
		acked[k] = v
	}
	equalMembers(t, c, acked)
	swap := func(in, out string) {
		t.Helper()
		old.kill()
		if err := os.Rename(old.dir, out); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(in, old.dir); err != nil {
			t.Fatal(err)
		}
	}
	term := func() uint64 {
		s, err := leader.status()
		if err != nil {
			return 0
		}
		return s.RaftTerm
	}
	before := term()
	swap(copied, kept)
	old.start()
	for ended := false; !ended; {
		select {
		case <-old.exited:
			ended = true
		case <-time.After(10 * time.Millisecond):
			if term() != before {
				t.Skip("the machine is so busy that there was an election: a new leader does not know what the member had acknowledged")
			}
		}
	}
	if state := old.awaitExit(time.Minute); state.ExitCode() != 1 {
		t.Errorf("it ended with %v, want exit code 1", state)
	}
	if text := old.logText(); !strings.Contains(text, "acknowledged data is missing") || !strings.Contains(text, "put the right data directory back") ||
		strings.Contains(text, "goroutine ") {
		t.Errorf("it does not say what is wrong and what to do, or shows a stack:\n%s", text)
	}
	swap(kept, copied)
	old.start()
	c.awaitServing()
	equalMembers(t, c, acked)
}

// Of a new cluster of three, two are enough to begin; the third comes when it comes.
func TestLateMember_JoinsAndIsWorthAsMuchAsTheOthers(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	late := c.members[2]
	for _, m := range c.members[:2] {
		m.start()
	}
	for _, m := range c.members[:2] {
		m.awaitServing()
	}
	acked := putThrough(t, newClient(t, c.members[:2]...), "early", 50)
	late.start()
	late.awaitServing()
	c.members[0].kill()
	for k, v := range putThrough(t, newClient(t, c.members[1:]...), "later", 20) {
		acked[k] = v
	}
	late.kill()
	late.start()
	c.members[0].start()
	c.awaitServing()
	equalMembers(t, c, acked)
}

// A member that waits for the others says so, and is stopped like any other.
func TestLoneFounder_WaitsAndSaysWhatFor(t *testing.T) {
	t.Parallel()
	ownFiles(t)
	c := newCluster(t, 3)
	lone := c.members[0]
	lone.start()
	eventually(t, "it says what it waits for", func() error {
		if !strings.Contains(lone.logText(), "it waits for more of the other members to answer") {
			return fmt.Errorf("not in its log:\n%s", lone.logTail())
		}
		return nil
	})
	lone.signal(os.Interrupt)
	if state := lone.awaitExit(time.Minute); state.ExitCode() != 0 {
		t.Errorf("asked to stop, it ended with %v", state)
	}
	if _, err := os.Stat(filepath.Join(lone.dir, "member")); err != nil {
		t.Error(err)
	}
	for _, m := range c.members {
		m.start()
	}
	c.awaitServing()
}

// putThrough puts n keys through a client and returns them.
func putThrough(t *testing.T, client *clientv3.Client, prefix string, n int) map[string]string {
	t.Helper()
	acked := map[string]string{}
	for i := range n {
		k, v := fmt.Sprintf("%s/%04d", prefix, i), fmt.Sprintf("value of %d", i)
		eventually(t, "a put is acknowledged", func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			_, err := client.Put(ctx, k, v)
			return err
		})
		acked[k] = v
	}
	return acked
}
