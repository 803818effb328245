package server

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"slices"

	"github.com/detcd/detcd/netio/door/listen"
	"github.com/detcd/detcd/netio/transport"
	"github.com/detcd/detcd/node/port"
)

// openPeers opens the sockets for other members and the transport behind them.
func openPeers(c *Config, self port.MemberID, cluster uint64, deliver func(port.MemberID, []byte), log port.Logger) (*transport.Transport, error) {
	var serving, dialling *tls.Config
	var err error
	if slices.ContainsFunc(c.ListenPeerURLs, listen.Secure) && !c.PeerTLS.Enabled() {
		return nil, fmt.Errorf("TLS key/cert (--peer-cert-file, --peer-key-file) must be provided for peer urls %v with HTTPS scheme", texts(c.ListenPeerURLs))
	}
	if c.PeerTLS.Enabled() {
		if serving, err = c.PeerTLS.server(); err != nil {
			return nil, err
		}
	}
	if c.PeerTLS.Enabled() || c.PeerTLS.TrustedCAFile != "" || slices.ContainsFunc(c.AdvertisePeerURLs, func(u url.URL) bool { return listen.Secure(u) }) {
		if dialling, err = c.PeerTLS.client(); err != nil {
			return nil, err
		}
	}
	listeners, err := transport.Listen(texts(c.ListenPeerURLs), serving)
	if err != nil {
		return nil, err
	}
	return transport.New(transport.Config{
		Self: self, Cluster: cluster, Listeners: listeners, TLS: dialling, Deliver: deliver, Logger: log,
		Refused: func(by port.MemberID, why transport.Verdict) {
			if why == transport.RemovedMember {
				log.Log(port.Warn, "this member has been removed from its cluster", "by", id(by))
			}
		},
	}), nil
}
