package wal

import (
	"errors"
	"fmt"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine/format"
)

// Reach says how far a log is known to be durable, and what its state is there. It is kept in a file of its own, away from the log (see ReachFile).
// So a log that is missing, was cut short or is another member's is noticed: it does not lead up to the reach.
type Reach struct {
	Identity    Identity
	Incarnation uint64
	// Seq, Offset, Batch and CRC are a place in the log: the segment, where its next record went, the last batch before that and the CRC of
	// that batch's last record (or of the segment's header, where that is newer). Seq 0: nothing was written yet.
	Seq    uint64
	Offset int64
	Batch  uint64
	CRC    uint32
	// Last, Commit and Snapshot are the last entry's index, the commit index and the snapshot mark's index as of then.
	Last, Commit, Snapshot uint64
}

// A reach file is four slots, each at the beginning of a page of its own, so that no write touches two of them:
//
//	 0     4         8       16        24       32            40    48       56      64    72     80       88
//	+-----+---------+-------+---------+--------+-------------+-----+--------+-------+-----+------+--------+----------+
//	| CRC | version | count | cluster | member | incarnation | seq | offset | batch | crc | last | commit | snapshot |
//	+-----+---------+-------+---------+--------+-------------+-----+--------+-------+-----+------+--------+----------+
//
// All numbers are little-endian. The CRC is a CRC-32C over all that follows it. Of the slots that are intact, the one with the highest count
// counts. Each write goes into one slot, which the caller chooses. The caller leaves the newest synced slot alone until another one is synced, so at
// least one slot can always be read.
const (
	ReachName    = "reach"
	ReachSlots   = 4
	reachTemp    = "reach.tmp"
	reachPage    = 4096
	reachVersion = format.Reach
	reachBytes   = 96
)

// ReachFile is an open reach file. Put is for one caller at a time and Sync for another one; the two may overlap.
type ReachFile struct {
	put, sync port.File
	count     uint64
	buf       [reachBytes]byte
}

// ReadReach reads the reach file on a disk; nil if there is none, a CorruptError if no slot of it is intact.
func ReadReach(d port.Disk) (*Reach, error) {
	r, _, _, err := readReach(d)
	return r, err
}

// readReach also returns the count of the slot that counts, and the slot that is to be written next: the oldest.
func readReach(d port.Disk) (reach *Reach, count uint64, next int, err error) {
	f, err := d.Open(ReachName)
	if errors.Is(err, port.ErrNotExist) {
		return nil, 0, 0, nil
	}
	if err != nil {
		return nil, 0, 0, fmt.Errorf("wal: open %s: %w", ReachName, err)
	}
	oldest := ^uint64(0)
	for slot := range ReachSlots {
		var b [reachBytes]byte
		// A slot that can't be read is treated like a damaged one: another slot may be intact.
		n, readErr := f.ReadAt(b[:], int64(slot)*reachPage)
		if n < len(b) || !intactReach(b[:]) {
			if n < len(b) && readErr != nil {
				err = readErr
			}
			if oldest > 0 {
				oldest, next = 0, slot
			}
			continue
		}
		if v := order.Uint32(b[4:]); v != reachVersion {
			return nil, 0, 0, errors.Join(fmt.Errorf("%w %d: %s", ErrFormat, v, ReachName), f.Close())
		}
		at := order.Uint64(b[8:])
		if reach == nil || at > count {
			reach, count = parseReach(b[:]), at
		}
		if at < oldest {
			oldest, next = at, slot
		}
	}
	if closeErr := f.Close(); closeErr != nil {
		return nil, 0, 0, fmt.Errorf("wal: close %s: %w", ReachName, closeErr)
	}
	if reach == nil {
		reason := "no slot of it is intact"
		if err != nil {
			reason += fmt.Sprintf(" (%v)", err)
		}
		return nil, 0, 0, &CorruptError{File: ReachName, Reason: reason}
	}
	return reach, count, next, nil
}

func intactReach(b []byte) bool { return order.Uint32(b) == crcOf(b[4:]) && order.Uint64(b[8:]) > 0 }

func parseReach(b []byte) *Reach {
	var v [10]uint64
	for i := range v {
		v[i] = order.Uint64(b[16+8*i:])
	}
	return &Reach{Identity: Identity{v[0], v[1]}, Incarnation: v[2], Seq: v[3], Offset: int64(v[4]), Batch: v[5], CRC: uint32(v[6]),
		Last: v[7], Commit: v[8], Snapshot: v[9]}
}

// OpenReach opens the reach file on a disk, or makes it, and writes r into it. When it returns, r is durable. durable is the slot that holds r: the
// caller must leave it alone until another slot was synced.
func OpenReach(d port.Disk, r Reach) (f *ReachFile, durable int, err error) {
	old, count, next, err := readReach(d)
	if err != nil {
		return nil, 0, err
	}
	f = &ReachFile{count: count}
	name := ReachName
	if old == nil {
		name = reachTemp
		err = makeReach(d)
	}
	if err == nil {
		f.put, err = d.Open(name)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("wal: open %s: %w", name, err)
	}
	if err = f.Put(next, r); err == nil {
		if err = f.put.Sync(); err != nil {
			err = fmt.Errorf("wal: sync %s: %w", name, err)
		}
	}
	if err == nil && old == nil {
		err = nameReach(d)
	}
	if err == nil {
		f.sync, err = d.Open(ReachName)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, next, nil
}

// makeReach makes an empty file under a temporary name, in the place of one that was left over.
func makeReach(d port.Disk) error {
	if err := d.Remove(reachTemp); err != nil && !errors.Is(err, port.ErrNotExist) {
		return err
	}
	f, err := d.Create(reachTemp, ReachSlots*reachPage)
	if err != nil {
		return err
	}
	return f.Close()
}

func nameReach(d port.Disk) error {
	if err := d.Rename(reachTemp, ReachName); err != nil {
		return fmt.Errorf("wal: rename %s: %w", reachTemp, err)
	}
	if err := d.SyncDir(); err != nil {
		return fmt.Errorf("wal: sync directory: %w", err)
	}
	return nil
}

// Put writes r into a slot, without a sync. r survives the end of the process; it may be lost in a loss of power. What r claims must be durable
// already.
func (f *ReachFile) Put(slot int, r Reach) error {
	f.count++
	b := f.buf[:]
	order.PutUint32(b[4:], reachVersion)
	for i, v := range [...]uint64{f.count, r.Identity.Cluster, r.Identity.Member, r.Incarnation, r.Seq, uint64(r.Offset), r.Batch, uint64(r.CRC),
		r.Last, r.Commit, r.Snapshot} {
		order.PutUint64(b[8+8*i:], v)
	}
	order.PutUint32(b, crcOf(b[4:]))
	if _, err := f.put.WriteAt(b, int64(slot)*reachPage); err != nil {
		return fmt.Errorf("wal: write %s: %w", ReachName, err)
	}
	return nil
}

// Sync makes durable what Put has written before.
func (f *ReachFile) Sync() error {
	if err := f.sync.Sync(); err != nil {
		return fmt.Errorf("wal: sync %s: %w", ReachName, err)
	}
	return nil
}

// Close closes the file. It does not sync.
func (f *ReachFile) Close() error {
	var errs []error
	for _, file := range []port.File{f.put, f.sync} {
		if file == nil {
			continue
		}
		if err := file.Close(); err != nil {
			errs = append(errs, fmt.Errorf("wal: close %s: %w", ReachName, err))
		}
	}
	return errors.Join(errs...)
}
