package disk

import (
	"errors"
	"io/fs"

	"github.com/detcd/detcd/node/port"
)

// Error is a failed operation of the file system. errors.Is sees port.ErrNotExist, port.ErrExist and port.ErrNoSpace in
// it, and the operating system's error.
type Error struct {
	Op   string // what was tried: "create", "sync"…
	Path string
	Err  error // the operating system's reason
}

// Error names the operation, the file and the reason.
func (e *Error) Error() string { return e.Op + " " + e.Path + ": " + reason(e.Err).Error() }

// Unwrap returns the operating system's error.
func (e *Error) Unwrap() error { return e.Err }

// Is says whether the error is one of the port's conditions.
func (e *Error) Is(target error) bool {
	switch target {
	case port.ErrNotExist:
		return errors.Is(e.Err, fs.ErrNotExist)
	case port.ErrExist:
		return errors.Is(e.Err, fs.ErrExist)
	case port.ErrNoSpace:
		return isNoSpace(e.Err)
	}
	return false
}

var errNotDir = errors.New("not a directory")

// reason takes package os's wrapping off, which says operation and path a second time.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
