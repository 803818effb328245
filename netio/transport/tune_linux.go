package transport

import (
	"net"

	"golang.org/x/sys/unix"
)

// unsentBytes is how much the kernel may hold that it has not sent yet. The kernel's own bound grows to megabytes, and on a slow line an urgent
// message would wait for all of them.
const unsentBytes = 128 << 10

// tune bounds what the kernel holds, so that urgent messages can overtake others here. If that can't be done, urgent messages are slower, and nothing else.
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
