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
	tls     *tls.Config // nil: plain only
	plain   bool
	served  bool // the doors have it, and will close it
}

// openListeners opens a socket for each address in the URLs; http and https URLs with the same address share one.
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
			if !c.ClientTLS.Enabled() {
				return fmt.Errorf("TLS key/cert (--cert-file, --key-file) must be provided for client url %s with HTTPS scheme", u.String())
			}
			if all[i].tls == nil {
				if all[i].tls, err = c.ClientTLS.server(); err != nil {
					return err
				}
			}
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
	return all, open(c.ListenMetricsURLs, door.Metrics)
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
