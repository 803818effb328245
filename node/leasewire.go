package node

import (
	"encoding/binary"
	"errors"
)

// leaseItem is one question about a lease, as it travels.
type leaseItem struct {
	op leaseOp
	id int64
}

// leaseRequest is what a member asks of the leader about leases: one message's content.
type leaseRequest struct {
	// term is that of the leader it is meant for: another one ignores it, so that a message that was long under way renews nothing.
	term        uint64
	incarnation uint64 // the asking member's
	sequence    uint64 // of the message, from 1 in each incarnation
	// floor: the asking member waits for no answer to an earlier one.
	floor uint64
	items []leaseItem
}

// leaseReply is the leader's answer to a leaseRequest.
type leaseReply struct {
	incarnation, sequence uint64
	// times answer the items in their order. A lease that was renewed has Granted set only.
	times []LeaseTTL
}

const (
	leaseRequestHead = 1 + 4*8
	leaseItemBytes   = 1 + 8
	leaseReplyHead   = 1 + 2*8
	leaseTimeBytes   = 1 + 2*8
)

var errLeaseItems = errors.New("questions or answers about leases are cut off")

func (r *leaseRequest) encode() []byte {
	b := append(make([]byte, 0, leaseRequestHead+len(r.items)*leaseItemBytes), kindLease)
	for _, v := range [...]uint64{r.term, r.incarnation, r.sequence, r.floor} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	for _, i := range r.items {
		b = binary.LittleEndian.AppendUint64(append(b, byte(i.op)), uint64(i.id))
	}
	return b
}

func decodeLeaseRequest(b []byte) (leaseRequest, error) {
	if len(b) < leaseRequestHead {
		return leaseRequest{}, errShortMessage
	}
	u := func(i int) uint64 { return binary.LittleEndian.Uint64(b[1+8*i:]) }
	r := leaseRequest{term: u(0), incarnation: u(1), sequence: u(2), floor: u(3)}
	b = b[leaseRequestHead:]
	if len(b)%leaseItemBytes != 0 || len(b) > maxLeaseAsks*leaseItemBytes {
		return leaseRequest{}, errLeaseItems
	}
	r.items = make([]leaseItem, len(b)/leaseItemBytes)
	for i := range r.items {
		r.items[i] = leaseItem{op: leaseOp(b[0]), id: int64(binary.LittleEndian.Uint64(b[1:]))}
		if r.items[i].op > opTime {
			return leaseRequest{}, errLeaseItems
		}
		b = b[leaseItemBytes:]
	}
	return r, nil
}

func (r *leaseReply) encode() []byte {
	b := append(make([]byte, 0, leaseReplyHead+len(r.times)*leaseTimeBytes), kindLeaseAnswer)
	b = binary.LittleEndian.AppendUint64(b, r.incarnation)
	b = binary.LittleEndian.AppendUint64(b, r.sequence)
	for _, t := range r.times {
		found := byte(0)
		if t.Found {
			found = 1
		}
		b = binary.LittleEndian.AppendUint64(append(b, found), uint64(t.Granted))
		b = binary.LittleEndian.AppendUint64(b, uint64(t.Remaining))
	}
	return b
}

func decodeLeaseAnswer(b []byte) (leaseReply, error) {
	if len(b) < leaseReplyHead {
		return leaseReply{}, errShortMessage
	}
	r := leaseReply{incarnation: binary.LittleEndian.Uint64(b[1:]), sequence: binary.LittleEndian.Uint64(b[9:])}
	b = b[leaseReplyHead:]
	if len(b)%leaseTimeBytes != 0 || len(b) > maxLeaseAsks*leaseTimeBytes {
		return leaseReply{}, errLeaseItems
	}
	r.times = make([]LeaseTTL, len(b)/leaseTimeBytes)
	for i := range r.times {
		if b[0] > 1 {
			return leaseReply{}, errLeaseItems
		}
		r.times[i] = LeaseTTL{
			Found:     b[0] == 1,
			Granted:   int64(binary.LittleEndian.Uint64(b[1:])),
			Remaining: int64(binary.LittleEndian.Uint64(b[9:])),
		}
		b = b[leaseTimeBytes:]
	}
	return r, nil
}
