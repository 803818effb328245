package transport

import (
	"net"

	"golang.org/x/sys/unix"
)

// unsentBytes is how much the kernel may hold that it has not sent yet. Its own bound grows to megabytes, all of which
// an urgent message would have to wait for on a slow line.
const unsentBytes = 128 << 10

// tune makes the kernel leave the order of messages to us. Where it can't, urgent messages are merely slower.
func tune(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytes)
	})
}
