package door

import (
	"context"
	"flag"
	"net"
	"os"
	"testing"
	"time"

	"github.com/detcd/detcd/node/call"
)

var (
	rewrite   = flag.Bool("rewrite", false, "write what the gateway answers into the script")
	reference = flag.String("reference", os.Getenv("DETCD_DOOR_SERVER"), "HOST:PORT of a new, empty stock etcd that must answer alike")
)

// opened is a door of b that listens on the loopback interface until the test ends.
func opened(t testing.TB, b Backend, change func(*Config)) (address string) {
	t.Helper()
	d, address := openedDoor(t, b, change)
	t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return address
}

// openedDoor is one that the test closes.
func openedDoor(t testing.TB, b Backend, change func(*Config)) (*Door, string) {
	t.Helper()
	c := Config{Limits: call.DefaultLimits(), MaxConcurrentStreams: 1<<32 - 1, KeepAliveMinTime: 5 * time.Second, Gateway: true}
	if change != nil {
		change(&c)
	}
	d, err := New(c, b)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.Serve(l, nil, true, All)
	d.Ready()
	return d, l.Addr().String()
}
