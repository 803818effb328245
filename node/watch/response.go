package watch

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// EveryWatch is the watch id of a progress answer that speaks for all watchers of a stream, and of an answer to a refused creation.
const EveryWatch = -1

// Response is one answer on a stream. Answers leave in the order in which Step returns them.
type Response struct {
	WatchID int64
	// Revision belongs in the header. In an answer with events and in a progress answer it says: the watcher was told everything up to this
	// revision, by this answer and earlier ones (of several fragments, by the last one). In the answer that ends a watch for a compaction it is
	// 0. In every other answer it is the head of the view that was looked at.
	Revision        int64
	Created         bool
	Canceled        bool
	Fragment        bool // the rest of these events follows in the next response
	CompactRevision int64
	CancelReason    string
	Events          []byte // the encoded `events` fields of the message; shared between watchers, not to be changed
	EventCount      int
}

// The fields of etcdserverpb.WatchResponse, and those of mvccpb.Event.
const (
	fieldHeader          = 1
	fieldWatchID         = 2
	fieldCreated         = 3
	fieldCanceled        = 4
	fieldCompactRevision = 5
	fieldCancelReason    = 6
	fieldFragment        = 7
	fieldEvents          = 11

	fieldEventType   = 1
	fieldEventKV     = 2
	fieldEventPrevKV = 3
)

// responseOverheadBytes bounds the size of a response with events, its events aside: a header of four numbers, a watch id and a flag.
const responseOverheadBytes = 64

// Append appends the encoded etcdserverpb.WatchResponse. header is an encoded ResponseHeader; its revision should be r.Revision.
func (r *Response) Append(dst []byte, header []byte) []byte {
	dst = appendBytesField(dst, fieldHeader, header)
	dst = appendIntField(dst, fieldWatchID, r.WatchID)
	dst = appendBoolField(dst, fieldCreated, r.Created)
	dst = appendBoolField(dst, fieldCanceled, r.Canceled)
	dst = appendIntField(dst, fieldCompactRevision, r.CompactRevision)
	if r.CancelReason != "" {
		dst = appendBytesField(dst, fieldCancelReason, []byte(r.CancelReason))
	}
	dst = appendBoolField(dst, fieldFragment, r.Fragment)
	return append(dst, r.Events...)
}

// Message is the response as a message of its own, with h as its header; h.Revision is set.
func (r *Response) Message(h *pb.ResponseHeader) *pb.WatchResponse {
	m := &pb.WatchResponse{}
	if err := proto.Unmarshal(r.Events, m); err != nil {
		panic("watch: events do not decode: " + err.Error())
	}
	if h != nil {
		h.Revision = r.Revision
	}
	m.Header, m.WatchId, m.Created, m.Canceled = h, r.WatchID, r.Created, r.Canceled
	m.CompactRevision, m.CancelReason, m.Fragment = r.CompactRevision, r.CancelReason, r.Fragment
	return m
}

func appendBytesField(dst []byte, field protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, field, protowire.BytesType), b)
}

// appendIntField leaves out a zero, as proto3 does.
func appendIntField(dst []byte, field protowire.Number, n int64) []byte {
	if n == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.VarintType), uint64(n))
}

func appendBoolField(dst []byte, field protowire.Number, b bool) []byte {
	if !b {
		return dst
	}
	return appendIntField(dst, field, 1)
}
