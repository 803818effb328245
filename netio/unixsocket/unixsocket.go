// Package unixsocket opens Unix sockets to listen on. It takes over the file of a process that is gone, and leaves that of one which still
// listens alone.
//
// Concurrency: two processes that open the same path at the same moment may both believe the file to be left behind; the later one has it.
package unixsocket

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// knock is how long an answer is waited for. Who listens, but does not get to accept, lets others wait.
const knock = time.Second

// Listen listens at path. A process that was killed leaves its socket's file behind: where nobody answers, the file is replaced. A file that
// is no socket is left alone.
func Listen(path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil && (info.Mode().IsRegular() || info.IsDir()) {
		return nil, fmt.Errorf("listen on the Unix socket %s: there is something else with that name; choose another one, or remove it", path)
	}
	c, err := net.DialTimeout("unix", path, knock)
	if err == nil {
		_ = c.Close()
	}
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.EAGAIN) {
		return nil, &net.OpError{Op: "listen", Net: "unix", Addr: &net.UnixAddr{Name: path, Net: "unix"}, Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return net.Listen("unix", path)
}
