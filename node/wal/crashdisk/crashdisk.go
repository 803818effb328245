// Package crashdisk is a port.Disk in memory for the tests of what is written to disks: it fails or crashes at a chosen operation,
// and after a crash keeps an arbitrary part of what was not synced, sector by sector and name by name.
//
// Concurrency: one caller at a time.
package crashdisk

import (
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/detcd/detcd/node/port"
)

// SectorBytes is the unit that a crash keeps or loses whole.
const SectorBytes = 512

// ErrCrashed is returned by every operation from the crash on.
var ErrCrashed = errors.New("crashed")

// Disk is the disk. Operations that change something (and syncs) are counted from 1.
type Disk struct {
	Ops     int   // done so far
	CrashAt int   // the operation that crashes: it may have happened in part; 0: none
	FailAt  int   // the operation that returns FailErr, having been done in part at most; 0: none
	FailErr error // by default port.ErrNoSpace
	// Spare is the room that the disk says it has, in bytes; 0: it can't tell.
	Spare int64
	// OnOp, if not nil, is told of every operation before it is done.
	OnOp func(n int, what string)

	names   map[string]*inode
	durable map[string]*inode
	pending []nameChange
}

type inode struct {
	data    []byte
	durable []byte
	pending []write
}

// write is one change to one sector, or of the size alone (nil data).
type write struct {
	off  int64
	data []byte
	size int64
}

type nameChange struct {
	del string // "" : none
	set string // "" : none
	ino *inode
}

var (
	_ port.Disk = (*Disk)(nil)
	_ port.File = (*file)(nil)
)

// New returns an empty disk.
func New() *Disk {
	return &Disk{names: map[string]*inode{}, durable: map[string]*inode{}}
}

// step counts an operation and returns what it must end in; half says whether to do it in part.
func (d *Disk) step(what string) (half bool, err error) {
	if d.CrashAt > 0 && d.Ops >= d.CrashAt {
		return false, ErrCrashed
	}
	d.Ops++
	if d.OnOp != nil {
		d.OnOp(d.Ops, what)
	}
	switch d.Ops {
	case d.CrashAt:
		return true, ErrCrashed
	case d.FailAt:
		if d.FailErr != nil {
			return true, d.FailErr
		}
		return true, port.ErrNoSpace
	}
	return false, nil
}

func (d *Disk) dead() error {
	if d.CrashAt > 0 && d.Ops >= d.CrashAt {
		return ErrCrashed
	}
	return nil
}

// Crash returns the disk as a restart finds it. choose(n) picks one of n possibilities: for every sector which of the
// unsynced writes to it were the last to reach the disk, and for every unsynced change of a name whether it did.
func (d *Disk) Crash(choose func(n int) int) *Disk {
	names := map[string]*inode{}
	for n, i := range d.durable {
		names[n] = i
	}
	for _, c := range d.pending {
		if choose(2) == 1 {
			apply(names, c)
		}
	}
	return restart(names, func(i *inode) []byte { return i.survive(choose) })
}

// Kill returns the disk as a restart finds it when only the process died: nothing is lost, nothing more is durable.
func (d *Disk) Kill() *Disk {
	n := New()
	copies := map[*inode]*inode{}
	dup := func(i *inode) *inode {
		if copies[i] == nil {
			copies[i] = &inode{data: clone(i.data), durable: clone(i.durable), pending: append([]write(nil), i.pending...)}
		}
		return copies[i]
	}
	for name, i := range d.names {
		n.names[name] = dup(i)
	}
	for name, i := range d.durable {
		n.durable[name] = dup(i)
	}
	for _, c := range d.pending {
		if c.ino != nil {
			c.ino = dup(c.ino)
		}
		n.pending = append(n.pending, c)
	}
	return n
}

// Clone returns a copy on which everything is durable.
func (d *Disk) Clone() *Disk { return restart(d.names, func(i *inode) []byte { return clone(i.data) }) }

func restart(names map[string]*inode, content func(*inode) []byte) *Disk {
	r := New()
	sorted := make([]string, 0, len(names))
	for n := range names {
		sorted = append(sorted, n)
	}
	sort.Strings(sorted)
	for _, n := range sorted {
		b := content(names[n])
		i := &inode{data: b, durable: clone(b)}
		r.names[n], r.durable[n] = i, i
	}
	return r
}

func (i *inode) survive(choose func(n int) int) []byte {
	b := clone(i.durable)
	bySector := map[int64][]write{}
	var sectors []int64
	for _, w := range i.pending {
		s := w.off / SectorBytes
		if w.data == nil {
			s = -1
		}
		if bySector[s] == nil {
			sectors = append(sectors, s)
		}
		bySector[s] = append(bySector[s], w)
	}
	for _, s := range sectors {
		ws := bySector[s]
		for _, w := range ws[:choose(len(ws)+1)] {
			b = w.apply(b)
		}
	}
	return b
}

func (w write) apply(b []byte) []byte {
	if end := max(w.size, w.off+int64(len(w.data))); end > int64(len(b)) {
		b = append(b, make([]byte, end-int64(len(b)))...)
	}
	copy(b[w.off:], w.data)
	return b
}

func apply(names map[string]*inode, c nameChange) {
	if c.del != "" {
		delete(names, c.del)
	}
	if c.set != "" {
		names[c.set] = c.ino
	}
}

func clone(b []byte) []byte { return append([]byte(nil), b...) }

func (d *Disk) change(c nameChange) {
	apply(d.names, c)
	d.pending = append(d.pending, c)
}

// Create is port.Disk's.
func (d *Disk) Create(name string, size int64) (port.File, error) {
	half, err := d.step("create " + name)
	if err != nil && !half {
		return nil, err
	}
	if d.names[name] != nil {
		return nil, fmt.Errorf("create %s: %w", name, port.ErrExist)
	}
	i := &inode{}
	d.change(nameChange{set: name, ino: i})
	if err != nil {
		return nil, err
	}
	i.put(write{size: size})
	return &file{d, i, name}, nil
}

// Open is port.Disk's.
func (d *Disk) Open(name string) (port.File, error) {
	if err := d.dead(); err != nil {
		return nil, err
	}
	i := d.names[name]
	if i == nil {
		return nil, fmt.Errorf("open %s: %w", name, port.ErrNotExist)
	}
	return &file{d, i, name}, nil
}

// Rename is port.Disk's.
func (d *Disk) Rename(from, to string) error {
	half, err := d.step("rename " + from + " " + to)
	if err != nil && !half {
		return err
	}
	if d.names[from] == nil {
		return fmt.Errorf("rename %s: %w", from, port.ErrNotExist)
	}
	if !errors.Is(err, port.ErrNoSpace) {
		d.change(nameChange{del: from, set: to, ino: d.names[from]})
	}
	return err
}

// Remove is port.Disk's.
func (d *Disk) Remove(name string) error {
	half, err := d.step("remove " + name)
	if err != nil && !half {
		return err
	}
	if d.names[name] == nil {
		return fmt.Errorf("remove %s: %w", name, port.ErrNotExist)
	}
	if !errors.Is(err, port.ErrNoSpace) {
		d.change(nameChange{del: name})
	}
	return err
}

// List is port.Disk's.
func (d *Disk) List() ([]string, error) {
	if err := d.dead(); err != nil {
		return nil, err
	}
	var names []string
	for n := range d.names {
		names = append(names, n)
	}
	sort.Strings(names)
	return names, nil
}

// Room is port.Disk's.
func (d *Disk) Room() (int64, error) {
	if d.Spare == 0 {
		return 0, errors.New("crashdisk: the room is not known")
	}
	return d.Spare, nil
}

// SyncDir is port.Disk's.
func (d *Disk) SyncDir() error {
	if _, err := d.step("syncdir"); err != nil {
		return err
	}
	for _, c := range d.pending {
		apply(d.durable, c)
	}
	d.pending = nil
	return nil
}

// Content returns a file's bytes themselves, as a test may damage them; nil if there is none.
func (d *Disk) Content(name string) []byte {
	if i := d.names[name]; i != nil {
		return i.data
	}
	return nil
}

// Put makes a file with this content, durable.
func (d *Disk) Put(name string, content []byte) {
	i := &inode{data: clone(content), durable: clone(content)}
	d.names[name], d.durable[name] = i, i
}

type file struct {
	d    *Disk
	i    *inode
	name string
}

func (i *inode) put(w write) {
	i.data = w.apply(i.data)
	i.pending = append(i.pending, w)
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.d.dead(); err != nil {
		return 0, err
	}
	if off >= int64(len(f.i.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.i.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	half, err := f.d.step(fmt.Sprintf("write %s %d+%d", f.name, off, len(p)))
	if err != nil && !half {
		return 0, err
	}
	q := p
	if err != nil && !errors.Is(err, ErrCrashed) {
		q = p[:len(p)/2] // a short write; what a crash leaves of it is for Crash to choose
	}
	for at := off; len(q) > 0; {
		n := min(len(q), int(SectorBytes-at%SectorBytes))
		f.i.put(write{off: at, data: clone(q[:n])})
		q, at = q[n:], at+int64(n)
	}
	if err != nil {
		return len(p) / 2, err
	}
	return len(p), nil
}

func (f *file) Size() (int64, error) {
	return int64(len(f.i.data)), f.d.dead()
}

func (f *file) Sync() error {
	if _, err := f.d.step("sync " + f.name); err != nil {
		return err
	}
	f.i.durable, f.i.pending = clone(f.i.data), nil
	return nil
}

func (f *file) Close() error { return f.d.dead() }
