// Package snapshot keeps snapshot files. A snapshot file is a stream of bytes and the raft position that it stands for; each block has a checksum.
// The caller decides when to take a snapshot, and which to keep. Only Load knows what the bytes mean: they are a state machine's.
//
// Concurrency: this is plain sequential code that blocks on its Disk. It is for one caller at a time.
//
// # Format
//
// A file is called snap-<index>-<term>.snap, both as 16 hex digits. It is written under a temporary name, synced and renamed, and the directory is
// synced. So a file with its final name is complete, and anything wrong in it is corruption. It is a sequence of blocks, all numbers
// little-endian:
//
//	 0     4        8      12     16       24
//	+-----+--------+------+------+--------+---------+
//	| CRC | length | kind | zero | number | payload |
//	+-----+--------+------+------+--------+---------+
//	  u32   u32      u32    u32    u64      length
//
//	CRC     CRC-32C of the snapshot's index and term (u64 each) and all that follows the CRC: so a block of another snapshot does not pass
//	number  0 for the header, then counting up
//
//	kind       payload
//	1 header   "detcdSNP", version u32, zero u32, cluster u64, member u64, index u64, term u64, conf state
//	2 content  a piece of the stream, 1 byte to 256 KiB
//	3 trailer  content blocks u64, content bytes u64, CRC-32C of the content blocks' CRCs (u32 each) u32; nothing follows
package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sort"
	"strconv"
	"strings"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal"
	"github.com/detcd/detcd/statemachine/format"
)

const (
	filePrefix   = "snap-"
	fileSuffix   = ".snap"
	tempSuffix   = ".tmp"
	partSuffix   = ".part"
	magic        = "detcdSNP"
	version      = format.Snapshot
	frameBytes   = 24
	headerBytes  = 48 // payload without the conf state
	trailerBytes = 20
	contentBytes = 256 << 10 // most in one block
	syncBytes    = 16 << 20  // written between two syncs: one sync of gigabytes would hold up the WAL's for seconds

	kindHeader  = 1
	kindContent = 2
	kindTrailer = 3
)

// maxHeaderBytes bounds a header's payload, so that a damaged length can't ask for much memory.
const maxHeaderBytes = headerBytes + 1<<20

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	order      = binary.LittleEndian
)

// ErrFormat is returned for a snapshot file whose format version this software does not know.
var ErrFormat = errors.New("snapshot: unknown format version")

// ErrDone is returned by calls on an Incoming that was committed or aborted.
var ErrDone = errors.New("snapshot: committed or aborted already")

// Info names one complete snapshot file.
type Info struct {
	Index, Term uint64
	Name        string
	Bytes       int64 // size of the file
}

// Name returns the name of the file of the snapshot at index and term.
func Name(index, term uint64) string {
	return fmt.Sprintf("%s%016x-%016x%s", filePrefix, index, term, fileSuffix)
}

func parseName(name string) (index, term uint64, ok bool) {
	rest, ok := strings.CutPrefix(name, filePrefix)
	if !ok {
		return 0, 0, false
	}
	if rest, ok = strings.CutSuffix(rest, fileSuffix); !ok || len(rest) != 33 {
		return 0, 0, false
	}
	index, err := strconv.ParseUint(rest[:16], 16, 64)
	if err != nil {
		return 0, 0, false
	}
	if term, err = strconv.ParseUint(rest[17:], 16, 64); err != nil {
		return 0, 0, false
	}
	return index, term, name == Name(index, term)
}

// List returns the complete snapshots, oldest first. It reads none: whether one is intact shows when it is read.
func List(d port.Disk) ([]Info, error) {
	names, err := d.List()
	if err != nil {
		return nil, fmt.Errorf("snapshot: list: %w", err)
	}
	var infos []Info
	for _, name := range names {
		index, term, ok := parseName(name)
		if !ok {
			continue
		}
		size, err := sizeOf(d, name)
		if err != nil {
			return nil, err
		}
		infos = append(infos, Info{Index: index, Term: term, Name: name, Bytes: size})
	}
	sort.Slice(infos, func(i, j int) bool {
		a, b := &infos[i], &infos[j]
		return a.Index < b.Index || a.Index == b.Index && a.Term < b.Term
	})
	return infos, nil
}

func sizeOf(d port.Disk, name string) (int64, error) {
	f, err := d.Open(name)
	if err != nil {
		return 0, fmt.Errorf("snapshot: open %s: %w", name, err)
	}
	size, err := f.Size()
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return 0, fmt.Errorf("snapshot: size of %s: %w", name, err)
	}
	return size, nil
}

// RemoveOthers removes all snapshots but those to keep, of which it compares Index and Term. It also removes what an interrupted Write or Receive
// has left. No Incoming may be under way. When it returns, the removals are durable.
func RemoveOthers(d port.Disk, keep ...Info) error {
	names, err := d.List()
	if err != nil {
		return fmt.Errorf("snapshot: list: %w", err)
	}
	kept := func(name string) bool {
		for i := range keep {
			if name == Name(keep[i].Index, keep[i].Term) {
				return true
			}
		}
		return false
	}
	for _, name := range names {
		_, _, complete := parseName(name)
		leftover := strings.HasPrefix(name, filePrefix) && (strings.HasSuffix(name, tempSuffix) || strings.HasSuffix(name, partSuffix))
		if !leftover && (!complete || kept(name)) {
			continue
		}
		if err := d.Remove(name); err != nil {
			return fmt.Errorf("snapshot: remove %s: %w", name, err)
		}
	}
	if err := d.SyncDir(); err != nil {
		return fmt.Errorf("snapshot: sync directory: %w", err)
	}
	return nil
}

// RemoveOlder removes the complete snapshots of entries before index, and nothing else: files that are still being written stay. When it returns,
// the removals are durable.
func RemoveOlder(d port.Disk, index uint64) error {
	infos, err := List(d)
	if err != nil {
		return err
	}
	for _, info := range infos {
		if info.Index >= index {
			continue
		}
		if err := d.Remove(info.Name); err != nil {
			return fmt.Errorf("snapshot: remove %s: %w", info.Name, err)
		}
	}
	if err := d.SyncDir(); err != nil {
		return fmt.Errorf("snapshot: sync directory: %w", err)
	}
	return nil
}

// checker computes the CRCs of one snapshot's blocks.
type checker struct{ salt uint32 }

func newChecker(index, term uint64) checker {
	b := order.AppendUint64(nil, index)
	return checker{crc32.Checksum(order.AppendUint64(b, term), castagnoli)}
}

// checksum returns the CRC of a block, whose own CRC field is left out.
func (c checker) checksum(block []byte) uint32 { return crc32.Update(c.salt, castagnoli, block[4:]) }

func corrupt(file string, off int64, reason string) error {
	return &wal.CorruptError{File: file, Offset: off, Reason: reason}
}
