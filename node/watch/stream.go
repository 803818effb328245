package watch

import (
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/statemachine"
)

// Port is what a stream needs of its member. Any goroutine may call it, and it does not block.
type Port interface {
	// AcquireView returns a pinned view of the newest state that the member knows of; the caller releases it. Views never go back.
	AcquireView() *statemachine.View
	// Attach and Detach are Hub.Attach and Hub.Detach, carried out in turns of the member, in the order given.
	Attach(i *Interest, from int64)
	Detach(i *Interest)
}

// Bounds of what a step and a response hold, where the options do not say otherwise.
const (
	// ChunkBytesDefault is about how much a step gathers.
	ChunkBytesDefault = 1 << 20
	// PackBytesDefault is how large the events of a response may be together. Many gRPC clients take messages of no more than 4 MiB.
	PackBytesDefault = 2 << 20
	// PackEventsDefault is how many events of whole revisions a response holds before the next revision goes into another.
	PackEventsDefault = 16 << 10
)

// Options of a stream.
type Options struct {
	// FragmentBytes is the encoded size from which on a response is cut, where its watcher allows that; 0: never. etcd takes
	// --max-request-bytes and half a MiB.
	FragmentBytes int
	// ChunkBytes is about how many bytes of events a step gathers, ChunkBytesDefault if 0. A revision is never split, so a step may gather
	// one that is larger.
	ChunkBytes int
	// PackBytes bounds the encoded events of a response that holds several revisions, PackBytesDefault if 0. PackEvents bounds their
	// number, PackEventsDefault if 0: with so many, no further revision is added. A revision that is larger goes alone.
	PackBytes, PackEvents int
	// Room makes memory for so many bytes of encoded events, of length 0; nil: from the heap. What a step returns points into it, and
	// nothing else of the stream's does when the next step begins.
	Room func(bytes int) []byte
	// Wake says that the stream has something to do: call Step. It is called within turns of the member and must not block.
	Wake func()
}

// Stream is the watchers of one client stream. It belongs to one caller at a time.
type Stream struct {
	port    Port
	options Options

	watchers map[int64]*watcher
	nextID   int64
	topics   []*topic
	bySpan   map[span]*topic

	// ready is a stack of topics that were marked, pushed in turns of the member and taken as a whole by Step. A topic is on it
	// once at most: an interest is woken again only after its mark was taken.
	ready atomic.Pointer[topic]

	answers      []Response // to requests, not yet returned by Step
	out          []Response // memory for what the next Step returns
	live, behind queue
	behindFirst  bool // whose turn it is
	progress     progress
	batch        batch
	// searchesInVain counts searches by keys that were given up.
	searchesInVain int
	closed         bool
}

// NewStream makes a stream without watchers.
func NewStream(p Port, o Options) *Stream {
	if o.ChunkBytes <= 0 {
		o.ChunkBytes = ChunkBytesDefault
	}
	if o.PackBytes <= 0 {
		o.PackBytes = PackBytesDefault
	}
	if o.PackEvents <= 0 {
		o.PackEvents = PackEventsDefault
	}
	if o.Room == nil {
		o.Room = func(bytes int) []byte { return make([]byte, 0, bytes) }
	}
	return &Stream{port: p, options: o, watchers: make(map[int64]*watcher), bySpan: make(map[span]*topic)}
}

// Watchers is the number of watchers.
func (s *Stream) Watchers() int { return len(s.watchers) }

// Behind is the number of watchers that have something to look at: those that catch up, and those that the last steps had no time for. It is
// for metrics.
func (s *Stream) Behind() (n int) { return s.live.watchers() + s.behind.watchers() }

// Handle takes a request of the client's. The next Step returns the answer: call it now. To keep the memory of the stream bounded, a caller
// takes no requests from a client while it cannot send answers to it.
func (s *Stream) Handle(r *pb.WatchRequest) {
	if s.closed {
		return
	}
	switch u := r.GetRequestUnion().(type) {
	case *pb.WatchRequest_CreateRequest:
		if u.CreateRequest != nil {
			s.create(u.CreateRequest)
		}
	case *pb.WatchRequest_CancelRequest:
		if u.CancelRequest != nil {
			s.cancel(u.CancelRequest.GetWatchId())
		}
	case *pb.WatchRequest_ProgressRequest:
		if u.ProgressRequest != nil {
			s.requestProgress()
		}
	}
}

// cancel ends a watcher and says so. If there is no such watcher it says nothing, as etcd.
func (s *Stream) cancel(id int64) {
	w := s.watchers[id]
	if w == nil {
		return
	}
	s.remove(w)
	s.answers = append(s.answers, Response{WatchID: id, Revision: s.head(), Canceled: true})
}

// head is the revision that the member is at.
func (s *Stream) head() int64 {
	v := s.port.AcquireView()
	defer v.Release()
	return v.Revision()
}

// Close ends the stream: its interests are detached, and it has nothing more to say.
func (s *Stream) Close() {
	if s.closed {
		return
	}
	for _, t := range s.topics {
		t.gone = true
		s.port.Detach(t.interest)
	}
	s.closed = true
	s.watchers, s.topics, s.bySpan = nil, nil, nil
	s.answers, s.out, s.live, s.behind, s.progress, s.batch = nil, nil, queue{}, queue{}, progress{}, batch{}
}

// remove takes a watcher out, and with it what only it needed.
func (s *Stream) remove(w *watcher) {
	delete(s.watchers, w.id)
	c := w.cohort
	c.remove(w)
	if len(c.watchers) == 0 {
		s.dissolve(c)
	}
}

// dissolve takes a cohort without watchers out of its topic. A topic whose last cohort is gone goes, too. The cohort may still be queued: a
// queue skips cohorts without watchers.
func (s *Stream) dissolve(c *cohort) {
	t := c.topic
	if c.live {
		t.live[c.kind] = nil
	} else {
		t.dropBehind(c)
	}
	if !t.empty() {
		return
	}
	t.gone = true
	s.port.Detach(t.interest)
	delete(s.bySpan, t.span)
	last := len(s.topics) - 1
	s.topics[t.slot] = s.topics[last]
	s.topics[t.slot].slot = t.slot
	s.topics[last] = nil
	s.topics = s.topics[:last]
}

// wakeTopic is called in a turn of the member.
func (s *Stream) wakeTopic(t *topic) {
	for {
		t.nextReady = s.ready.Load()
		if s.ready.CompareAndSwap(t.nextReady, t) {
			break
		}
	}
	if s.options.Wake != nil {
		s.options.Wake()
	}
}
