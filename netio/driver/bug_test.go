package driver

import (
	"context"
	"errors"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// A panic of the member ends it, and is told with its stack; nobody waits for ever.
func TestDriver_APanicEndsTheMember(t *testing.T) {
	for name, how := range map[string]func(d *Driver, f *fake){
		"in a turn of the driver's own": func(d *Driver, f *fake) {
			do(t, d, func() { f.clock.After(0, func() { panic("impossible") }) })
		},
		"in a message": func(d *Driver, f *fake) {
			f.onReceive = func([]byte) { panic("impossible") }
			d.Receive(2, nil)
		},
		"in a guest's turn": func(d *Driver, f *fake) {
			f.onReceive = func([]byte) { panic("impossible") }
			asleep(d)
			d.Receive(2, nil)
		},
		"in a call": func(d *Driver, f *fake) {
			if err := inTurn(d, func() { panic("impossible") }); !errors.Is(err, ErrStopped) {
				t.Errorf("the call is answered with %v", err)
			}
		},
		"in a lane": func(d *Driver, f *fake) {
			f.lane.Run(func() { panic("impossible") }, func() { t.Error("it is said to be done") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.hold = true
			d := f.start(Options{})
			waits := make(chan error)
			go func() {
				_, err := d.Propose(context.Background(), &pb.InternalRaftRequest{})
				waits <- err
			}()
			for held := 0; held == 0; {
				do(t, d, func() { held = len(f.held) })
			}
			how(d, f)
			var bug *Bug
			if err := <-d.Failed(); !errors.As(err, &bug) || bug.Panic != "impossible" {
				t.Fatalf("failed with %v", err)
			}
			if !strings.Contains(string(bug.Stack), "bug_test.go") {
				t.Errorf("the stack does not lead here:\n%s", bug.Stack)
			}
			if name == "in a lane" { // the member still takes turns, and has to be stopped
				_ = d.Stop(context.Background())
			}
			if err := <-waits; !errors.Is(err, ErrStopped) {
				t.Errorf("a call that waits is answered with %v", err)
			}
			if err := inTurn(d, func() {}); !errors.Is(err, ErrStopped) {
				t.Errorf("a later call is answered with %v", err)
			}
			if err := d.Stop(context.Background()); err != nil {
				t.Errorf("Stop: %v", err)
			}
		})
	}
}
