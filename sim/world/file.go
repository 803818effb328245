package world

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
	"github.com/detcd/detcd/node/port"
)

var errIO = errors.New("input/output error")

// sectorBytes is the unit that a disk writes wholly or not at all.
const sectorBytes = 512

// inode is a file's content as the page cache has it, with what is needed to undo what is not durable.
type inode struct {
	data []byte

	// undo holds, in order, for each write since the last sync and each sector that it touched, what the sector was before.
	undo []preimage
	old  []byte // the sectors of undo that were not all zeroes, one after the other
	// sizes are those that the file had since the last sync, the newest last; empty when the size is durable.
	sizes     []int64
	synced    int64 // the durable size
	lastWrite uint32
}

type preimage struct {
	sector int64
	old    int    // where in inode.old the sector's bytes begin; zeroes: they are not kept
	write  uint32 // counts writes, to tell torn ones
}

// zeroes is the place in inode.old of a sector without anything in it, as most are that are written: the file grows, or has the length from
// the beginning that it will need.
const zeroes = -1

var emptySector [sectorBytes]byte

// handle is an open file.
type handle struct {
	disk   *Disk
	epoch  uint32
	name   string
	ino    *inode
	closed bool
}

func (f *handle) check(op string) error {
	if f.closed || f.epoch != f.disk.host.epoch {
		return fmt.Errorf("%s %s: file already closed", op, f.name)
	}
	return nil
}

// ReadAt is io.ReaderAt's.
func (f *handle) ReadAt(p []byte, off int64) (int, error) {
	if err := f.check("read"); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, fmt.Errorf("read %s: offset %d is negative", f.name, off)
	}
	if off >= int64(len(f.ino.data)) {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n := copy(p, f.ino.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt is io.WriterAt's.
func (f *handle) WriteAt(p []byte, off int64) (int, error) {
	if err := f.check("write"); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, fmt.Errorf("write %s: offset %d is negative", f.name, off)
	}
	d := f.disk
	if d.host.step(false) {
		n := d.host.chance.Intn(len(p) + 1)
		f.ino.write(p[:n], off)
		if 0 < n && n < len(p) {
			d.host.w.Counts.TornWrites++
		}
		panic(died{})
	}
	if d.writeFail > 0 {
		d.writeFail--
		d.hurts++
		n := d.chance.Intn(len(p) + 1)
		f.ino.write(p[:n], off)
		return n, fmt.Errorf("write %s: %w", f.name, errIO)
	}
	if grows := off + int64(len(p)) - int64(len(f.ino.data)); grows > 0 && !d.room(grows) {
		d.hurts++
		d.host.w.Counts.DiskFull++
		n := max(0, min(int64(len(p)), d.limit-d.Used()+int64(len(p))-grows))
		f.ino.write(p[:n], off)
		return int(n), fmt.Errorf("write %s: %w", f.name, port.ErrNoSpace)
	}
	f.ino.write(p, off)
	d.host.w.Counts.BytesWritten += uint64(len(p))
	d.host.w.Note(DiskWrite, d.host.id, uint64(off), xxhash.Sum64(p))
	return len(p), nil
}

// Size returns the size in bytes.
func (f *handle) Size() (int64, error) {
	if err := f.check("size of"); err != nil {
		return 0, err
	}
	return int64(len(f.ino.data)), nil
}

// Sync makes content and size durable. One that fails leaves on the disk what a loss of power would: an operating system
// that failed to write a page takes it for clean, and no later sync writes it.
func (f *handle) Sync() error {
	if err := f.check("sync"); err != nil {
		return err
	}
	d := f.disk
	if d.host.step(false) {
		panic(died{})
	}
	if d.failSync() {
		f.ino.losePower(d)
		return fmt.Errorf("sync %s: %w", f.name, errIO)
	}
	f.ino.settle()
	d.syncedAt = d.host.w.now
	d.host.w.Counts.Syncs++
	d.host.w.Note(DiskSync, d.host.id, xxhash.Sum64String(f.name), uint64(len(f.ino.data)))
	return nil
}

// Close closes the file.
func (f *handle) Close() error {
	if err := f.check("close"); err != nil {
		return err
	}
	f.closed = true
	return nil
}

// write puts p into the page cache, and remembers what was there.
func (n *inode) write(p []byte, off int64) {
	if len(p) == 0 {
		return
	}
	n.lastWrite++
	end := off + int64(len(p))
	size := int64(len(n.data))
	// A write that begins beyond the end also makes the zeroes in between. Nothing was there, so nothing is remembered for them.
	for s := off / sectorBytes; s*sectorBytes < end; s++ {
		n.undo = append(n.undo, preimage{s, n.remember(s, size), n.lastWrite})
	}
	if end > size {
		n.grow(end)
		n.sizes = append(n.sizes, end)
	}
	copy(n.data[off:], p)
}

// remember keeps a sector's content and says where.
func (n *inode) remember(sector, size int64) int {
	if sector*sectorBytes >= size {
		return zeroes
	}
	before := n.data[sector*sectorBytes : min((sector+1)*sectorBytes, size)]
	if bytes.Equal(before, emptySector[:len(before)]) {
		return zeroes
	}
	at := len(n.old)
	n.old = append(append(n.old, before...), emptySector[len(before):]...)
	return at
}

// before is what a sector was.
func (n *inode) before(p preimage) []byte {
	if p.old == zeroes {
		return emptySector[:]
	}
	return n.old[p.old : p.old+sectorBytes]
}

func (n *inode) grow(size int64) {
	if size <= int64(cap(n.data)) {
		was := len(n.data)
		n.data = n.data[:size]
		clear(n.data[was:])
		return
	}
	data := make([]byte, size, size+size/2)
	copy(data, n.data)
	n.data = data
}

// settle makes all of it durable.
func (n *inode) settle() {
	n.undo, n.old = n.undo[:0], n.old[:0]
	n.sizes = n.sizes[:0]
	n.synced = int64(len(n.data))
}

// losePower leaves of the content what the disk happens to have: of each sector one of the contents that it had since the last sync, and one of the
// sizes that the file had.
func (n *inode) losePower(d *Disk) {
	if len(n.undo) > 0 {
		n.loseSectors(d)
	}
	if len(n.sizes) > 0 {
		size := n.synced
		if i := d.chance.Intn(len(n.sizes) + 1); i > 0 {
			size = n.sizes[i-1]
		}
		if size < int64(len(n.data)) {
			n.data = n.data[:size]
		}
	}
	n.settle()
}

// How a file fares in a loss of power.
const (
	fareSectors = iota // each sector for itself
	fareWrites         // all writes up to some moment, of the last one a part
	fareLost           // nothing
	fareKept           // everything
)

func (n *inode) loseSectors(d *Disk) {
	fare := d.chance.Weighted([]int{7, 3, 1, 1})
	cut := d.chance.Intn(len(n.undo) + 1)
	// keeps[sector] is how many of the sector's contents since the sync the disk has got to; it is looked up, never ranged.
	keeps := make(map[int64]int)
	versions := make(map[int64]int)
	var order []int64
	for i, u := range n.undo {
		if versions[u.sector] == 0 {
			order = append(order, u.sector)
		}
		versions[u.sector]++
		if fare == fareKept || fare == fareWrites && i < cut {
			keeps[u.sector] = versions[u.sector]
		}
	}
	if fare == fareSectors {
		for _, s := range order {
			keeps[s] = d.chance.Intn(versions[s] + 1)
		}
	}
	n.countLosses(d, keeps)
	for i := len(n.undo) - 1; i >= 0; i-- {
		u := n.undo[i]
		versions[u.sector]--
		if versions[u.sector] >= keeps[u.sector] {
			if at := u.sector * sectorBytes; at < int64(len(n.data)) {
				copy(n.data[at:], n.before(u))
			}
		}
	}
}

// countLosses counts the writes of which a part or nothing is kept.
func (n *inode) countLosses(d *Disk, keeps map[int64]int) {
	seen := make(map[int64]int)
	var write uint32
	var kept, lost int
	flush := func() {
		switch {
		case lost > 0 && kept > 0:
			d.host.w.Counts.TornWrites++
		case lost > 0:
			d.host.w.Counts.LostWrites++
		}
		kept, lost = 0, 0
	}
	for _, u := range n.undo {
		if u.write != write {
			flush()
			write = u.write
		}
		if seen[u.sector] < keeps[u.sector] {
			kept++
		} else {
			lost++
		}
		seen[u.sector]++
	}
	flush()
}
