package statemachine_test

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/detcd/detcd/statemachine"
)

var rewrite = flag.Bool("rewrite", false, "write the snapshot in testdata anew: only for a new format, whose file gets a name of its own")

// goldenHash is the state hash of the state in testdata/snapshot-1.bin.
const goldenHash = 0x6abba890fb083ef5

// A snapshot of format 1, as detcd 0.1.0 wrote it, is read, gives the state hash that it had then, and is written again byte for byte.
func TestSnapshot_FormatOneStays(t *testing.T) {
	const file = "testdata/snapshot-1.bin"
	if *rewrite {
		if err := os.WriteFile(file, snapshotBytes(t, fullMachine()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := statemachine.Restore(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if m.StateHash() != goldenHash || fullMachine().StateHash() != goldenHash {
		t.Errorf("state hash %#x, of the same entries applied now %#x; it was %#x", m.StateHash(), fullMachine().StateHash(), uint64(goldenHash))
	}
	if !bytes.Equal(snapshotBytes(t, m), data) || !bytes.Equal(snapshotBytes(t, fullMachine()), data) {
		t.Error("the same state is written otherwise now")
	}
}
