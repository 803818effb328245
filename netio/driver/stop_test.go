package driver

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func TestDriver_StopAnswersWhatWaits(t *testing.T) {
	f := newFake(t)
	f.hold = true
	d := f.start(Options{})
	answers := make(chan error, 2)
	go func() {
		_, err := d.Propose(context.Background(), &pb.InternalRaftRequest{})
		answers <- err
	}()
	go func() {
		_, err := linearize(d, context.Background())
		answers <- err
	}()
	for held := 0; held < 2; {
		do(t, d, func() { held = len(f.held) })
	}
	if err := d.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-answers; !errors.Is(err, ErrStopped) {
			t.Errorf("error %v, want ErrStopped", err)
		}
	}
	if !f.stopping {
		t.Error("the member was not told to stop")
	}
	if _, err := d.Propose(context.Background(), &pb.InternalRaftRequest{}); !errors.Is(err, ErrStopped) {
		t.Errorf("after the end: error %v, want ErrStopped", err)
	}
	if _, err := linearize(d, context.Background()); !errors.Is(err, ErrStopped) {
		t.Errorf("after the end: error %v, want ErrStopped", err)
	}
	d.Receive(2, []byte("late")) // must not block
	if d.Status().Term == 0 {
		t.Error("the last status is gone")
	}
	if err := d.Stop(context.Background()); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
}

// A member that is cut off still believes that it may answer reads.
func TestDriver_NoLocalReadsAfterTheEnd(t *testing.T) {
	f := newFake(t)
	f.ignoreEnd, f.local = true, true
	d := f.start(Options{StopLimit: time.Millisecond})
	v, err := linearize(d, context.Background())
	if err != nil {
		t.Fatal(err)
	}
	v.Release()
	if err := d.Stop(context.Background()); !errors.Is(err, ErrNotGraceful) {
		t.Errorf("error %v, want ErrNotGraceful", err)
	}
	if _, err := linearize(d, context.Background()); !errors.Is(err, ErrStopped) {
		t.Errorf("error %v, want ErrStopped", err)
	}
	if f.lent() {
		t.Error("a view is still pinned")
	}
}

func TestDriver_StopCutsOffWhatDoesNotEnd(t *testing.T) {
	f := newFake(t)
	f.ignoreEnd = true
	d := f.start(Options{StopLimit: 20 * time.Millisecond})
	hang := make(chan struct{})
	defer close(hang)
	do(t, d, func() { f.lane.Run(func() { <-hang }, func() { t.Error("done was called after the end") }) })
	if err := d.Stop(context.Background()); !errors.Is(err, ErrNotGraceful) {
		t.Errorf("error %v, want ErrNotGraceful", err)
	}
}

// A member that could not be opened leaves a driver behind that never had turns.
func TestDriver_StopBeforeStart(t *testing.T) {
	d := New(Options{InboxMessages: 1})
	d.Lane()
	d.Receive(2, []byte("waits for a turn"))
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		d.Receive(2, []byte("waits for room"))
	}()
	for waiting := 0; waiting == 0; runtime.Gosched() {
		d.inbox.mu.Lock()
		waiting = d.inbox.waiting
		d.inbox.mu.Unlock()
	}
	if err := d.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	<-returned
}

func TestDriver_FailedDeliversTheFirstError(t *testing.T) {
	f := newFake(t)
	d := f.start(Options{})
	first := errors.New("first")
	d.Fail(first)
	d.Fail(errors.New("second"))
	if err := <-d.Failed(); !errors.Is(err, first) {
		t.Errorf("%v, want the first error", err)
	}
	select {
	case err := <-d.Failed():
		t.Errorf("a second error was delivered: %v", err)
	default:
	}
}
