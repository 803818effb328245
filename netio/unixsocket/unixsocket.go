// Package unixsocket opens Unix sockets to listen on. It takes over the file of a process that is gone, and leaves that of one which still
// listens alone.
//
// Concurrency: two processes that open the same path at the same moment may both believe the file to be left behind; the later one has it.
package unixsocket

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// Listen listens at path. A process that was killed leaves its socket's file behind: where nobody answers, the file is replaced.
func Listen(path string) (net.Listener, error) {
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close()
		return nil, &net.OpError{Op: "listen", Net: "unix", Addr: &net.UnixAddr{Name: path, Net: "unix"}, Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return net.Listen("unix", path)
}
