package node

import (
	"fmt"
	"slices"
	"testing"

	"github.com/detcd/detcd/node/port"
)

type keptLines []string

func (k *keptLines) Log(level port.Level, message string, _ ...any) {
	*k = append(*k, fmt.Sprint(level, " ", message))
}

// What a member without a quorum says again and again is written down ever more rarely, with the count; what is new always.
func TestRaftLogger_RepeatedLinesAreThinned(t *testing.T) {
	var kept keptLines
	l := newRaftLogger(&kept)
	for i := range 1000 {
		l.Infof("%x became pre-candidate at term %d", 10, 7)
		if i == 500 {
			l.Infof("%x became candidate at term %d", 10, 8)
			l.Warningf("a warning")
		}
	}
	var want keptLines
	for n := 1; n <= 512; n *= 2 {
		line := "a became pre-candidate at term 7"
		if n > 1 {
			line = fmt.Sprintf("%s (%d times by now)", line, n)
		}
		if n == 512 {
			want.Log(port.Info, "a became candidate at term 8")
			want.Log(port.Warn, "a warning")
		}
		want.Log(port.Info, line)
	}
	if !slices.Equal(kept, want) {
		t.Errorf("kept %q, want %q", kept, want)
	}
}

// The memory of lines is bounded, and forgetting never hides a line.
func TestRaftLogger_MemoryIsBounded(t *testing.T) {
	var kept keptLines
	l := newRaftLogger(&kept)
	for i := range 10 * raftLinesKept {
		l.Infof("line %d", i)
		if len(l.said) > raftLinesKept {
			t.Fatalf("remembers %d lines, more than %d", len(l.said), raftLinesKept)
		}
	}
	if len(kept) != 10*raftLinesKept {
		t.Errorf("%d of %d different lines were passed on", len(kept), 10*raftLinesKept)
	}
}
