//go:build !unix

package listen

import (
	"errors"
	"syscall"
)

// set refuses: these options exist on Unix only.
func (o Options) set(syscall.RawConn) error {
	return errors.New("reusing a port or address is not supported on this system")
}
