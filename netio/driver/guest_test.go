package driver

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	calls "github.com/detcd/detcd/node/call"
)

// asleep waits until the driver's goroutine sleeps, so that the next to put something in is a guest.
func asleep(d *Driver) {
	for {
		d.inbox.mu.Lock()
		sleeping := d.inbox.sleeping
		d.inbox.mu.Unlock()
		if sleeping {
			return
		}
		runtime.Gosched()
	}
}

func TestGuest_TakesTheTurn(t *testing.T) {
	f := newFake(t)
	var visited []bool
	var d *Driver
	f.onReceive = func([]byte) {
		d.inbox.mu.Lock()
		visited = append(visited, d.inbox.guestInTurn)
		d.inbox.mu.Unlock()
	}
	d = f.start(Options{})
	asleep(d)
	d.Receive(2, []byte("for a guest"))
	// The turn was taken within Receive: nobody was woken for it.
	if len(visited) != 1 || !visited[0] || f.ends != 1 {
		t.Errorf("visited %v after %d turns", visited, f.ends)
	}
}

// What is put in during a guest's turn, by the member or by others, is the driver's: the guest goes home after one turn.
func TestGuest_LeavesTheRestToTheDriver(t *testing.T) {
	f := newFake(t)
	var d *Driver
	rest := make(chan struct{})
	f.onReceive = func(payload []byte) {
		if string(payload) == "first" {
			d.Receive(2, []byte("second"))
			return
		}
		close(rest)
	}
	d = f.start(Options{})
	asleep(d)
	d.Receive(2, []byte("first"))
	<-rest
}

// A timer that is set in a guest's turn fires, also where the driver's goroutine sleeps until a later one.
func TestGuest_SetsTimers(t *testing.T) {
	f := newFake(t)
	d := f.start(Options{})
	do(t, d, func() { f.clock.After(time.Hour, func() {}) })
	for _, wait := range []time.Duration{20 * time.Millisecond, time.Millisecond, 0} {
		fired := make(chan struct{})
		f.onReceive = func([]byte) { f.clock.After(wait, func() { close(fired) }) }
		asleep(d)
		d.Receive(2, []byte("set"))
		<-fired
		asleep(d)
	}
}

// An alarm that rings during a guest's turn is not lost, nor does it touch what is the guest's.
func TestGuest_MeetsTheAlarm(t *testing.T) {
	f := newFake(t)
	d := f.start(Options{})
	for range 50 {
		fired := make(chan struct{})
		do(t, d, func() { f.clock.After(time.Millisecond, func() { close(fired) }) })
		f.onReceive = func([]byte) { time.Sleep(2 * time.Millisecond) }
		asleep(d)
		d.Receive(2, nil)
		<-fired
	}
}

// Many callers, who are guests or not as it happens: one call into the member at a time (the fake sees to that), every one answered.
func TestGuest_AmongMany(t *testing.T) {
	f := newFake(t)
	d := f.start(Options{})
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for i := range 200 {
				if _, err := d.Propose(context.Background(), &pb.InternalRaftRequest{}); err != nil {
					t.Error(err)
					return
				}
				if i%16 == 0 {
					time.Sleep(100 * time.Microsecond) // so that the driver falls asleep now and then
				}
			}
		})
	}
	all.Wait()
	do(t, d, func() {
		if f.index != 16*200 {
			t.Errorf("%d proposals were carried out, want %d", f.index, 16*200)
		}
	})
}

// A stop that a guest carries out ends the driver.
func TestGuest_Stops(t *testing.T) {
	f := newFake(t)
	d := f.start(Options{})
	asleep(d)
	if err := d.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// What wakes the driver's goroutine is handled in the turn that it takes then.
func TestDriver_TakesOneTurnAfterAWakeUp(t *testing.T) {
	f := newFake(t)
	d := f.start(Options{})
	for range 100 {
		asleep(d)
		done := make(chan struct{})
		d.Turn(func(calls.Replica) { close(done) })
		<-done
	}
	asleep(d)
	if f.ends != 100 {
		t.Errorf("%d turns for 100 calls", f.ends)
	}
}

// A call that waits in the inbox when the member is cut off is answered: nobody else would.
func TestDriver_CutOffAnswersWhatWaits(t *testing.T) {
	f := newFake(t)
	f.ignoreEnd = true
	entered, leave := make(chan struct{}), make(chan struct{})
	f.onReceive = func([]byte) {
		close(entered)
		<-leave
	}
	d := f.start(Options{StopLimit: time.Millisecond})
	go d.Receive(2, []byte("a long turn"))
	<-entered
	refused := make(chan error, 1)
	go func() {
		_, err := d.Propose(context.Background(), &pb.InternalRaftRequest{})
		refused <- err
	}()
	for waiting := false; !waiting; runtime.Gosched() {
		d.inbox.mu.Lock()
		waiting = len(d.inbox.items) > 0
		d.inbox.mu.Unlock()
	}
	stopped := make(chan error, 1)
	go func() { stopped <- d.Stop(context.Background()) }()
	if err := <-refused; err != ErrStopped {
		t.Errorf("the answer is %v, want %v", err, ErrStopped)
	}
	close(leave)
	if err := <-stopped; err != ErrNotGraceful {
		t.Errorf("Stop says %v, want %v", err, ErrNotGraceful)
	}
}
