package e2e

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// writesGoOn is the bound on how long writes may stand still when a leader is lost, with etcd's default election timeout.
const writesGoOn = 3 * time.Second

func TestLeaderKilled_NothingAcknowledgedIsLost(t *testing.T) {
	long(t)
	kills, clients := 3, 300
	if full {
		kills, clients = 10, 1000
	}
	c := startCluster(t, 3)
	s := startStorm(t, c, clients)
	for i := range kills {
		s.awaitAcks(clients)
		leader := c.leader()
		leader.kill()
		promise(t, fmt.Sprintf("kill %d, of %s: until writes go on", i+1, leader.name), s.awaitAckSince(time.Now()), writesGoOn)
		leader.start()
		leader.awaitServing()
		awaitRevision(t, newClient(t, leader), leader, headRevision(t, c)) // or the next kill might leave no majority
	}
	s.check(c)
}

func TestLeaderPaused_OthersGoOnAndNoStaleRead(t *testing.T) {
	long(t)
	c := startCluster(t, 3)
	leader := c.leader()
	atLeader, atOthers := newClient(t, leader), newClient(t, c.others(leader)...)
	put := func(value string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := atOthers.Put(ctx, "paused", value)
		return err
	}
	if err := put("before"); err != nil {
		t.Fatal(err)
	}
	if _, err := atLeader.Get(t.Context(), "paused"); err != nil {
		t.Fatal(err)
	}
	s := startStorm(t, c, 50)
	s.awaitAcks(50)

	leader.signal(syscall.SIGSTOP)
	promise(t, "until writes go on after the leader stands still", s.awaitAckSince(time.Now()), writesGoOn)
	eventually(t, "the others take a write", func() error { return put("after") })

	// These reads wait in the paused member's sockets: it finds them when it wakes up and still believes that it leads.
	type outcome struct {
		value string
		err   error
	}
	const reads = 20
	outcomes := make(chan outcome, reads)
	for range reads {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			answer, err := atLeader.Get(ctx, "paused")
			if err != nil || len(answer.Kvs) != 1 {
				outcomes <- outcome{err: fmt.Errorf("%v, %w", answer, err)}
				return
			}
			outcomes <- outcome{value: string(answer.Kvs[0].Value)}
		}()
	}
	time.Sleep(200 * time.Millisecond) // for the requests to get there
	leader.signal(syscall.SIGCONT)
	for range reads {
		if o := <-outcomes; o.err != nil {
			t.Logf("a read at the woken leader was refused, which is allowed: %v", o.err)
		} else if o.value != "after" {
			t.Errorf("a linearizable read at the woken leader returned %q, written before the pause was over", o.value)
		}
	}
	s.check(c)
}

func TestAllKilled_NothingAcknowledgedIsLost(t *testing.T) {
	long(t)
	for _, members := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d members", members), func(t *testing.T) {
			c := startCluster(t, members)
			s := startStorm(t, c, 200)
			for range 2 {
				s.awaitAcks(1000)
				for _, m := range c.members {
					m.signal(syscall.SIGKILL)
				}
				for _, m := range c.members {
					m.kill()
				}
				for _, m := range c.members {
					m.start()
				}
				c.awaitServing()
			}
			s.awaitAcks(200)
			s.check(c)
		})
	}
}

func TestTerminated_HandsLeadershipOver(t *testing.T) {
	c := startCluster(t, 3)
	leader := c.leader()
	before, err := leader.status()
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	leader.signal(syscall.SIGTERM)
	state := leader.awaitExit(30 * time.Second)
	promise(t, "until the process has ended", time.Since(begin), 1500*time.Millisecond)
	// etcd ends itself by the signal that it was sent, after it has closed everything.
	if wait, ok := state.Sys().(syscall.WaitStatus); state.ExitCode() != 0 && !(ok && wait.Signaled() && wait.Signal() == syscall.SIGTERM) {
		t.Errorf("it ended with: %v", state)
	}
	// An election timeout passes before anybody notices a leader that just went away; one that handed over has a successor
	// by the time it is gone.
	for _, m := range c.others(leader) {
		after, err := m.status()
		if err != nil {
			t.Fatal(err)
		}
		if after.Leader == 0 || after.Leader == before.Header.MemberId {
			t.Errorf("%s: leader %x after %x has gone", m.name, after.Leader, before.Header.MemberId)
		}
		if after.RaftTerm != before.RaftTerm+1 {
			t.Errorf("%s: term %d after %d: not one handing over", m.name, after.RaftTerm, before.RaftTerm)
		}
	}
	if _, err := newClient(t, c.others(leader)...).Put(t.Context(), "k", "v"); err != nil {
		t.Error(err)
	}
	leader.start()
	leader.awaitServing()
	answer, err := newClient(t, leader).Get(t.Context(), "k", clientv3.WithLimit(1))
	if err != nil || len(answer.Kvs) != 1 {
		t.Errorf("after its return: %v, %v", answer, err)
	}
}
