package snapshot

import (
	"errors"
	"fmt"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal"
	"github.com/detcd/detcd/statemachine"
	"github.com/detcd/detcd/statemachine/format"
)

// Load reads a snapshot file back into a state machine, which shares memory with beside as far as the two hold the same. It returns the size of the
// file, too. known is the newest format version that is read. It blocks.
func Load(d port.Disk, mark wal.SnapshotMark, beside *statemachine.View, known format.Version) (*statemachine.Machine, int64, error) {
	r, err := Open(d, mark.Index, mark.Term)
	if errors.Is(err, port.ErrNotExist) {
		err = &wal.CorruptError{File: Name(mark.Index, mark.Term), Reason: "this snapshot is missing, though the log goes on from it"}
	}
	if err != nil {
		return nil, 0, err
	}
	machine, err := statemachine.RestoreBeside(r, beside, known)
	if err != nil {
		r.Close()
		return nil, 0, err
	}
	if err := r.Close(); err != nil {
		return nil, 0, err
	}
	if index, term := machine.Applied(); index != mark.Index || term != mark.Term {
		return nil, 0, fmt.Errorf("%w: the snapshot of entry %d (term %d) holds the state at entry %d (term %d)", wal.ErrCorrupt, mark.Index, mark.Term, index, term)
	}
	return machine, r.Size(), nil
}
