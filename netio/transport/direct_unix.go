//go:build unix

package transport

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// directWriter returns a function that writes what the kernel takes at once, and never waits. It returns nil if conn is no plain socket, as with TLS.
func directWriter(conn net.Conn) func([]byte) (int, error) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	// These are made once, as every message uses them.
	var data []byte
	var n int
	var failed error
	write := func(fd uintptr) { n, failed = unix.Write(int(fd), data) }
	return func(b []byte) (int, error) {
		data, n, failed = b, 0, nil
		if err := raw.Control(write); err != nil {
			return 0, err
		}
		data = nil
		if errors.Is(failed, unix.EAGAIN) || errors.Is(failed, unix.EINTR) {
			return 0, nil
		}
		return max(n, 0), failed
	}
}
