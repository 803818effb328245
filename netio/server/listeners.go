package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"

	"github.com/detcd/detcd/netio/door"
	"github.com/detcd/detcd/netio/door/listen"
)

// listener is a socket for clients, with what it is for.
type listener struct {
	net.Listener
	traffic door.Traffic
	secure  bool        // with TLS
	tls     *tls.Config // of secure ones, once there are certificates
	plain   bool
	served  bool // it was handed to the doors, which will close it
}

// url is where clients reach the listener.
func (l *listener) url() string {
	u := url.URL{Scheme: "http", Host: l.Addr().String()}
	if l.secure && !l.plain {
		u.Scheme = "https"
	}
	if l.Addr().Network() == "unix" {
		u = url.URL{Scheme: "unix", Path: l.Addr().String()}
	}
	return u.String()
}

// openListeners opens a socket for each address in the URLs; http and https URLs with the same address share one. Nobody is served on them
// yet. They get their certificates later, from secureListeners: those that are made at the first start need the data directory.
func openListeners(c *Config) (_ []listener, err error) {
	var all []listener
	defer func() {
		if err != nil {
			for _, l := range all {
				err = errors.Join(err, l.Close())
			}
		}
	}()
	at := map[string]int{}
	open := func(urls []url.URL, t door.Traffic) error {
		for _, u := range urls {
			key := fmt.Sprint(t, listen.Address(u))
			i, ok := at[key]
			if !ok {
				l, err := listen.Open(u, listen.Options{ReusePort: c.ReusePort, ReuseAddress: c.ReuseAddress})
				if err != nil {
					return err
				}
				i = len(all)
				at[key] = i
				all = append(all, listener{Listener: l, traffic: t})
			}
			if !listen.Secure(u) {
				all[i].plain = true
				continue
			}
			missing := !c.ClientTLS.Enabled() && !c.ClientTLS.Auto
			if missing && t == door.Metrics {
				return errors.New("client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url")
			}
			if missing {
				return fmt.Errorf("TLS key/cert (--cert-file, --key-file) must be provided for client url %s with HTTPS scheme", u.String())
			}
			all[i].secure = true
		}
		return nil
	}
	main := door.All
	if len(c.ListenClientHTTPURLs) > 0 {
		main = door.GRPC
	}
	if err := open(c.ListenClientURLs, main); err != nil {
		return nil, err
	}
	if err := open(c.ListenClientHTTPURLs, door.HTTP); err != nil {
		return nil, err
	}
	if err := open(c.ListenMetricsURLs, door.Metrics); err != nil {
		return nil, err
	}
	if c.ClientTLS.Enabled() {
		return all, secureListeners(all, &c.ClientTLS)
	}
	return all, nil
}

// secureListeners gives the listeners for TLS their certificates.
func secureListeners(all []listener, t *TLS) (err error) {
	for i := range all {
		if all[i].secure && all[i].tls == nil {
			if all[i].tls, err = t.server(); err != nil {
				return err
			}
		}
	}
	return nil
}

func hosts(urls []url.URL) (all []string) {
	for i := range urls {
		all = append(all, urls[i].Host)
	}
	return all
}

func texts(urls []url.URL) (all []string) {
	for i := range urls {
		all = append(all, urls[i].String())
	}
	return all
}
