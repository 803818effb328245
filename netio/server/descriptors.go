package server

import (
	"fmt"
	"net"
	"time"

	"go.uber.org/zap"

	"github.com/detcd/detcd/netio/door/listen"
	"github.com/detcd/detcd/netio/logging"
)

// A process has a limited number of descriptors, for files and connections together. The member needs some of them to go on: for its files and its
// peers. Clients get what is left. Beyond that, a client's connection is refused.

const (
	// reservedDescriptors are kept for the member's own files and the connections with members that it knows; etcd keeps as many.
	reservedDescriptors = 150
	// metricsLeast of the reserved ones are for connections that ask for the member's health or metrics: that is asked most when there are too many clients.
	// If there are many descriptors, these connections get more, up to metricsMost. So a monitor that leaves its connections open does not keep
	// another one out.
	metricsLeast, metricsMost = 32, 1024
	// newcomersMost bounds the connections on the peer ports that have not said who they are. There are as many twice: in TLS handshakes, and in
	// greetings.
	newcomersMost = 128
	// If there are fewer than fewClients descriptors for clients, the operator is warned.
	fewClients = 1024
	// recommendedDescriptors is what distributions set for etcd.
	recommendedDescriptors = 65536
	// manyDescriptors is the number that stands for "no limit".
	manyDescriptors = 1 << 30
	// descriptorLines is the least time between two log lines about the shortage.
	descriptorLines = 10 * time.Second
)

// descriptors says who may have how many descriptors.
type descriptors struct {
	limit                       int
	clients, newcomers, metrics int
}

// shareDescriptors shares limit descriptors out.
func shareDescriptors(limit uint64) (descriptors, error) {
	d := descriptors{limit: int(min(limit, manyDescriptors))}
	room := d.limit - reservedDescriptors
	if room <= 0 {
		return d, fmt.Errorf("file descriptor limit of etcd process is too low; please set higher: it is %d, of which %d are kept for the member's own files "+
			"(ulimit -n, or LimitNOFILE of systemd; %d is recommended)", limit, reservedDescriptors, recommendedDescriptors)
	}
	d.newcomers = max(1, min(newcomersMost, room/16))
	d.metrics = max(metricsLeast, min(metricsMost, room/32))
	d.clients = max(1, room-2*d.newcomers-(d.metrics-metricsLeast))
	return d, nil
}

// reserve shares the descriptors out, and bounds the connections of clients.
func (s *Server) reserve() error {
	s.shortage = logging.NewRarely(descriptorLines)
	limit, known := descriptorLimit()
	if !known {
		limit = manyDescriptors
	}
	var err error
	if s.descriptors, err = shareDescriptors(limit); err != nil {
		return err
	}
	if s.descriptors.clients < fewClients {
		s.log.Warn("the limit of file descriptors is low; raise it (ulimit -n, or LimitNOFILE of systemd)", zap.Int("limit", s.descriptors.limit),
			zap.Int("recommended-limit", recommendedDescriptors), zap.Int("client-connections", s.descriptors.clients))
	}
	s.clients = s.limited("clients", s.descriptors.clients)
	s.metrics = s.limited("metrics", s.descriptors.metrics)
	return nil
}

// limited bounds the connections of some listeners together, and logs it when it refuses some.
func (s *Server) limited(whose string, most int) *listen.Limit {
	return listen.NewLimit(most, func(c net.Conn) {
		if leftOut, ok := s.shortage.Allow(whose); ok {
			s.log.Warn("refused a client's connection: as many are open as the limit of file descriptors allows; raise it (ulimit -n, or LimitNOFILE of systemd), "+
				"or find out who opens so many", zap.String("port", whose), zap.String("remote-addr", c.RemoteAddr().String()), zap.Int("limit", s.descriptors.limit),
				zap.Int("connections", most), zap.Int("left-out", leftOut))
		}
	})
}

// noteShortage logs that a file waits for a descriptor.
func (s *Server) noteShortage(path string, err error) {
	if leftOut, ok := s.shortage.Allow("files"); ok {
		s.log.Warn("a file can't be opened for want of file descriptors; the member tries again for a while", zap.String("path", path), zap.Int("limit", s.descriptors.limit),
			zap.Int("left-out", leftOut), zap.Error(err))
	}
}
