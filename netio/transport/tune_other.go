//go:build !linux

package transport

import "net"

// tune leaves the kernel's settings alone.
func tune(net.Conn) {}
