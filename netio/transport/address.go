package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"

	"github.com/detcd/detcd/netio/unixsocket"
)

// address is a peer URL taken apart.
type address struct {
	network string // tcp or unix
	address string // host:port, or a path
	host    string // the name that the certificate must have
	secure  bool
}

// parseURL reads a peer URL: http, https, unix or unixs. As with etcd, the file name of a socket is all that follows unix://, host part and path.
func parseURL(raw string) (address, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return address{}, fmt.Errorf("peer URL: %w", err)
	}
	switch u.Scheme {
	case "http", "https":
		if u.Port() == "" {
			return address{}, fmt.Errorf("peer URL %q has no port", raw)
		}
		return address{network: "tcp", address: u.Host, host: u.Hostname(), secure: u.Scheme == "https"}, nil
	case "unix", "unixs":
		return address{network: "unix", address: u.Host + u.Path, host: u.Hostname(), secure: u.Scheme == "unixs"}, nil
	}
	return address{}, fmt.Errorf("peer URL %q: the scheme is none of http, https, unix, unixs", raw)
}

var errNoTLS = errors.New("the URL needs TLS, for which no certificates are configured")

// dialURL connects to a peer URL, TLS handshake included.
func dialURL(ctx context.Context, raw string, config *tls.Config) (net.Conn, error) {
	a, err := parseURL(raw)
	if err != nil {
		return nil, err
	}
	if a.secure && config == nil {
		return nil, fmt.Errorf("dial %s: %w", raw, errNoTLS)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, a.network, a.address)
	if err != nil {
		return nil, err
	}
	tune(conn)
	if !a.secure {
		return conn, nil
	}
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName = a.host
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("TLS with %s: %w", raw, err)
	}
	return secure, nil
}

// Listen opens a listener for each peer URL, https and unixs ones with TLS of config. On an error none stays open.
func Listen(urls []string, config *tls.Config) (listeners []net.Listener, err error) {
	defer func() {
		if err != nil {
			for _, l := range listeners {
				_ = l.Close()
			}
			listeners = nil
		}
	}()
	for _, raw := range urls {
		a, err := parseURL(raw)
		if err != nil {
			return listeners, err
		}
		if a.secure && config == nil {
			return listeners, fmt.Errorf("listen on %s: %w", raw, errNoTLS)
		}
		l, err := a.listen()
		if err != nil {
			return listeners, fmt.Errorf("listen on %s: %w", raw, err)
		}
		l = tuningListener{l}
		if a.secure {
			l = tls.NewListener(l, config)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

func (a address) listen() (net.Listener, error) {
	if a.network == "unix" {
		return unixsocket.Listen(a.address)
	}
	return net.Listen(a.network, a.address)
}

type tuningListener struct{ net.Listener }

func (l tuningListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		tune(conn)
	}
	return conn, err
}
