package world

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/sim/prng"
)

// Disk is one directory on a host's disk, behind a page cache. Of what was written and not synced a loss of power keeps some and loses some, sector by
// sector. Of the changes of names since the last SyncDir it keeps some and undoes some, each by itself. A killed process loses nothing, but what it
// had not synced is still not durable.
type Disk struct {
	host   *Host
	name   string
	chance *prng.Source

	names   []entry // as they are, sorted
	durable []entry // as they are after a loss of power, but for pending
	pending []change

	limit     int64 // bytes that all files may have; 0: no bound
	tight     bool  // the disk says that it has no room to spare
	syncFails int   // that many more syncs fail
	writeFail int   // that many more writes fail
	hurts     uint64
	epoch     uint32
	syncedAt  int64 // when a file was last synced
}

type entry struct {
	name string
	ino  *inode
}

// change is one change of names that is not durable yet. A creation has no from, a removal no to.
type change struct {
	from, to string
	ino      *inode
}

// reopen closes the files that an earlier life had open.
func (d *Disk) reopen() { d.epoch = d.host.epoch }

func find(entries []entry, name string) (int, bool) {
	return sort.Find(len(entries), func(i int) int { return strings.Compare(name, entries[i].name) })
}

func put(entries []entry, name string, ino *inode) []entry {
	i, ok := find(entries, name)
	if ok {
		entries[i].ino = ino
		return entries
	}
	return slices.Insert(entries, i, entry{name, ino})
}

func drop(entries []entry, name string, ino *inode) []entry {
	if i, ok := find(entries, name); ok && entries[i].ino == ino {
		return slices.Delete(entries, i, i+1)
	}
	return entries
}

// Create makes a new file.
func (d *Disk) Create(name string, size int64) (port.File, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if _, taken := find(d.names, name); taken {
		return nil, fmt.Errorf("create %s: %w", name, port.ErrExist)
	}
	if d.host.step(true) {
		panic(died{})
	}
	if !d.room(size) {
		d.hurts++
		d.host.w.Counts.DiskFull++
		return nil, fmt.Errorf("create %s: %w", name, port.ErrNoSpace)
	}
	ino := &inode{data: make([]byte, size)}
	if size > 0 {
		ino.sizes = append(ino.sizes, size)
	}
	d.names = put(d.names, name, ino)
	d.changed(change{to: name, ino: ino})
	return &handle{disk: d, epoch: d.host.epoch, name: name, ino: ino}, nil
}

// Open opens an existing file.
func (d *Disk) Open(name string) (port.File, error) {
	i, ok := find(d.names, name)
	if !ok {
		return nil, fmt.Errorf("open %s: %w", name, port.ErrNotExist)
	}
	return &handle{disk: d, epoch: d.host.epoch, name: name, ino: d.names[i].ino}, nil
}

// Rename gives a file a new name.
func (d *Disk) Rename(from, to string) error {
	if err := checkName(to); err != nil {
		return err
	}
	i, ok := find(d.names, from)
	if !ok {
		return fmt.Errorf("rename %s: %w", from, port.ErrNotExist)
	}
	if d.host.step(true) {
		panic(died{})
	}
	if from == to {
		return nil
	}
	ino := d.names[i].ino
	d.names = put(drop(d.names, from, ino), to, ino)
	d.changed(change{from: from, to: to, ino: ino})
	return nil
}

// Remove removes a file.
func (d *Disk) Remove(name string) error {
	i, ok := find(d.names, name)
	if !ok {
		return fmt.Errorf("remove %s: %w", name, port.ErrNotExist)
	}
	if d.host.step(true) {
		panic(died{})
	}
	ino := d.names[i].ino
	d.names = drop(d.names, name, ino)
	d.changed(change{from: name, ino: ino})
	return nil
}

// List returns the names of all files, sorted.
func (d *Disk) List() ([]string, error) {
	names := make([]string, len(d.names))
	for i := range d.names {
		names[i] = d.names[i].name
	}
	return names, nil
}

// SyncDir makes all changes of names so far durable.
func (d *Disk) SyncDir() error {
	if d.host.step(true) {
		panic(died{})
	}
	if d.failSync() {
		return fmt.Errorf("sync directory: %w", errIO)
	}
	d.durable = append(d.durable[:0], d.names...)
	d.pending = d.pending[:0]
	d.host.w.Note(DiskNames, d.host.id, 0, uint64(len(d.names)))
	return nil
}

func (d *Disk) changed(c change) {
	d.pending = append(d.pending, c)
	d.host.w.Note(DiskNames, d.host.id, xxhash.Sum64String(c.from), xxhash.Sum64String(c.to))
}

// room says whether there is room for that many more bytes.
func (d *Disk) room(more int64) bool {
	if d.limit == 0 {
		return true
	}
	return d.Used()+more <= d.limit
}

// Tight has the disk say that it has no room to spare. What is needed fits all the same.
func (d *Disk) Tight(tight bool) { d.tight = tight }

// Room returns how many more bytes there is room for.
func (d *Disk) Room() (int64, error) {
	switch {
	case d.tight:
		return 0, nil
	case d.limit == 0:
		return math.MaxInt64, nil
	}
	return max(0, d.limit-d.Used()), nil
}

// Used returns the bytes that all files have together.
func (d *Disk) Used() int64 {
	var sum int64
	for i := range d.names {
		sum += int64(len(d.names[i].ino.data))
	}
	return sum
}

// Hurts counts the operations that failed on demand: by Fill, FailSyncs or FailWrites.
func (d *Disk) Hurts() uint64 { return d.hurts }

// Fill leaves room for that many bytes more; Drain takes the bound away.
func (d *Disk) Fill(spare int64) { d.limit = max(1, d.Used()+spare) }
func (d *Disk) Drain()           { d.limit = 0 }

// FailSyncs has the next n syncs fail, FailWrites the next n writes.
func (d *Disk) FailSyncs(n int)  { d.syncFails = n }
func (d *Disk) FailWrites(n int) { d.writeFail = n }

func (d *Disk) failSync() bool {
	if d.syncFails == 0 {
		return false
	}
	d.syncFails--
	d.hurts++
	d.host.w.Counts.FailedSyncs++
	return true
}

// Corrupt flips bits of one byte of a file, durably, as a bad disk does. It says whether there is such a byte.
func (d *Disk) Corrupt(name string, off int64, flip byte) bool {
	i, ok := find(d.names, name)
	if !ok || off < 0 || off >= int64(len(d.names[i].ino.data)) || flip == 0 {
		return false
	}
	d.names[i].ino.data[off] ^= flip
	return true
}

// losePower decides what of the unsynced remains.
func (d *Disk) losePower() {
	before := d.durable
	d.durable = nil
	names := append([]entry(nil), before...)
	keepAll, keepNone := d.chance.Permille(300), d.chance.Permille(300)
	for _, c := range d.pending {
		if kept := d.chance.Permille(500); !keepAll && (keepNone || !kept) {
			d.host.w.Counts.UndoneNames++
			continue
		}
		if c.from != "" {
			names = drop(names, c.from, c.ino)
		}
		if c.to != "" {
			names = put(names, c.to, c.ino)
		}
	}
	d.pending = d.pending[:0]
	d.names = names
	d.durable = append([]entry(nil), names...)
	for i := range d.names {
		d.names[i].ino.losePower(d)
	}
}

func checkName(name string) error {
	if name == "" || strings.ContainsAny(name, `/\`) || name == "." || name == ".." {
		return fmt.Errorf("%q is no plain file name", name)
	}
	return nil
}
