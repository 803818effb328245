package node

import (
	"errors"
	"fmt"
	"time"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/snapshot"
	"github.com/detcd/detcd/node/wal"
)

// ErrLogMissing is what errors.Is finds in the error of Open when the member has lived, but the disk of its log holds none. Both disks are
// as they were.
var ErrLogMissing = errors.New("the log of this member is missing")

// reach keeps the file that says how far the log is durable, on the disk of the snapshots. The log's lane writes to it after each write of
// the log, without a sync; a lane of its own syncs it now and then, so that no answer waits for that.
type reach struct {
	file *wal.ReachFile
	// slot is where the log's lane wrote last, durable the one that was synced last, synced the one that is being synced, while syncing. None of
	// them is written to next: each can be read whatever becomes of that write.
	slot, durable, synced int
	syncing               bool
	// wanted: a sync is to begin as soon as none is under way, and no write.
	wanted bool
	// unsynced: something was written since the last sync began.
	unsynced bool
	// last is when the last sync began, segment the log's as of the last write.
	last    port.Instant
	segment uint64
}

// reachSyncWithin is how old the file's durable content gets while the log is written to. It bounds what damage to the log a loss of power can
// hide (see package wal).
const reachSyncWithin = time.Second

// readLog reads the log, and holds it to what is known of it otherwise. Nothing on either disk is changed.
func readLog(config Config, ports Ports) (*wal.Found, error) {
	known, err := wal.ReadReach(ports.SnapshotDisk)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	found, err := wal.Read(ports.WALDisk, config.identity(), wal.Options{SegmentBytes: config.SegmentBytes, Reach: known})
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	if err := checkLives(config, ports.SnapshotDisk, found.Recovered(), known); err != nil {
		return nil, errors.Join(err, found.Close())
	}
	return found, nil
}

// checkLives refuses to begin anew for a member that has lived: what it has acknowledged, and whom it voted for, is in the log that is missing.
func checkLives(config Config, disk port.Disk, r *wal.Recovered, known *wal.Reach) error {
	if !r.None {
		return nil
	}
	if known != nil && known.Seq > 0 {
		return fmt.Errorf("%w: its disk holds no segment of it, though it was written up to entry %d (segment %d, incarnation %d)", ErrLogMissing,
			known.Last, known.Seq, known.Incarnation)
	}
	snapshots, err := snapshot.List(disk)
	if err != nil {
		return err
	}
	if n := len(snapshots); n > 0 {
		return fmt.Errorf("%w: its disk holds no segment of it, though there is the snapshot %s", ErrLogMissing, snapshots[n-1].Name)
	}
	if config.Lived {
		return fmt.Errorf("%w: its disk holds no segment of it, though the member was started before", ErrLogMissing)
	}
	return nil
}

// openReach has the file say how far the log reaches, which was just opened.
func (w *writer) openReach(log *wal.Log) error {
	at := log.Reach()
	f, durable, err := wal.OpenReach(w.ports.SnapshotDisk, at)
	if err != nil {
		return fmt.Errorf("note how far the log reaches: %w", err)
	}
	w.reach = reach{file: f, durable: durable, slot: durable, segment: at.Seq}
	return nil
}

// next returns the slot for the next write of the log's lane, and takes it for written.
func (k *reach) next() int {
	for slot := range wal.ReachSlots {
		if slot != k.slot && slot != k.durable && !(k.syncing && slot == k.synced) {
			k.slot = slot
			break
		}
	}
	return k.slot
}

// noteReach takes notice of a write of the log that is done: at is how far it reaches now.
func (w *writer) noteReach(at wal.Reach, marked, settled bool) {
	k := &w.reach
	k.unsynced = true
	if marked || settled || at.Seq != k.segment || w.now().Sub(k.last) >= reachSyncWithin {
		k.wanted = true
	}
	k.segment = at.Seq
	w.syncReach()
}

// syncReach begins the sync that is wanted, unless it has to wait. Writes go on in another slot.
func (w *writer) syncReach() {
	k := &w.reach
	if !k.wanted || k.syncing || w.busy || w.closed || w.failed != nil {
		return
	}
	k.wanted = false
	if !k.unsynced {
		return
	}
	k.unsynced, k.syncing, k.last = false, true, w.now()
	k.synced = k.slot
	file := k.file
	var err error
	w.ports.ReachLane.Run(func() { err = file.Sync() }, func() {
		k.syncing = false
		if err != nil {
			w.fail(err)
			return
		}
		k.durable = k.synced
		w.syncReach()
	})
}
