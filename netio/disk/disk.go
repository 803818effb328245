// Package disk keeps a member's files on the operating system's file system: port.Disk on one directory, and the layout,
// format version and lock of a whole data directory.
//
// What the files mean is for others to know (node's WAL and snapshots), and what to do after an error as well. Nothing is tried again here: after a
// failed write or sync nobody knows what is on the disk.
//
// Concurrency: a FileDisk and a Dir may be used by several goroutines; a file by one at a time, as its lane does.
package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/detcd/detcd/node/port"
)

// FileDisk is the files of one directory.
type FileDisk struct {
	dir             string
	observeSync     func(time.Duration)
	observeShortage func(path string, err error)
}

var _ port.Disk = (*FileDisk)(nil)

// Options of a FileDisk.
type Options struct {
	// ObserveSync is told how long each File.Sync took, in the goroutine that made it. Nil: nobody is.
	ObserveSync func(time.Duration)
	// ObserveShortage is told when a file can't be opened as there is no descriptor left, once for each such wait. Nil: nobody is.
	ObserveShortage func(path string, err error)
}

// Open returns the files of dir. If the directory is missing, it is made (0700, durably). (In a data directory it is made with the first file.)
func Open(dir string, o Options) (*FileDisk, error) {
	if err := makeDirs(dir); err != nil {
		return nil, err
	}
	return &FileDisk{dir: dir, observeSync: o.ObserveSync, observeShortage: o.ObserveShortage}, nil
}

// Dir returns the directory's path.
func (d *FileDisk) Dir() string { return d.dir }

// Create implements port.Disk. It reserves the blocks of the file, if the file system can do that. Then later writes inside of size can't run out of
// space.
func (d *FileDisk) Create(name string, size int64) (port.File, error) {
	path := d.path(name)
	create := func() (*os.File, error) { return createFile(path) }
	f, err := patientlyOpen(d, path, create)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeDirs(d.dir); err != nil {
			return nil, err
		}
		f, err = patientlyOpen(d, path, create)
	}
	if err != nil {
		return nil, &Error{Op: "create", Path: path, Err: err}
	}
	if size > 0 {
		if err := preallocate(f, size); err != nil {
			// Else a half-made file would stay on the full disk, under this name.
			_ = f.Close()
			_ = os.Remove(path)
			return nil, &Error{Op: "preallocate", Path: path, Err: err}
		}
	}
	return &file{f: f, path: path, observeSync: d.observeSync, reserved: size}, nil
}

// Open implements port.Disk.
func (d *FileDisk) Open(name string) (port.File, error) {
	path := d.path(name)
	f, err := patientlyOpen(d, path, func() (*os.File, error) { return openFile(path) })
	if err != nil {
		return nil, &Error{Op: "open", Path: path, Err: err}
	}
	return &file{f: f, path: path, observeSync: d.observeSync}, nil
}

// Rename implements port.Disk.
func (d *FileDisk) Rename(from, to string) error {
	path, target := d.path(from), d.path(to)
	if err := os.Rename(path, target); err != nil {
		return &Error{Op: "rename", Path: path, Err: err}
	}
	return nil
}

// Remove implements port.Disk.
func (d *FileDisk) Remove(name string) error {
	path := d.path(name)
	if err := os.Remove(path); err != nil {
		return &Error{Op: "remove", Path: path, Err: err}
	}
	return nil
}

// List implements port.Disk. It leaves directories out, such as lost+found.
func (d *FileDisk) List() ([]string, error) {
	entries, err := patientlyOpen(d, d.dir, func() ([]os.DirEntry, error) { return os.ReadDir(d.dir) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // the directory is made with the first file
	}
	if err != nil {
		return nil, &Error{Op: "list", Path: d.dir, Err: err}
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	sort.Strings(names)
	return names, nil
}

// SyncDir implements port.Disk.
func (d *FileDisk) SyncDir() error {
	return d.patiently(d.dir, func() error { return syncDir(d.dir) })
}

// Room implements port.Disk: the space of the file system that is free for this process's user.
func (d *FileDisk) Room() (int64, error) {
	bytes, err := freeBytes(d.dir)
	if err != nil {
		return 0, &Error{Op: "measure the free space of", Path: d.dir, Err: err}
	}
	return bytes, nil
}

// path panics if the name is not a plain file name: names come from the program, never from outside.
func (d *FileDisk) path(name string) string {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, `/\`) {
		panic(fmt.Sprintf("disk: %q is not a plain file name", name))
	}
	return filepath.Join(d.dir, name)
}

// makeDirs makes dir, and the directories above it that are missing. It syncs the parent of each: a directory that is lost in a loss of power takes
// its synced files along.
func makeDirs(dir string) error {
	info, err := os.Stat(dir)
	if err == nil {
		if !info.IsDir() {
			return &Error{Op: "open directory", Path: dir, Err: errNotDir}
		}
		return nil
	}
	if !os.IsNotExist(err) {
		return &Error{Op: "open directory", Path: dir, Err: err}
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDirs(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		return &Error{Op: "make directory", Path: dir, Err: err}
	}
	return syncDir(parent)
}
