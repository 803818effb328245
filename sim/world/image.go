package world

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/detcd/detcd/node/port"
)

// Image is a disk's content at one moment: what is durable, and what only the page cache holds.
type Image struct {
	names, durable []entry
	pending        []change
}

// Image returns what is on the disk now. It shares no memory with the disk.
func (d *Disk) Image() *Image { return (&Image{d.names, d.durable, d.pending}).copy() }

// Restore puts an image in the place of all that is on the disk; the image can be used again.
func (d *Disk) Restore(i *Image) {
	c := i.copy()
	d.names, d.durable, d.pending = c.names, c.durable, c.pending
}

func (i *Image) copy() *Image {
	copies := make(map[*inode]*inode) // looked up, never ranged
	dup := func(n *inode) *inode {
		if n == nil {
			return nil
		}
		if copies[n] == nil {
			c := *n
			c.data = append([]byte(nil), n.data...)
			c.undo = append([]preimage(nil), n.undo...)
			c.old = append([]byte(nil), n.old...)
			c.sizes = append([]int64(nil), n.sizes...)
			copies[n] = &c
		}
		return copies[n]
	}
	c := &Image{}
	for _, e := range i.names {
		c.names = append(c.names, entry{e.name, dup(e.ino)})
	}
	for _, e := range i.durable {
		c.durable = append(c.durable, entry{e.name, dup(e.ino)})
	}
	for _, p := range i.pending {
		c.pending = append(c.pending, change{p.from, p.to, dup(p.ino)})
	}
	return c
}

// Empty says whether the image holds no file.
func (i *Image) Empty() bool { return len(i.names) == 0 }

// Digest is a hash of all names and contents.
func (d *Disk) Digest() uint64 {
	h := xxhash.New()
	for i := range d.names {
		fmt.Fprintf(h, "%q %d ", d.names[i].name, len(d.names[i].ino.data))
		_, _ = h.Write(d.names[i].ino.data) // never fails
	}
	return h.Sum64()
}

// Truncate shortens a file, durably, as a bad disk or a mistake does. It says whether there was anything to cut off. Overwrite and Clear are alike.
func (d *Disk) Truncate(name string, size int64) bool {
	i, ok := find(d.names, name)
	if !ok || size < 0 || size >= int64(len(d.names[i].ino.data)) {
		return false
	}
	d.names[i].ino.data = d.names[i].ino.data[:size:size]
	return true
}

// Overwrite puts bytes into a file, as many as it has room for.
func (d *Disk) Overwrite(name string, off int64, p []byte) bool {
	i, ok := find(d.names, name)
	if !ok || off < 0 || off >= int64(len(d.names[i].ino.data)) {
		return false
	}
	copy(d.names[i].ino.data[off:], p)
	return true
}

// Clear removes all files.
func (d *Disk) Clear() bool {
	had := len(d.names) > 0
	d.names, d.durable, d.pending = nil, nil, nil
	return had
}

// Durable returns what is certainly on the disk after a loss of power. It can only be read.
func (d *Disk) Durable() port.Disk {
	var s still
	for _, e := range d.durable {
		s.files = append(s.files, stillFile{name: e.name, data: e.ino.certain()})
	}
	return s
}

// certain is the content that finished syncs cover.
func (n *inode) certain() []byte {
	data := append([]byte(nil), n.data...)
	for i := len(n.undo) - 1; i >= 0; i-- {
		if at := n.undo[i].sector * sectorBytes; at < int64(len(data)) {
			copy(data[at:], n.before(n.undo[i]))
		}
	}
	if len(n.sizes) > 0 {
		data = data[:min(n.synced, int64(len(data)))]
	}
	return data
}

// still is a disk that can only be read.
type still struct {
	port.Disk
	files []stillFile
}

type stillFile struct {
	port.File
	name string
	data []byte
}

var errStill = errors.New("this disk can only be read")

// List implements port.Disk.
func (s still) List() ([]string, error) {
	var names []string
	for i := range s.files {
		names = append(names, s.files[i].name)
	}
	return names, nil
}

// Open implements port.Disk.
func (s still) Open(name string) (port.File, error) {
	for i := range s.files {
		if s.files[i].name == name {
			return &s.files[i], nil
		}
	}
	return nil, fmt.Errorf("open %s: %w", name, port.ErrNotExist)
}

// ReadAt implements port.File.
func (f *stillFile) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements port.File.
func (f *stillFile) WriteAt([]byte, int64) (int, error) { return 0, errStill }

// Size implements port.File.
func (f *stillFile) Size() (int64, error) { return int64(len(f.data)), nil }

// Close implements port.File.
func (f *stillFile) Close() error { return nil }

// SinceSync is the time since a file of the disk was last synced.
func (d *Disk) SinceSync() time.Duration { return time.Duration(d.host.w.now - d.syncedAt) }
