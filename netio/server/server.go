// Package server puts one member together for the real world: data directory, peer transport, driver and doors. It decides who the member is, and in
// which order these parts start and stop. It decides nothing else.
//
// Concurrency: a Server's methods may be called by any goroutine.
package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
	"go.uber.org/zap"

	"github.com/detcd/detcd/netio/disk"
	"github.com/detcd/detcd/netio/door"
	"github.com/detcd/detcd/netio/door/listen"
	"github.com/detcd/detcd/netio/driver"
	"github.com/detcd/detcd/netio/logging"
	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/node/port"
)

// Server is a running member.
type Server struct {
	config Config
	log    *zap.Logger
	dir    *disk.Dir
	// descriptors says who may have how many. clients and metrics bound the doors' connections accordingly. shortage makes log lines about it rare.
	descriptors      descriptors
	clients, metrics *listen.Limit
	shortage         *logging.Rarely
	driver           *driver.Driver
	watcher          *watcher
	sockets          *peerSockets // for other members, until the transport has them
	peers            *peers
	door             *door.Door
	// listeners are not served before the member is ready. Until then their connections queue up in the kernel.
	listeners []listener
	known     bool  // the data directory says who the member is
	started   bool  // the member takes turns
	quota     int64 // bytes
	// walBytes counts what was written to the log's files.
	walBytes atomic.Uint64
	ready    chan struct{}
	ctx      context.Context
	cancel   context.CancelFunc
	joining  sync.WaitGroup
	closing  sync.Once
	closed   error
}

// Start brings a member up. When it returns, the sockets are open and the member runs, but serves clients only once it is Ready, which takes a
// quorum of its cluster.
func Start(c Config) (_ *Server, err error) {
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	s := &Server{config: c, log: c.Logger, ready: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			_ = s.close(expired())
		}
	}()
	if err := s.reserve(); err != nil {
		return nil, err
	}
	// The sockets come first: if a port is in use, no data directory is left behind.
	if s.listeners, err = openListeners(&s.config); err != nil {
		return nil, err
	}
	if s.sockets, err = listenPeers(&s.config); err != nil {
		return nil, err
	}
	s.sockets.newcomers = s.descriptors.newcomers
	timings := newTimings(c.WarnApplyDuration)
	if s.dir, err = disk.OpenDir(c.DataDir, disk.DirOptions{
		WALDir: c.WALDir, ObserveWALSync: timings.wal, ObserveSnapshotSync: timings.snapshot, ObserveShortage: s.noteShortage,
	}); err != nil {
		return nil, err
	}
	for _, w := range s.dir.Warnings() {
		s.log.Warn(w)
	}
	self, cluster, founding, err := s.identify()
	if err != nil {
		return nil, err
	}
	if err := s.secure(); err != nil {
		return nil, err
	}
	if err := s.startMember(self, cluster, founding, timings); err != nil {
		return nil, err
	}
	if err := s.openDoor(timings); err != nil {
		return nil, err
	}
	s.joining.Go(s.join)
	return s, nil
}

// identify finds out who this member is: from its data, or at the very first start from the flags.
func (s *Server) identify() (self port.MemberID, cluster uint64, founding []node.Peer, err error) {
	self, cluster, known, err := readIdentity(s.dir)
	if err != nil {
		return 0, 0, nil, err
	}
	if s.known = known; known {
		s.log.Info("server has already been initialized", zap.String("data-dir", s.config.DataDir))
		// If the member died before its log began, it still has to found its cluster. Then the flags are the same as before.
		if again, sameCluster, peers, err := founders(&s.config); err == nil && again == self && sameCluster == cluster {
			founding = peers
		}
		return self, cluster, founding, nil
	}
	if s.config.JoinExisting {
		return 0, 0, nil, errors.New("--initial-cluster-state=existing: joining a running cluster is not supported yet")
	}
	if self, cluster, founding, err = founders(&s.config); err != nil {
		return 0, 0, nil, err
	}
	s.log.Info("starting a new member", zap.String("data-dir", s.config.DataDir), zap.String("initial-cluster", s.config.InitialCluster))
	return self, cluster, founding, nil
}

// secure makes the certificates that the configuration asks it to make.
func (s *Server) secure() error {
	c := &s.config
	if err := c.ClientTLS.makeAuto(filepath.Join(c.DataDir, "fixtures", "client"), hosts(c.ListenClientURLs)); err != nil {
		return err
	}
	if err := secureListeners(s.listeners, &c.ClientTLS); err != nil {
		return err
	}
	return c.PeerTLS.makeAuto(filepath.Join(c.DataDir, "fixtures", "peer"), hosts(c.ListenPeerURLs))
}

// startMember opens the member and begins its turns.
func (s *Server) startMember(self port.MemberID, cluster uint64, founding []node.Peer, t *timings) (err error) {
	c := &s.config
	logger := logging.NewPort(s.log)
	s.driver = driver.New(driver.Options{ObserveTurn: t.applying.turnEnded})
	s.watcher = &watcher{driver: s.driver, log: logger, self: self, applying: t.applying, snapshots: t.snapshots}
	if s.peers, err = openPeers(c, s.sockets, self, cluster, s.driver.Receive, s.driver.Greeted, func() { s.watcher.Failed(node.ErrRemoved) }, t.roundTrips.observe, logger); err != nil {
		return err
	}
	m, err := node.Open(node.Config{
		ID: self, ClusterID: cluster, Bootstrap: founding, Life: rand.Uint64(), Lived: s.lived(),
		TickInterval:    c.HeartbeatInterval,
		ElectionTicks:   electionTicks(c),
		DisablePreVote:  !c.PreVote,
		SnapshotEntries: c.SnapshotEntries,
		CatchUpEntries:  c.CatchUpEntries,
	}, node.Ports{
		Clock: s.driver.Clock(), Network: s.peers,
		WALDisk:      writeObserver{Disk: s.dir.WAL(), wrote: s.wroteLog(t)},
		SnapshotDisk: writeObserver{Disk: s.dir.Snapshots(), closed: t.wroteSnapshot},
		WALLane:      s.driver.Lane(), SnapshotLane: s.driver.Lane(), ReachLane: s.driver.Lane(), HistoryLane: s.driver.Lane(),
		Logger: logger, Observer: s.watcher,
	})
	if err != nil {
		return s.waysOn(err)
	}
	// The log is this member's, so the flags were right. Only now they are written down.
	if !s.known {
		if err := writeIdentity(s.dir, self, cluster); err != nil {
			return err
		}
	}
	if err := s.dir.Opened(); err != nil {
		return err
	}
	s.log.Info("starting member", zap.String("local-member-id", id(self)), zap.String("cluster-id", fmt.Sprintf("%x", cluster)), zap.String("name", c.Name),
		zap.Uint64("snapshot-catchup-entries", c.CatchUpEntries))
	s.driver.Start(m)
	s.started = true
	return nil
}

// openDoor makes the doors. Metrics are served at once, clients later.
func (s *Server) openDoor(t *timings) (err error) {
	c := &s.config
	limits := call.DefaultLimits()
	limits.MaxTxnOps, limits.MaxRequestBytes = int(c.MaxTxnOps), int(c.MaxRequestBytes)
	limits.MinLeaseTTL = call.MinLeaseTTL(c.HeartbeatInterval, electionTicks(c))
	if c.QuotaBytes != 0 {
		limits.QuotaBytes = c.QuotaBytes
	}
	s.quota = limits.QuotaBytes
	s.door, err = door.New(door.Config{
		Limits: limits, MaxConcurrentStreams: c.MaxConcurrentStreams,
		KeepAliveMinTime: c.KeepAliveMinTime, KeepAliveInterval: c.KeepAliveInterval, KeepAliveTimeout: c.KeepAliveTimeout,
		WarnUnaryDuration: c.WarnUnaryDuration, HealthTimeout: requestTimeout(c),
		WatchProgressInterval: c.WatchProgressInterval, ElectionTimeout: c.ElectionTimeout,
		Gateway: c.Gateway, Profiles: c.Profiles, ExtensiveMetrics: c.ExtensiveMetrics,
		CORS: c.CORS, HostWhitelist: c.HostWhitelist,
		Registry: s.newRegistry(t), Logger: s.log,
	}, s.driver)
	if err != nil {
		return err
	}
	s.serve(door.Metrics)
	return nil
}

func electionTicks(c *Config) int { return int(c.ElectionTimeout / c.HeartbeatInterval) }

// requestTimeout is how long a request may take, as with etcd.
func requestTimeout(c *Config) time.Duration { return 5*time.Second + 2*c.ElectionTimeout }

// join publishes this member's name and client URLs in its cluster, which takes a quorum. It waits until the cluster has a version: clients ask
// for that first of all, and decide by it what they can do. Then it lets clients in.
func (s *Server) join() {
	if !s.publish() || !s.awaitVersion() {
		return
	}
	s.door.Ready()
	s.serve(door.All)
	s.sayReady()
	close(s.ready)
}

// versionPause is the time between two looks at the cluster version. The leader sets the version when it begins to lead.
const versionPause = 5 * time.Millisecond

// awaitVersion waits until this member knows the cluster version. False: the server closes.
func (s *Server) awaitVersion() bool {
	look := time.NewTicker(versionPause)
	defer look.Stop()
	for {
		v := s.driver.View()
		known := v.ClusterVersion() != ""
		v.Release()
		if known {
			return true
		}
		select {
		case <-look.C:
		case <-s.ctx.Done():
			return false
		}
	}
}

// publish publishes this member's name and client URLs. False: the server closes, or the member can't go on.
func (s *Server) publish() bool {
	urls := texts(s.config.AdvertiseClientURLs)
	attributes := func() *pb.InternalRaftRequest {
		return &pb.InternalRaftRequest{ClusterMemberAttrSet: &membershippb.ClusterMemberAttrSetRequest{
			Member_ID:        uint64(s.watcher.self),
			MemberAttributes: &membershippb.Attributes{Name: s.config.Name, ClientUrls: urls},
		}}
	}
	for {
		ctx, cancel := context.WithTimeout(s.ctx, requestTimeout(&s.config))
		_, err := s.driver.Propose(ctx, attributes())
		cancel()
		if err == nil {
			break
		}
		if s.ctx.Err() != nil || s.watcher.failed.Load() || errors.Is(err, node.ErrStopped) {
			return false
		}
		s.log.Warn("failed to publish local member to cluster", zap.String("local-member-id", id(s.watcher.self)), zap.Error(err))
	}
	s.log.Info("published local member to cluster", zap.String("local-member-id", id(s.watcher.self)), zap.Strings("client-urls", urls))
	return true
}

// serve hands the listeners to the doors: those for metrics, or all others.
func (s *Server) serve(t door.Traffic) {
	for i := range s.listeners {
		l := &s.listeners[i]
		if (l.traffic == door.Metrics) != (t == door.Metrics) {
			continue
		}
		within := s.clients
		if t == door.Metrics {
			within = s.metrics
		}
		s.door.Serve(within.Listener(l.Listener), l.tls, l.plain, l.traffic)
		how := "serving client traffic insecurely; this is strongly discouraged!"
		if l.tls != nil {
			how = "serving client traffic securely"
		}
		if t == door.Metrics {
			how = "serving metrics"
		}
		level := zap.InfoLevel
		if logging.ForPerson(s.log) {
			level = zap.DebugLevel // sayReady tells a person all of this in one line
		}
		s.log.Log(level, how, zap.String("address", l.Addr().String()))
		l.served = true
	}
}

// sayReady logs that clients are served. The words are etcd's, as programs wait for them. To a person it also says where.
func (s *Server) sayReady() {
	const ready = "ready to serve client requests"
	if !logging.ForPerson(s.log) {
		s.log.Info(ready)
		return
	}
	var where []string
	for i := range s.listeners {
		if l := &s.listeners[i]; l.traffic != door.Metrics {
			where = append(where, l.url())
		}
	}
	s.log.Info("serving on "+strings.Join(where, ", ")+": "+ready, zap.String("data-dir", s.config.DataDir))
}

// Ready is closed when clients are served.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Failed delivers an error when the member can't go on: its disk failed, its data is not what it was (node.ErrBootstrapped, node.ErrDataLost), or
// it was removed from its cluster (node.ErrRemoved). From then on it serves nobody.
func (s *Server) Failed() <-chan error { return s.driver.Failed() }

// ClientAddr is the address of the first listener for clients. If the URL has port 0, it has the real one.
func (s *Server) ClientAddr() net.Addr {
	for i := range s.listeners {
		if s.listeners[i].traffic != door.Metrics {
			return s.listeners[i].Addr()
		}
	}
	return nil
}

// Close stops the member. It takes no new requests, hands the leadership over, and answers the requests under way. What is left when ctx is done is
// cut off as by a crash, and the error says so. Nothing that was acknowledged is lost.
func (s *Server) Close(ctx context.Context) error {
	s.closing.Do(func() { s.closed = s.close(ctx) })
	return s.closed
}

// close ends all parts that have started.
func (s *Server) close(ctx context.Context) error {
	var errs []error
	s.cancel()
	if s.started {
		// The member comes first. It answers all that waits in it; then the doors have only to send the answers.
		errs = append(errs, s.driver.Stop(ctx))
	}
	s.joining.Wait()
	if s.door != nil {
		errs = append(errs, s.door.Close(ctx))
	}
	for i := range s.listeners {
		if !s.listeners[i].served {
			errs = append(errs, s.listeners[i].Close())
		}
	}
	if s.sockets != nil {
		errs = append(errs, s.sockets.close())
	}
	if s.peers != nil {
		errs = append(errs, s.peers.Close(ctx))
	}
	if s.dir != nil {
		errs = append(errs, s.dir.Close())
	}
	return errors.Join(errs...)
}

// expired is a context that is done already, for an end that waits for nothing.
func expired() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
