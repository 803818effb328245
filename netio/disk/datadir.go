package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A data directory:
//
//	DIR/FORMAT           text: what this is, the format's number, where the WAL is (see format)
//	DIR/LOCK             locked as long as a process works here
//	DIR/member/wal/      the WAL, unless it has a directory of its own:
//	DIR/member/snapshot/ the snapshots
//	WALDIR/LOCK          the same lock, WALDIR being the directory given for the WAL
//	WALDIR/wal/          the WAL
const (
	formatName   = "FORMAT"
	lockName     = "LOCK"
	formatNumber = 1
)

// Errors of OpenDir, told apart with errors.Is.
var (
	// ErrLocked: another process works in the directory.
	ErrLocked = errors.New("the directory is in use by another process")
	// ErrStockEtcd: the directory belongs to etcd and has to be imported first. Nothing in it was touched.
	ErrStockEtcd = errors.New("this is a data directory of etcd")
	// ErrFormat: the directory is of another format, or not one of detcd's. Nothing in it was touched.
	ErrFormat = errors.New("not a data directory that this version of detcd can use")
	// ErrWALPlace: the WAL of this data directory was inside of it and now is said to be elsewhere, or the other way round.
	// To go on would start from an empty WAL and so forget what was acknowledged.
	ErrWALPlace = errors.New("the WAL is not where this data directory had it")

	errLockHeld = errors.New("lock held")
)

// DirOptions of a data directory.
type DirOptions struct {
	// WALDir is a directory for the WAL alone, on another disk for instance. Empty: inside the data directory.
	WALDir string
	// ObserveWALSync and ObserveSnapshotSync are told how long each File.Sync took. Nil: nobody is.
	ObserveWALSync, ObserveSnapshotSync func(time.Duration)
}

// Dir is an open data directory, locked until Close or the end of the process.
type Dir struct {
	path           string
	wal, snapshots *FileDisk
	locks          []*os.File
	warnings       []string
}

// OpenDir opens the data directory at path, making it (0700) where there is none, and locks it. Errors: ErrLocked,
// ErrStockEtcd, ErrFormat, ErrWALPlace, or the file system's.
func OpenDir(path string, o DirOptions) (_ *Dir, err error) {
	if err := refuseStock(path); err != nil {
		return nil, err
	}
	if _, err := readFormat(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := makeDirs(path); err != nil {
		return nil, err
	}
	d := &Dir{path: path}
	defer func() {
		if err != nil {
			_ = d.Close()
		}
	}()
	if err := d.lock(path); err != nil {
		return nil, err
	}
	place := "inside"
	walDir := filepath.Join(path, "member", "wal")
	if o.WALDir != "" {
		place = "outside"
		walDir = filepath.Join(o.WALDir, "wal")
		if err := makeDirs(o.WALDir); err != nil {
			return nil, err
		}
		if err := d.lock(o.WALDir); err != nil {
			return nil, err
		}
	}
	if err := d.settleFormat(format{Number: formatNumber, WAL: place}); err != nil {
		return nil, err
	}
	if d.wal, err = Open(walDir, Options{ObserveSync: o.ObserveWALSync}); err != nil {
		return nil, err
	}
	d.snapshots, err = Open(filepath.Join(path, "member", "snapshot"), Options{ObserveSync: o.ObserveSnapshotSync})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Path returns the data directory's path.
func (d *Dir) Path() string { return d.path }

// WAL returns the WAL's files.
func (d *Dir) WAL() *FileDisk { return d.wal }

// Snapshots returns the snapshots' files.
func (d *Dir) Snapshots() *FileDisk { return d.snapshots }

// Warnings returns what is odd about the directory, but no reason to refuse it, for the log.
func (d *Dir) Warnings() []string { return d.warnings }

// Close gives the lock back. Files of the directory must be closed by then.
func (d *Dir) Close() error {
	var errs []error
	for _, l := range d.locks {
		errs = append(errs, l.Close())
	}
	d.locks = nil
	return errors.Join(errs...)
}

// lock locks the directory dir and looks at its permissions.
func (d *Dir) lock(dir string) error {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return &Error{Op: "lock", Path: path, Err: err}
	}
	if err := lockFile(f); err != nil {
		_ = f.Close()
		if errors.Is(err, errLockHeld) {
			return fmt.Errorf("%s: %w", dir, ErrLocked)
		}
		return &Error{Op: "lock", Path: path, Err: err}
	}
	d.locks = append(d.locks, f)
	if info, err := os.Stat(dir); err == nil && loose(info.Mode()) {
		d.warnings = append(d.warnings, fmt.Sprintf("%s has permissions %04o; 0700 is recommended, others can read the data",
			dir, info.Mode().Perm()))
	}
	return nil
}

// settleFormat writes FORMAT in a new directory, and compares it in an old one.
func (d *Dir) settleFormat(want format) error {
	have, err := readFormat(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return writeFormat(d.path, want)
	}
	if err != nil {
		return err
	}
	if have.WAL != want.WAL {
		return fmt.Errorf("%s: %w: it was %s the data directory; start with the same --wal-dir as before", d.path, ErrWALPlace,
			have.WAL)
	}
	return nil
}

// format is the content of FORMAT.
type format struct {
	Number int
	WAL    string // "inside" or "outside" of the data directory
}

const formatText = "detcd data directory\nformat %d\nwal %s\n"

func readFormat(dir string) (format, error) {
	path := filepath.Join(dir, formatName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		// FORMAT comes before all else in a new directory, so a member without it is somebody else's.
		if _, err := os.Stat(filepath.Join(dir, "member")); err == nil {
			return format{}, fmt.Errorf("%s: %w: it holds a member but no %s file", dir, ErrFormat, formatName)
		}
		return format{}, &Error{Op: "read", Path: path, Err: err}
	}
	if err != nil {
		return format{}, &Error{Op: "read", Path: path, Err: err}
	}
	var f format
	if _, err := fmt.Sscanf(string(text), formatText, &f.Number, &f.WAL); err != nil {
		return format{}, fmt.Errorf("%s: %w: its content is %q", path, ErrFormat, firstLine(string(text)))
	}
	if f.Number != formatNumber {
		return format{}, fmt.Errorf("%s: %w: it has format %d, this version uses format %d", path, ErrFormat, f.Number,
			formatNumber)
	}
	if f.WAL != "inside" && f.WAL != "outside" {
		return format{}, fmt.Errorf("%s: %w: the WAL's place is %q", path, ErrFormat, f.WAL)
	}
	return f, nil
}

// writeFormat makes FORMAT whole or not at all.
func writeFormat(dir string, f format) error {
	path := filepath.Join(dir, formatName)
	tmp, err := os.OpenFile(path+".tmp", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return &Error{Op: "create", Path: path, Err: err}
	}
	_, err = fmt.Fprintf(tmp, formatText, f.Number, f.WAL)
	if err == nil {
		err = tmp.Sync()
	}
	if err2 := tmp.Close(); err == nil {
		err = err2
	}
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		return &Error{Op: "write", Path: path, Err: err}
	}
	return syncDir(dir)
}

// refuseStock recognises what etcd keeps below member/: its database, or WAL segments.
func refuseStock(dir string) error {
	_, err := os.Stat(filepath.Join(dir, "member", "snap", "db"))
	stock := err == nil
	if !stock {
		segments, _ := filepath.Glob(filepath.Join(dir, "member", "wal", "*.wal"))
		stock = len(segments) > 0
	}
	if !stock {
		return nil
	}
	return fmt.Errorf("%s: %w (nothing in it was changed). Start detcd with another --data-dir beside the running etcd, and copy its keys: "+
		"`detcdctl make-mirror --endpoints=ETCD DETCD`", dir, ErrStockEtcd)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line[:min(len(line), 80)]
}
