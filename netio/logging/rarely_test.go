package logging

import (
	"fmt"
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
