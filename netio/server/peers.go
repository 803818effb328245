package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/detcd/detcd/netio/door/listen"
	"github.com/detcd/detcd/netio/transport"
	"github.com/detcd/detcd/node/port"
)

// peers is the network of a member. It answers other members only once the member has said who they are. Else one of them could be taken for a
// stranger while this member still reads its disk. Until then the kernel holds their connections.
type peers struct {
	*transport.Transport
	gate *gate
}

var _ port.Network = (*peers)(nil)

// SetPeers implements port.Network.
func (p *peers) SetPeers(list []port.Peer) {
	p.Transport.SetPeers(list)
	if len(list) > 0 {
		p.gate.open()
	}
}

// gate holds back whatever is to pass through it, until it is opened. It is never closed again.
type gate struct {
	opened chan struct{}
	once   sync.Once
}

func (g *gate) open() { g.once.Do(func() { close(g.opened) }) }

// gated is a listener behind a gate.
type gated struct {
	net.Listener
	gate *gate
}

// Accept implements net.Listener.
func (l gated) Accept() (net.Conn, error) {
	<-l.gate.opened
	return l.Listener.Accept()
}

// Close implements net.Listener. It opens the gate, so that Accept returns.
func (l gated) Close() error {
	err := l.Listener.Close()
	l.gate.open()
	return err
}

// peerSockets are the sockets for other members, before there is a transport behind them.
type peerSockets struct {
	listeners []net.Listener
	// tls is the configuration of the sockets with TLS. It is set once there are certificates: those that are made at the first start need the data
	// directory.
	tls *tls.Config
	// newcomers is that of transport.Config.
	newcomers int
}

// listenPeers opens the sockets for other members. Nobody is answered on them yet.
func listenPeers(c *Config) (s *peerSockets, err error) {
	s = &peerSockets{}
	if slices.ContainsFunc(c.ListenPeerURLs, listen.Secure) && !c.PeerTLS.Enabled() && !c.PeerTLS.Auto {
		return nil, fmt.Errorf("TLS key/cert (--peer-cert-file, --peer-key-file) must be provided for peer urls %v with HTTPS scheme", texts(c.ListenPeerURLs))
	}
	if err := c.PeerTLS.check(); err != nil {
		return nil, err
	}
	if c.PeerTLS.Enabled() {
		if s.tls, err = c.PeerTLS.server(); err != nil {
			return nil, err
		}
	}
	later := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.tls, nil }}
	s.listeners, err = transport.Listen(texts(c.ListenPeerURLs), later)
	return s, err
}

// close closes the sockets that no transport has taken over.
func (s *peerSockets) close() error {
	var errs []error
	for _, l := range s.listeners {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// openPeers makes the transport behind the sockets, and the transport owns them from then on. removed is called when another member says that this
// one was removed from the cluster. The word of one member is enough, as no member's id is ever used again.
func openPeers(c *Config, sockets *peerSockets, self port.MemberID, cluster uint64, deliver func(port.MemberID, []byte),
	greeted func(port.MemberID, port.Formats), removed func(),
	roundTrip func(port.MemberID, time.Duration), log port.Logger) (*peers, error) {
	var dialling *tls.Config
	var err error
	if c.PeerTLS.Enabled() && sockets.tls == nil {
		if sockets.tls, err = c.PeerTLS.server(); err != nil {
			return nil, err
		}
	}
	if c.PeerTLS.Enabled() || c.PeerTLS.TrustedCAFile != "" || slices.ContainsFunc(c.AdvertisePeerURLs, func(u url.URL) bool { return listen.Secure(u) }) {
		if dialling, err = c.PeerTLS.client(); err != nil {
			return nil, err
		}
	}
	g := &gate{opened: make(chan struct{})}
	listeners := sockets.listeners
	sockets.listeners = nil
	for i := range listeners {
		listeners[i] = gated{listeners[i], g}
	}
	t := transport.New(transport.Config{
		Self: self, Cluster: cluster, Listeners: listeners, TLS: dialling, Deliver: deliver, Greeted: greeted, Logger: log, Newcomers: sockets.newcomers,
		ObserveRoundTrip: roundTrip,
		Refused: func(by port.MemberID, why transport.Verdict) {
			if why == transport.RemovedMember {
				log.Log(port.Warn, "this member has been removed from its cluster", "by", id(by))
				removed()
			}
		},
	})
	return &peers{t, g}, nil
}
