package transport

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/detcd/detcd/node/port"
)

// stats is what is counted about a peer.
type stats struct {
	sentBytes, sentMessages, receivedBytes, receivedMessages, dropped, dialFailures atomic.Uint64
	// connectedSince and incomingSince are in nanoseconds since 1970; 0: not connected.
	connectedSince, incomingSince atomic.Int64
	// smoothedRTT is in nanoseconds; 0: unknown.
	smoothedRTT atomic.Int64
	// down is why the peer can't be reached, as logged last.
	down atomic.Pointer[string]
}

// roundTrip smooths the round-trip time as TCP does (RFC 6298): each new value counts an eighth. It is for one goroutine at a time.
func (s *stats) roundTrip(took time.Duration) {
	old := s.smoothedRTT.Load()
	if old == 0 {
		s.smoothedRTT.Store(max(int64(took), 1))
		return
	}
	s.smoothedRTT.Store(max(old+(int64(took)-old)/8, 1))
}

// PeerStatus is what a transport knows of a peer. Counters begin at 0 when the peer is first named to the transport.
type PeerStatus struct {
	ID   port.MemberID
	URLs []string
	// ConnectedSince is when the connection to send on was made, zero if there is none. HeardSince is the same for the connection that the
	// peer has dialled.
	ConnectedSince, HeardSince time.Time
	// RTT is the smoothed round-trip time, zero if none was measured yet.
	RTT time.Duration
	// SentBytes and ReceivedBytes include the framing.
	SentBytes, ReceivedBytes       uint64
	SentMessages, ReceivedMessages uint64
	// DroppedMessages counts messages that could not be sent: the peer was out of reach, or too much waited for it.
	DroppedMessages uint64
	DialFailures    uint64
	// QueuedMessages and QueuedBytes wait to be sent.
	QueuedMessages, QueuedBytes int
}

// Active says whether messages can go both ways, as far as this side knows.
func (s PeerStatus) Active() bool { return !s.ConnectedSince.IsZero() && !s.HeardSince.IsZero() }

// Peers returns the status of all peers, in the order of their ids.
func (t *Transport) Peers() []PeerStatus {
	t.mu.RLock()
	all := make([]PeerStatus, 0, len(t.peers))
	for _, p := range t.peers {
		all = append(all, p.status())
	}
	t.mu.RUnlock()
	slices.SortFunc(all, func(a, b PeerStatus) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Peer returns the status of one peer, if it is one.
func (t *Transport) Peer(id port.MemberID) (PeerStatus, bool) {
	p := t.peer(id)
	if p == nil {
		return PeerStatus{}, false
	}
	return p.status(), true
}

func (p *peer) status() PeerStatus {
	s := PeerStatus{
		ID:               p.id,
		ConnectedSince:   instant(p.stats.connectedSince.Load()),
		HeardSince:       instant(p.stats.incomingSince.Load()),
		RTT:              time.Duration(p.stats.smoothedRTT.Load()),
		SentBytes:        p.stats.sentBytes.Load(),
		ReceivedBytes:    p.stats.receivedBytes.Load(),
		SentMessages:     p.stats.sentMessages.Load(),
		ReceivedMessages: p.stats.receivedMessages.Load(),
		DroppedMessages:  p.stats.dropped.Load(),
		DialFailures:     p.stats.dialFailures.Load(),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.URLs = slices.Clone(p.urls)
	for i := range p.queues {
		s.QueuedMessages += p.queues[i].len()
		s.QueuedBytes += p.queues[i].bytes
	}
	return s
}

func instant(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}
