package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A data directory:
//
//	DIR/FORMAT           text: what this is, the format's number, where the WAL is (see format)
//	DIR/LOCK             locked as long as a process works here
//	DIR/member/wal/      the WAL, unless it has a directory of its own:
//	DIR/member/snapshot/ the snapshots, and how far the log reaches
//	WALDIR/LOCK          the same lock, WALDIR being the directory given for the WAL
//	WALDIR/wal/          the WAL, or, where somebody has put it there:
//	WALDIR/              the WAL itself
//
// A log may be moved while no process works on it. FORMAT says where it was last, so that an error can say so when the log is not found.
const (
	formatName   = "FORMAT"
	lockName     = "LOCK"
	formatNumber = 1
	inside       = "inside"
	outside      = "outside"
)

// Errors of OpenDir, told apart with errors.Is.
var (
	// ErrLocked: another process works in the directory.
	ErrLocked = errors.New("the directory is in use by another process")
	// ErrStockEtcd: the directory belongs to etcd and has to be imported first. Nothing in it was touched.
	ErrStockEtcd = errors.New("this is a data directory of etcd")
	// ErrFormat: the directory is of another format, or not one of detcd's. Nothing in it was touched.
	ErrFormat = errors.New("not a data directory that this version of detcd can use")
	// ErrWALPlace: there is no WAL where the flags say, and the WAL was elsewhere when the member last ran. To go on would begin an empty WAL, and
	// so forget what was acknowledged. Nothing was touched.
	ErrWALPlace = errors.New("the log (WAL) is not where this data directory had it")
	// ErrNoDir: a path that should be a directory is none. Nothing was touched.
	ErrNoDir = errors.New("not a directory")

	errLockHeld = errors.New("lock held")

	// formatWays says what can be done if FORMAT is missing or damaged.
	formatWays = formatName + " is a short text: put back a copy of it, or copy that of another member whose log is in the same place"
)

// DirOptions of a data directory.
type DirOptions struct {
	// WALDir is a directory for the WAL alone, on another disk for instance. Empty: inside the data directory.
	WALDir string
	// ObserveWALSync and ObserveSnapshotSync are told how long each File.Sync took. Nil: nobody is.
	ObserveWALSync, ObserveSnapshotSync func(time.Duration)
	// ObserveShortage is that of Options.
	ObserveShortage func(path string, err error)
}

// Dir is an open data directory, locked until Close or the end of the process.
type Dir struct {
	path           string
	wal, snapshots *FileDisk
	locks          []*os.File
	warnings       []string
	// before is the content of FORMAT as it was found, now the content that it has to have.
	before, now format
}

// OpenDir opens the data directory at path and locks it. If there is none, it makes one (0700). Errors: ErrLocked,
// ErrStockEtcd, ErrFormat, ErrWALPlace, ErrNoDir, or the file system's.
func OpenDir(path string, o DirOptions) (_ *Dir, err error) {
	for _, dir := range []string{path, o.WALDir} {
		if err := refuseNoDir(dir); err != nil {
			return nil, err
		}
	}
	if err := refuseStock(path); err != nil {
		return nil, err
	}
	before, err := readFormat(path)
	fresh := errors.Is(err, fs.ErrNotExist)
	if err != nil && !fresh {
		return nil, err
	}
	walDir, err := placeLog(path, o.WALDir, before)
	if err != nil {
		return nil, err
	}
	if err := makeDirs(path); err != nil {
		return nil, err
	}
	d := &Dir{path: path, before: before}
	defer func() {
		if err != nil {
			_ = d.Close()
		}
	}()
	if err := d.lock(path); err != nil {
		return nil, err
	}
	d.now = format{Number: formatNumber, WAL: inside, Recorded: true, Lived: true}
	if o.WALDir != "" {
		d.now.WAL = outside
		if d.now.WALDir, err = filepath.Abs(o.WALDir); err != nil {
			return nil, err
		}
		if err := makeDirs(o.WALDir); err != nil {
			return nil, err
		}
		if err := d.lock(o.WALDir); err != nil {
			return nil, err
		}
	}
	if fresh {
		d.before = d.now
		d.before.Lived = false
		if err := writeFormat(d.path, d.before); err != nil {
			return nil, err
		}
	}
	// The directories of log and snapshots are made with their first files. So nothing is made if a log is missing.
	d.wal = &FileDisk{dir: walDir, observeSync: o.ObserveWALSync, observeShortage: o.ObserveShortage}
	d.snapshots = &FileDisk{dir: filepath.Join(path, "member", "snapshot"), observeSync: o.ObserveSnapshotSync, observeShortage: o.ObserveShortage}
	return d, nil
}

// Opened makes sure that FORMAT says that a member lives here, and where its WAL is. It is called when the WAL was found to be this member's, and
// before anything is acknowledged.
func (d *Dir) Opened() error {
	if d.before == d.now {
		return nil
	}
	if err := writeFormat(d.path, d.now); err != nil {
		return err
	}
	d.before = d.now
	return nil
}

// LogWas says in words where the WAL was when the member last ran.
func (d *Dir) LogWas() string { return d.before.words(d.path) }

// Lived says that a member's WAL was open here before, so that there must be one.
func (d *Dir) Lived() bool { return d.before.Lived }

// Early says that the directory was made by detcd 0.1.0. That version did not note how far a log reaches.
func (d *Dir) Early() bool { return !d.before.Recorded }

// Path returns the data directory's path.
func (d *Dir) Path() string { return d.path }

// WAL returns the WAL's files.
func (d *Dir) WAL() *FileDisk { return d.wal }

// Snapshots returns the snapshots' files.
func (d *Dir) Snapshots() *FileDisk { return d.snapshots }

// Warnings returns lines for the log: what is odd about the directory, but no reason to refuse it.
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

// format is the content of FORMAT.
type format struct {
	Number int
	WAL    string // inside or outside of the data directory; empty: there is no FORMAT
	// Recorded says that WALDir is known: the directory that was given for the WAL. It is false for a FORMAT that detcd 0.1.0 wrote.
	Recorded bool
	WALDir   string
	Lived    bool // a member's WAL was open
}

// words says where the WAL was.
func (f *format) words(dir string) string {
	switch {
	case f.WAL == inside:
		return filepath.Join(dir, "member", "wal")
	case f.WALDir != "":
		return f.WALDir + " (--wal-dir=" + f.WALDir + ")"
	}
	return "a directory of its own (--wal-dir)"
}

// placeLog returns the directory of the WAL's files: below walDir if that is given, else inside of the data directory. It refuses if there are no
// files, but the place where they were before has some.
func placeLog(path, walDir string, before format) (string, error) {
	dir, err := logBelow(path, walDir)
	if err != nil || before.WAL == "" || holdsLog(dir) {
		return dir, err
	}
	given := inside
	if walDir != "" {
		given = outside
	}
	within := filepath.Join(path, "member", "wal")
	was := within
	if before.WALDir != "" {
		was, _ = logBelow(path, before.WALDir)
	}
	switch {
	case holdsLog(within):
		return "", fmt.Errorf("%s: %w: there is none in %s, but there is one in %s: start without --wal-dir, or move it", path, ErrWALPlace, dir, within)
	case holdsLog(was):
		return "", fmt.Errorf("%s: %w: there is none in %s, but there is one in %s: start with --wal-dir=%s, or move it", path, ErrWALPlace, dir, was, before.WALDir)
	case given != before.WAL:
		return "", fmt.Errorf("%s: %w: there is none in %s; when the member last ran, it was in %s: mount its disk, or start with the --wal-dir where it is now",
			path, ErrWALPlace, dir, before.words(path))
	case given == outside && !exists(walDir):
		return "", fmt.Errorf("%s: %w: there is no directory %s; when the member last ran, it was in %s: mount its disk, or start with the --wal-dir where it is now",
			path, ErrWALPlace, walDir, before.words(path))
	}
	return dir, nil
}

// logBelow returns the directory of the WAL's files for a --wal-dir: the directory itself if it holds such files, as with etcd, else wal/ in it.
func logBelow(path, walDir string) (string, error) {
	if walDir == "" {
		return filepath.Join(path, "member", "wal"), nil
	}
	own := filepath.Join(walDir, "wal")
	if !holdsLog(walDir) {
		return own, nil
	}
	if holdsLog(own) {
		return "", fmt.Errorf("%w: both %s and %s hold segments of a log; move away those that are not this member's", ErrWALPlace, walDir, own)
	}
	return walDir, nil
}

// holdsLog says whether there are segments of a WAL in a directory.
func holdsLog(dir string) bool {
	entries, _ := os.ReadDir(dir)
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		return strings.HasPrefix(e.Name(), "wal-") && strings.HasSuffix(e.Name(), ".log")
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// refuseNoDir refuses a path that is there, but is no directory: a file, or a link to nothing.
func refuseNoDir(dir string) error {
	if dir == "" {
		return nil
	}
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s: %w but a file; give a directory, or a path where one can be made", dir, ErrNoDir)
	case err == nil || !errors.Is(err, fs.ErrNotExist):
		return nil // the code that uses the path says what is wrong
	}
	if target, err := os.Readlink(dir); err == nil {
		return fmt.Errorf("%s: %w but a link to %s, which does not exist; mount its disk, make that directory, or mend the link", dir, ErrNoDir, target)
	}
	return nil
}

const (
	formatText = "detcd data directory\nformat %d\nwal %s\n"
	// detcd 0.1.0 did not write this line, and ignores it.
	placeText = "wal-dir %q\nlived %t\n"
)

func readFormat(dir string) (format, error) {
	path := filepath.Join(dir, formatName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		// In a new directory FORMAT is written first. So member/ without FORMAT was made by another program.
		if _, err := os.Stat(filepath.Join(dir, "member")); err == nil {
			return format{}, fmt.Errorf("%s: %w: it holds a member but no %s file; %s", dir, ErrFormat, formatName, formatWays)
		}
		return format{}, &Error{Op: "read", Path: path, Err: err}
	}
	if err != nil {
		return format{}, &Error{Op: "read", Path: path, Err: err}
	}
	var f format
	if _, err := fmt.Sscanf(string(text), formatText, &f.Number, &f.WAL); err != nil {
		return format{}, fmt.Errorf("%s: %w: its content is %q; %s", path, ErrFormat, firstLine(string(text)), formatWays)
	}
	if f.Number != formatNumber {
		return format{}, fmt.Errorf("%s: %w: it has format %d, this version uses format %d; start the version that wrote it", path, ErrFormat, f.Number,
			formatNumber)
	}
	if f.WAL != inside && f.WAL != outside {
		return format{}, fmt.Errorf("%s: %w: the WAL's place is %q; %s", path, ErrFormat, f.WAL, formatWays)
	}
	n, _ := fmt.Sscanf(string(text), formatText+placeText, &f.Number, &f.WAL, &f.WALDir, &f.Lived)
	f.Recorded = n == 4
	return f, nil
}

// writeFormat writes FORMAT, as a whole or not at all.
func writeFormat(dir string, f format) error {
	path := filepath.Join(dir, formatName)
	tmp, err := os.OpenFile(path+".tmp", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return &Error{Op: "create", Path: path, Err: err}
	}
	_, err = fmt.Fprintf(tmp, formatText+placeText, f.Number, f.WAL, f.WALDir, f.Lived)
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
