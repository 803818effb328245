package statemachine

import (
	"encoding/binary"
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/statemachine/format"
)

// Envelope is all that is ever proposed: the payload of a log entry, or of a change of raft's configuration. It says whose proposal it is, so
// that it is applied at most once, and it has exactly one body: Requests, Change or Raise. Its encoding, from format version 2 on:
//
//	byte    format version of the cluster when it was proposed
//	byte    kind of the body | 0x10: it has a trace | 0x20: it has callers
//	varint  proposer, incarnation, sequence
//	        trace: 16 bytes
//	        callers: varint number of runs, and for each: varint requests, user, varint auth revision
//	        body
//
//	1 batch       varint number of requests, and for each: varint length, etcdserverpb.InternalRaftRequest
//	2 change      byte kind, member, varint most learners
//	3 raise       nothing: to the version that the envelope begins with
//
// Each request of a batch holds exactly one operation. Format version 1 is in legacy.go.
type Envelope struct {
	Origin

	// Callers say who asks for the requests of a batch, as runs of requests in their order; those beyond the last run are nobody's.
	Callers []CallerRun
	// Trace ties the proposal to what is told of it elsewhere; zero: nothing is.
	Trace TraceID

	// Requests are applied in order.
	Requests []*pb.InternalRaftRequest
	// Change, if not nil, is a change of the membership. It travels in a change of raft's configuration, never by itself.
	Change *MemberChange
	// Raise, if not zero, makes this the cluster's format version. It is encoded in that very version.
	Raise format.Version

	// version is the format version that the envelope was read from.
	version format.Version
}

// Origin identifies a proposal: the member that proposed it, that member's incarnation (it grows with each start) and a
// sequence number, from 1 in each incarnation. The zero Origin is that of the entries that found a cluster.
type Origin struct {
	Proposer              MemberID
	Incarnation, Sequence uint64
}

// CallerRun says on whose behalf some requests, one after the other, are made.
type CallerRun struct {
	Requests     uint64
	User         string // empty: nobody
	AuthRevision uint64 // of the users and roles by which the requests were allowed
}

// TraceID is that of the W3C's trace context.
type TraceID [16]byte

// Kinds of bodies, and flags beside them. The numbers are on disk and on the wire.
const (
	bodyBatch = 1 + iota
	bodyChange
	bodyRaise

	bodyMask    = 0x0f
	flagTrace   = 0x10
	flagCallers = 0x20
)

// envelopeSlab is how many decoded requests at most share one allocation.
const envelopeSlab = 64

// Encode writes the envelope in a format version: the cluster's, or, for a raise, the one that it raises to. It panics if a request cannot be encoded, for
// instance because a string in it is not UTF-8: nothing that came in over gRPC can be so.
func (e *Envelope) Encode(in format.Version) []byte {
	if e.Raise != 0 {
		in = e.Raise
	}
	if in.Parts().Envelope == format.Batches {
		return e.encodeLegacy()
	}
	out := append(make([]byte, 0, e.sizeAtMost()), byte(in), e.head())
	out = e.Origin.append(out)
	if e.Trace != (TraceID{}) {
		out = append(out, e.Trace[:]...)
	}
	if len(e.Callers) > 0 {
		out = appendCallers(out, e.Callers)
	}
	switch {
	case e.Raise != 0:
		return out
	case e.Change != nil:
		return e.Change.append(out)
	}
	return appendRequests(out, e.Requests)
}

func appendCallers(out []byte, callers []CallerRun) []byte {
	out = binary.AppendUvarint(out, uint64(len(callers)))
	for _, c := range callers {
		out = appendString(binary.AppendUvarint(out, c.Requests), c.User)
		out = binary.AppendUvarint(out, c.AuthRevision)
	}
	return out
}

// head is the byte that says what is in the envelope.
func (e *Envelope) head() byte {
	b := byte(bodyBatch)
	switch {
	case e.Raise != 0:
		b = bodyRaise
	case e.Change != nil:
		b = bodyChange
	}
	if e.Trace != (TraceID{}) {
		b |= flagTrace
	}
	if len(e.Callers) > 0 {
		b |= flagCallers
	}
	return b
}

// sizeAtMost is about how long the encoding is; seldom more.
func (e *Envelope) sizeAtMost() int {
	size := 2 + 4*binary.MaxVarintLen64
	if e.Trace != (TraceID{}) {
		size += len(e.Trace)
	}
	for i := range e.Callers {
		size += len(e.Callers[i].User) + 3*binary.MaxVarintLen64
	}
	for _, r := range e.Requests {
		if isPlainPut(r) {
			size += len(r.Put.Key) + len(r.Put.Value) + 64
		} else {
			size += proto.Size(r) + binary.MaxVarintLen64
		}
	}
	return size
}

func (o Origin) append(b []byte) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(binary.AppendUvarint(b, o.Proposer), o.Incarnation), o.Sequence)
}

func (d *decoder) origin() Origin {
	return Origin{Proposer: d.uvarint(), Incarnation: d.uvarint(), Sequence: d.uvarint()}
}

func appendRequests(out []byte, requests []*pb.InternalRaftRequest) []byte {
	out = binary.AppendUvarint(out, uint64(len(requests)))
	for _, r := range requests {
		out = appendRequest(out, r)
	}
	return out
}

func appendRequest(out []byte, r *pb.InternalRaftRequest) []byte {
	if isPlainPut(r) {
		return appendPut(out, r)
	}
	out = binary.AppendUvarint(out, uint64(proto.Size(r)))
	out, err := proto.MarshalOptions{Deterministic: true, UseCachedSize: true}.MarshalAppend(out, r)
	if err != nil {
		panic(fmt.Sprintf("statemachine: a request cannot be encoded: %v", err))
	}
	return out
}

// Needs returns the format version in which an entry is written; 0 for one without content, such as raft's own. It looks at the first byte alone.
func Needs(data []byte) format.Version {
	if len(data) == 0 {
		return 0
	}
	return format.Version(data[0])
}

// Decode reads what Encode wrote, up to a format version that is known. It fails with a format.NewerError for a later one. The requests may
// share memory with data, which must not change after.
func Decode(data []byte, known format.Version) (*Envelope, error) {
	version := Needs(data)
	switch {
	case version > known:
		return nil, &format.NewerError{What: "the entry", Version: version, Known: known}
	case version < format.Oldest:
		return nil, errors.New("statemachine: an entry without a format version")
	case version.Parts().Envelope == format.Batches:
		return decodeLegacy(data)
	}
	d := decoder{b: data[1:]}
	head := d.byte()
	e := &Envelope{version: version, Origin: d.origin()}
	if head&flagTrace != 0 {
		d.take(e.Trace[:])
	}
	if head&flagCallers != 0 {
		e.Callers = d.callers()
	}
	if d.failed || head&^(bodyMask|flagTrace|flagCallers) != 0 || head&flagTrace != 0 && e.Trace == (TraceID{}) {
		return nil, fmt.Errorf("statemachine: the head of an envelope: %w", errMalformed)
	}
	switch head & bodyMask {
	case bodyBatch:
		return e, e.decodeRequests(&d)
	case bodyChange:
		c := d.memberChange()
		e.Change = &c
	case bodyRaise:
		e.Raise = version
	default:
		return nil, fmt.Errorf("statemachine: an envelope with a body of kind %d: %w", head&bodyMask, errMalformed)
	}
	if d.err() != nil || len(e.Callers) > 0 {
		return nil, fmt.Errorf("statemachine: the body of an envelope: %w", errMalformed)
	}
	return e, nil
}

// take fills b.
func (d *decoder) take(b []byte) {
	if len(d.b) < len(b) {
		d.fail()
		return
	}
	d.b = d.b[copy(b, d.b):]
}

func (d *decoder) callers() []CallerRun {
	n := d.uvarint()
	if n == 0 || n > uint64(len(d.b)) { // each takes a byte at least
		d.fail()
		return nil
	}
	runs := make([]CallerRun, n)
	for i := range runs {
		runs[i] = CallerRun{Requests: d.uvarint(), User: d.string(), AuthRevision: d.uvarint()}
	}
	return runs
}

// decodeRequests reads the batch that the rest of d is.
func (e *Envelope) decodeRequests(d *decoder) error {
	n := d.uvarint()
	if d.failed || n > uint64(len(d.b)) { // each takes a byte at least
		return fmt.Errorf("statemachine: a batch's head: %w", errMalformed)
	}
	e.Requests = make([]*pb.InternalRaftRequest, n)
	var slab []putRequest
	for i := range e.Requests {
		if len(slab) == 0 {
			slab = make([]putRequest, min(len(e.Requests)-i, envelopeSlab))
		}
		body := d.bytes()
		if d.failed {
			return fmt.Errorf("statemachine: request %d of %d in a batch: %w", i, n, errMalformed)
		}
		if slab[0].decode(body) {
			e.Requests[i], slab = &slab[0].request, slab[1:]
			continue
		}
		e.Requests[i] = &pb.InternalRaftRequest{}
		if err := proto.Unmarshal(body, e.Requests[i]); err != nil {
			return fmt.Errorf("statemachine: request %d of %d in a batch: %w", i, n, err)
		}
	}
	if err := d.err(); err != nil {
		return fmt.Errorf("statemachine: after the requests of a batch: %w", err)
	}
	return e.checkCallers()
}

// checkCallers holds the runs of callers to the number of requests.
func (e *Envelope) checkCallers() error {
	left := uint64(len(e.Requests))
	for _, c := range e.Callers {
		if c.Requests == 0 || c.Requests > left {
			return fmt.Errorf("statemachine: the callers of a batch of %d requests: %w", len(e.Requests), errMalformed)
		}
		left -= c.Requests
	}
	return nil
}
