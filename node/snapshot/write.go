package snapshot

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal"
)

// Write makes a snapshot file from all that content yields, and returns the file's size in bytes. When it returns without an error the
// snapshot is durable; it replaces one of the same index and term. After an error there may be what Commit leaves after one.
func Write(d port.Disk, id wal.Identity, mark wal.SnapshotMark, content io.Reader) (size int64, err error) {
	in, err := begin(d, id, mark, tempSuffix)
	if err != nil {
		return 0, err
	}
	if err := in.from(content); err != nil {
		return 0, errors.Join(err, in.Abort())
	}
	return in.Commit()
}

// Incoming is a snapshot that arrives in pieces. It must end in Commit or Abort.
type Incoming struct {
	disk   port.Disk
	file   port.File
	mark   wal.SnapshotMark
	temp   string
	check  checker
	block  []byte // frame and payload of the content block being filled
	number uint64 // of the next block
	offset int64  // of the next block
	synced int64  // up to here the file was synced
	bytes  uint64 // content in written blocks
	crcs   uint32 // CRC over their CRCs
	done   bool   // committed or aborted
	err    error  // once set, only Abort is left
}

// Receive begins a snapshot that will be written piece by piece. Only one may be under way for an index and term; beginning
// it again starts it over.
func Receive(d port.Disk, id wal.Identity, mark wal.SnapshotMark) (*Incoming, error) {
	return begin(d, id, mark, partSuffix)
}

func begin(d port.Disk, id wal.Identity, mark wal.SnapshotMark, suffix string) (*Incoming, error) {
	if len(mark.ConfState) > maxHeaderBytes-headerBytes {
		return nil, fmt.Errorf("snapshot: conf state of %d bytes", len(mark.ConfState))
	}
	in := &Incoming{disk: d, mark: mark, temp: Name(mark.Index, mark.Term) + suffix, check: newChecker(mark.Index, mark.Term)}
	var err error
	if in.file, err = d.Create(in.temp, 0); errors.Is(err, port.ErrExist) { // left by a crash, or given up
		if err = d.Remove(in.temp); err == nil {
			in.file, err = d.Create(in.temp, 0)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("snapshot: create %s: %w", in.temp, err)
	}
	in.block = make([]byte, frameBytes, frameBytes+headerBytes+len(mark.ConfState))
	in.block = append(in.block, magic...)
	in.block = order.AppendUint32(in.block, version)
	in.block = order.AppendUint32(in.block, 0)
	for _, v := range [...]uint64{id.Cluster, id.Member, mark.Index, mark.Term} {
		in.block = order.AppendUint64(in.block, v)
	}
	in.block = append(in.block, mark.ConfState...)
	if err := in.flush(kindHeader); err != nil {
		return nil, errors.Join(err, in.Abort())
	}
	in.block = make([]byte, frameBytes, blockBytesLeast)
	return in, nil
}

// blockBytesLeast is how much the first block has room for at first. Most snapshots of a young cluster are no larger.
const blockBytesLeast = 8 << 10

// makeRoom gives the block being filled room for more, up to a whole block.
func (in *Incoming) makeRoom() {
	if len(in.block) == cap(in.block) {
		in.block = append(make([]byte, 0, min(4*cap(in.block), frameBytes+contentBytes)), in.block...)
	}
}

// Write adds a piece of the content. It keeps no reference to p. After an error only Abort is of use.
func (in *Incoming) Write(p []byte) (n int, err error) {
	for n < len(p) && in.err == nil {
		in.makeRoom()
		k := min(len(p)-n, cap(in.block)-len(in.block))
		in.block = append(in.block, p[n:n+k]...)
		n += k
		in.flushFull()
	}
	return n, in.err
}

// from takes all of the content, and reads it straight into the blocks.
func (in *Incoming) from(content io.Reader) error {
	empty := 0
	for in.err == nil {
		in.makeRoom()
		n, err := content.Read(in.block[len(in.block):cap(in.block)])
		in.block = in.block[:len(in.block)+n]
		in.flushFull()
		if err == io.EOF {
			return in.err
		}
		if empty++; n > 0 {
			empty = 0
		}
		if err == nil && empty == 100 {
			err = io.ErrNoProgress
		}
		if err != nil {
			in.err = fmt.Errorf("snapshot: content of %s: %w", in.temp, err)
		}
	}
	return in.err
}

func (in *Incoming) flushFull() {
	if in.err == nil && len(in.block) == frameBytes+contentBytes {
		in.err = in.flush(kindContent)
	}
}

// flush writes the block being filled and begins the next.
func (in *Incoming) flush(kind uint32) error {
	b := in.block
	payload := len(b) - frameBytes
	order.PutUint32(b[4:], uint32(payload))
	order.PutUint32(b[8:], kind)
	order.PutUint32(b[12:], 0)
	order.PutUint64(b[16:], in.number)
	order.PutUint32(b, in.check.checksum(b))
	if _, err := in.file.WriteAt(b, in.offset); err != nil {
		return fmt.Errorf("snapshot: write %s: %w", in.temp, err)
	}
	if kind == kindContent {
		in.bytes += uint64(payload)
		in.crcs = crc32.Update(in.crcs, castagnoli, b[:4])
	}
	in.number++
	in.offset += int64(len(b))
	in.block = b[:frameBytes]
	if in.offset-in.synced >= syncBytes {
		return in.sync()
	}
	return nil
}

func (in *Incoming) sync() error {
	if err := in.file.Sync(); err != nil {
		return fmt.Errorf("snapshot: sync %s: %w", in.temp, err)
	}
	in.synced = in.offset
	return nil
}

// Commit makes the snapshot durable under its name, replacing one of the same index and term, and returns the file's
// size in bytes. After an error there is no such snapshot, or still the old one. If the sync of the directory has failed, it may also be the new one.
func (in *Incoming) Commit() (size int64, err error) {
	if in.err != nil {
		return 0, errors.Join(in.err, in.Abort())
	}
	if err := in.finish(); err != nil {
		in.err = err
		return 0, errors.Join(err, in.Abort())
	}
	in.done, in.err = true, ErrDone
	name := Name(in.mark.Index, in.mark.Term)
	if err := in.disk.Rename(in.temp, name); err != nil {
		return 0, fmt.Errorf("snapshot: rename %s: %w", in.temp, err)
	}
	if err := in.disk.SyncDir(); err != nil {
		return 0, fmt.Errorf("snapshot: sync directory: %w", err)
	}
	return in.offset, nil
}

// finish writes what is left and the trailer, syncs and closes.
func (in *Incoming) finish() error {
	if len(in.block) > frameBytes {
		if err := in.flush(kindContent); err != nil {
			return err
		}
	}
	in.block = order.AppendUint64(in.block, in.number-1)
	in.block = order.AppendUint64(in.block, in.bytes)
	in.block = order.AppendUint32(in.block, in.crcs)
	if err := in.flush(kindTrailer); err != nil {
		return err
	}
	if err := in.sync(); err != nil {
		return err
	}
	f := in.file
	in.file = nil
	if err := f.Close(); err != nil {
		return fmt.Errorf("snapshot: close %s: %w", in.temp, err)
	}
	return nil
}

// Abort gives the snapshot up and removes its temporary file. After Commit or another Abort it does nothing.
func (in *Incoming) Abort() error {
	if in.done {
		return nil
	}
	in.done = true
	if in.err == nil {
		in.err = ErrDone
	}
	var err error
	if in.file != nil {
		err = in.file.Close()
	}
	if e := in.disk.Remove(in.temp); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("snapshot: abort %s: %w", in.temp, err)
	}
	return nil
}
