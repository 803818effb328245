package call

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/statemachine"
)

// firstChunkKeys is how many keys the first chunk of a stream has at most; from there the chunks grow. Etcd's number.
const firstChunkKeys = 10

// RangeStream reads one range in chunks of bounded size (KV.RangeStream), so that neither side needs memory for all of it. Put together, the
// chunks are what Range answers.
//
// No view is held between two chunks. In the order of keys each chunk is read from a new view, at the revision of the first chunk. So a client that is slow, or has
// gone to sleep, pins nothing, and compaction frees what it must. The price is the same as etcd's: where the revision is compacted before the stream is through, the
// stream ends with ErrGRPCCompacted, and the client begins again.
//
// In any other order the whole range has to be looked at before the first key-value is known. That is done once, in the first view, as Range does it. Between chunks
// a word is kept for each key-value that is left, and those key-values themselves, even when they are compacted. (To look at the range again for each chunk
// would keep nothing, and take time by the square of what is stored.)
//
// Chunks are cut as etcd cuts them: ten keys first, then twice as many each time until a chunk has about MaxRequestBytes. Unlike etcd's, a chunk is never larger
// than twice that, unless it is a single key-value. etcd streams in the order of keys only, and without revision filters.
type RangeStream struct {
	request *pb.RangeRequest // the client's, with the revision that is read once that is known
	next    pb.RangeRequest  // of the next chunk: the range of what is left, and how many keys
	left    int64            // keys that may yet be sent, -1: any number
	sent    int64
	header  int64 // revision of the header: the head's as the stream began; 0 before the first chunk
	// sorted is what is left to send, in another order than that of keys.
	sorted      *statemachine.RangeResult
	targetBytes int
	done        bool
	first       Chunk // read with the view that the call waited for
	ahead       bool  // first was not taken yet
}

// OpenRangeStream begins a stream (KV.RangeStream): its answer has read the first chunk, and Read reads on. A learner refuses it, as etcd's does, also where it
// is serializable.
var OpenRangeStream = Unary[*pb.RangeRequest, *RangeStream]{
	Method: pb.KV_RangeStream_FullMethodName, VotersOnly: true,
	Begin: func(_ Limits, r *pb.RangeRequest) (Step, error) {
		if err := statemachine.CheckRange(r); err != nil {
			return Step{}, err
		}
		return Step{Way: readingWay(r.GetSerializable())}, nil
	},
	Finish: func(r *pb.RangeRequest, o Outcome) (s *RangeStream, err error) {
		if s, _, err = NewRangeStream(o.Limits, r); err != nil {
			return nil, err
		}
		s.first, err = s.Next(o.View)
		s.ahead = true
		return s, err
	},
}

// Read returns the next chunk: the one that OpenRangeStream has read, or one from the newest view at hand.
func (s *RangeStream) Read(at Local) (Chunk, error) {
	if s.ahead {
		c := s.first
		s.first, s.ahead = Chunk{}, false
		return c, nil
	}
	v := at.AcquireView()
	defer v.Release()
	return s.Next(v)
}

// NewRangeStream checks the request and says where the view of the first chunk comes from: Linearized or Locally. Its errors are those
// of a Range.
func NewRangeStream(l Limits, r *pb.RangeRequest) (*RangeStream, Way, error) {
	if err := statemachine.CheckRange(r); err != nil {
		return nil, Locally, err
	}
	s := &RangeStream{left: -1, targetBytes: l.MaxRequestBytes, request: proto.CloneOf(r)}
	s.next.Key, s.next.RangeEnd, s.next.KeysOnly = r.GetKey(), r.GetRangeEnd(), r.GetKeysOnly()
	s.next.MinModRevision, s.next.MaxModRevision = r.GetMinModRevision(), r.GetMaxModRevision()
	s.next.MinCreateRevision, s.next.MaxCreateRevision = r.GetMinCreateRevision(), r.GetMaxCreateRevision()
	s.next.Limit = firstChunkKeys
	if n := r.GetLimit(); n > 0 {
		s.left, s.next.Limit = n, min(n, firstChunkKeys)
	}
	return s, readingWay(r.GetSerializable()), nil
}

// byKeys says that the answer comes in the order of keys.
func (s *RangeStream) byKeys() bool {
	return s.request.GetSortTarget() == pb.RangeRequest_KEY && s.request.GetSortOrder() != pb.RangeRequest_DESCEND
}

// filtered says that revision filters leave out some of what is counted.
func (s *RangeStream) filtered() bool {
	return s.next.MinModRevision != 0 || s.next.MaxModRevision != 0 || s.next.MinCreateRevision != 0 || s.next.MaxCreateRevision != 0
}

// Done says that there is no further chunk to read: the last one was read, or an error ended the stream.
func (s *RangeStream) Done() bool { return s.done && !s.ahead }

// Next makes the next chunk from v, the newest view of the member that answers. For the first chunk NewRangeStream says which way v is to be had. The chunk stays
// valid after v is released. Errors are ErrGRPCCompacted and ErrGRPCFutureRev.
func (s *RangeStream) Next(v *statemachine.View) (Chunk, error) {
	if s.done {
		panic("call: a chunk was asked for after the last one")
	}
	if s.header == 0 {
		s.header = v.Revision()
		if s.request.Revision <= 0 {
			s.request.Revision = s.header
		}
		s.next.Revision = s.request.Revision
	}
	c, err := s.read(v)
	s.done = c.Last || err != nil
	return c, err
}

func (s *RangeStream) read(v *statemachine.View) (Chunk, error) {
	switch {
	case s.request.CountOnly:
		n, err := s.count(v, s.request.Key)
		return Chunk{Last: true, Revision: s.header, Count: n}, err
	case s.byKeys():
		return s.readOn(v)
	default:
		return s.readSorted(v)
	}
}

// readOn reads the next chunk in the order of keys.
func (s *RangeStream) readOn(v *statemachine.View) (Chunk, error) {
	part, err := v.RangePart(&s.next, 2*s.targetBytes)
	if err != nil {
		return Chunk{}, err
	}
	n := int64(part.Len())
	s.sent += n
	if s.left >= 0 {
		s.left -= n
	}
	if part.More {
		s.next.Key = append(part.KeyValue(part.Len()-1).GetKey(), 0)
	}
	if part.More && s.left != 0 {
		s.grow(n, part.Size())
		return Chunk{Result: part}, nil
	}
	c := Chunk{Result: part, Last: true, Revision: s.header, Count: s.sent, More: part.More}
	switch {
	case s.filtered(): // the filters do not count
		c.Count, err = s.count(v, s.request.Key)
	case part.More:
		c.Count, err = s.count(v, s.next.Key)
		c.Count += s.sent
	}
	if err != nil {
		return Chunk{}, err
	}
	return c, nil
}

// readSorted takes the next chunk off the sorted range, which the first one finds.
func (s *RangeStream) readSorted(v *statemachine.View) (Chunk, error) {
	if s.sorted == nil {
		all, err := v.Range(s.request)
		if err != nil {
			return Chunk{}, err
		}
		s.sorted = all
	}
	part := s.sorted.Take(s.next.Limit, 2*s.targetBytes)
	if s.sorted.Len() > 0 {
		s.grow(int64(part.Len()), part.Size())
		return Chunk{Result: part}, nil
	}
	return Chunk{Result: part, Last: true, Revision: s.header, Count: s.sorted.Count, More: s.sorted.More}, nil
}

// count is the number of keys in the range from a key on.
func (s *RangeStream) count(v *statemachine.View, from []byte) (int64, error) {
	res, err := v.Range(&pb.RangeRequest{Key: from, RangeEnd: s.request.RangeEnd, Revision: s.request.Revision, CountOnly: true})
	if err != nil {
		return 0, err
	}
	return res.Count, nil
}

// grow sets the limit of the next chunk by the last one, of n keys in size bytes.
func (s *RangeStream) grow(n int64, size int) {
	if size < s.targetBytes/2 {
		n *= 2
	}
	s.next.Limit = n
	if s.left > 0 {
		s.next.Limit = min(n, s.left)
	}
}

// Chunk is one piece of a stream's answer.
type Chunk struct {
	// Result is the chunk's key-values; its own numbers are of no use. Nil where only a count was asked for.
	Result *statemachine.RangeResult
	// Last says that the stream ends with this chunk. Only the last chunk has the fields that follow.
	Last     bool
	Revision int64 // of the header
	Count    int64 // keys in the whole range
	More     bool  // the request's limit cut something off
}

// Response is the chunk as the API's message; st is the answering member's.
func (c *Chunk) Response(st node.Status) *pb.RangeStreamResponse {
	resp := &pb.RangeResponse{}
	if c.Result != nil {
		resp.Kvs = c.Result.Response().GetKvs()
	}
	if c.Last {
		resp.Header, resp.Count, resp.More = header(st, c.Revision), c.Count, c.More
	}
	return &pb.RangeStreamResponse{RangeResponse: resp}
}

// Field numbers of RangeStreamResponse and RangeResponse.
const (
	chunkResponse  = 1
	responseHeader = 1
	responseMore   = 3
	responseCount  = 4
)

// Around is what stands before and after the key-values (RangeResult.AppendKVs) in the encoded RangeStreamResponse, so that a door can write the
// stored bytes out as they are.
func (c *Chunk) Around(st node.Status) (before, after []byte) {
	kvs := 0
	if c.Result != nil {
		kvs = c.Result.Size()
	}
	var head []byte
	if c.Last {
		encoded, err := proto.Marshal(header(st, c.Revision))
		if err != nil {
			panic("call: a header of four numbers can't be encoded: " + err.Error())
		}
		head = protowire.AppendBytes(protowire.AppendTag(nil, responseHeader, protowire.BytesType), encoded)
		if c.More {
			after = protowire.AppendVarint(protowire.AppendTag(after, responseMore, protowire.VarintType), 1)
		}
		if c.Count != 0 {
			after = protowire.AppendVarint(protowire.AppendTag(after, responseCount, protowire.VarintType), uint64(c.Count))
		}
	}
	before = protowire.AppendTag(nil, chunkResponse, protowire.BytesType)
	before = append(protowire.AppendVarint(before, uint64(len(head)+kvs+len(after))), head...)
	return before, after
}

// Append appends the chunk as an encoded RangeStreamResponse, from the bytes that are stored, without making a message.
func (c *Chunk) Append(dst []byte, st node.Status) []byte {
	before, after := c.Around(st)
	dst = append(dst, before...)
	if c.Result != nil {
		dst = c.Result.AppendKVs(dst)
	}
	return append(dst, after...)
}

// Size bounds what Append appends, in bytes.
func (c *Chunk) Size() int {
	n := 128 // tags, lengths, header, count
	if c.Result != nil {
		n += c.Result.Size()
	}
	return n
}
