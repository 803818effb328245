// Package listen opens the sockets that clients connect to, and shares one port between gRPC and HTTP of either version, TLS or not. It
// leaves to its callers what is spoken on a connection.
//
// Concurrency: each connection is looked at in a goroutine of its own, for a bounded time; everything may be called from any
// goroutine.
package listen

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"syscall"

	"github.com/detcd/detcd/netio/unixsocket"
)

// Options are set on sockets that listen.
type Options struct {
	// ReusePort and ReuseAddress set SO_REUSEPORT and SO_REUSEADDR.
	ReusePort, ReuseAddress bool
}

// Open listens where a URL says: schemes http and https mean TCP, unix and unixs a socket file. A socket file that an earlier
// process left behind is replaced; one where somebody listens is in use.
func Open(u url.URL, o Options) (net.Listener, error) {
	switch u.Scheme {
	case "http", "https":
		c := net.ListenConfig{}
		if o.ReusePort || o.ReuseAddress {
			c.Control = func(_, _ string, raw syscall.RawConn) error { return o.set(raw) }
		}
		return c.Listen(context.Background(), "tcp", u.Host)
	case "unix", "unixs":
		return unixsocket.Listen(SocketPath(u))
	}
	return nil, fmt.Errorf("scheme of %s must be http, https, unix or unixs", u.String())
}

// Address is what Open binds to: two URLs with the same address share one listener.
func Address(u url.URL) string {
	if u.Scheme == "unix" || u.Scheme == "unixs" {
		return "unix:" + SocketPath(u)
	}
	return "tcp:" + u.Host
}

// Secure tells whether a URL asks for TLS.
func Secure(u url.URL) bool { return u.Scheme == "https" || u.Scheme == "unixs" }

// SocketPath is the file of a unix URL: unix:///dir/file, unix:file, or etcd's unix://file:0.
func SocketPath(u url.URL) string {
	if u.Opaque != "" {
		return u.Opaque
	}
	return u.Host + u.Path
}
