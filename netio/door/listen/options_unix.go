//go:build unix

package listen

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// set applies the options to a socket that is about to be bound.
func (o Options) set(raw syscall.RawConn) error {
	var errPort, errAddress error
	err := raw.Control(func(fd uintptr) {
		if o.ReusePort {
			errPort = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}
		if o.ReuseAddress {
			errAddress = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		}
	})
	return errors.Join(err, errPort, errAddress)
}
