package logging

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"
)

func TestRarely_LetsOneLineOfAKindThroughInAnInterval(t *testing.T) {
	r := NewRarely(time.Second)
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		kind    string
		after   time.Duration
		leftOut int
		ok      bool
	}{
		{"a", 0, 0, true},
		{"a", 0, 0, false},
		{"b", 0, 0, true},
		{"a", 999 * time.Millisecond, 0, false},
		{"a", time.Second, 2, true},
		{"a", 1500 * time.Millisecond, 0, false},
		{"b", 5 * time.Second, 0, true},
		{"a", 5 * time.Second, 1, true},
	} {
		if leftOut, ok := r.allow(c.kind, now.Add(c.after)); leftOut != c.leftOut || ok != c.ok {
			t.Errorf("%s after %v: %d left out, %v; want %d, %v", c.kind, c.after, leftOut, ok, c.leftOut, c.ok)
		}
	}
}

// Strangers can make up as many kinds as they like.
func TestRarely_BoundsTheKindsThatItKnows(t *testing.T) {
	r := NewRarely(time.Second)
	now := time.Unix(1000, 0)
	let := 0
	for i := range 3 * maxRare {
		if _, ok := r.allow(fmt.Sprint(i), now); ok {
			let++
		}
	}
	if let != maxRare || len(r.told) != maxRare {
		t.Errorf("%d lines, %d kinds known, want %d of each", let, len(r.told), maxRare)
	}
	if _, ok := r.allow("new", now.Add(time.Second)); !ok || len(r.told) != 1 {
		t.Errorf("a new kind later: %v, %d kinds known", ok, len(r.told))
	}
}

// Each connection of a host comes from a port of its own, which stands in the errors of the network, too.
func TestFailureKind_IsWithoutPorts(t *testing.T) {
	from := func(port int) *net.TCPAddr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: port} }
	reset := func(port int) string {
		return failureKind(from(port), &net.OpError{Op: "read", Net: "tcp", Source: from(2379), Addr: from(port), Err: syscall.ECONNRESET})
	}
	if one, other := reset(1000), reset(1001); one != other {
		t.Errorf("%q and %q", one, other)
	}
	kinds := map[string]bool{
		reset(1): true, failureKind(from(1), errors.New("tls: a")): true, failureKind(from(1), errors.New("tls: b")): true,
		failureKind(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 2)}, errors.New("tls: a")): true,
	}
	if len(kinds) != 4 {
		t.Errorf("what is not alike is told apart as %v", kinds)
	}
}
