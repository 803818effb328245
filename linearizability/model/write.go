package model

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// Put writes a key, at the next revision. Errors: rpctypes.ErrGRPCLeaseNotFound
// for a lease that is not there, then rpctypes.ErrGRPCKeyNotFound for a value
// or lease to be kept of a key that is not there.
func (s *State) Put(r *pb.PutRequest) (*pb.PutResponse, error) {
	if err := s.checkPut(r); err != nil {
		return nil, err
	}
	w := s.begin()
	defer w.end()
	return w.put(r), nil
}

// DeleteRange removes keys, all at the next revision; where it finds none the
// revision stays. It has no errors.
func (s *State) DeleteRange(r *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	w := s.begin()
	defer w.end()
	return w.deleteRange(r), nil
}

// Compact refuses reads below a revision from now on. Errors:
// rpctypes.ErrGRPCCompacted at or below the last compaction,
// rpctypes.ErrGRPCFutureRev above the newest revision.
func (s *State) Compact(r *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	switch {
	case r.GetRevision() <= s.compacted:
		return nil, rpctypes.ErrGRPCCompacted
	case r.GetRevision() > s.revision:
		return nil, rpctypes.ErrGRPCFutureRev
	}
	s.compacted = r.GetRevision()
	return &pb.CompactionResponse{Header: header(s.revision)}, nil
}

// checkPut says why a put cannot be done in the present state.
func (s *State) checkPut(r *pb.PutRequest) error {
	if _, found := s.leases[r.GetLease()]; r.GetLease() != 0 && !found {
		return rpctypes.ErrGRPCLeaseNotFound
	}
	if (r.GetIgnoreValue() || r.GetIgnoreLease()) && s.find(r.GetKey()) == nil {
		return rpctypes.ErrGRPCKeyNotFound
	}
	return nil
}

// writing is a run of writes that share one revision, the state's next. The
// state's revision moves at its end, and only if something was written.
type writing struct {
	s     *State
	wrote bool
}

func (s *State) begin() *writing { return &writing{s: s} }

func (w *writing) end() {
	if w.wrote {
		w.s.revision++
	}
}

// revision is the newest revision as seen from within.
func (w *writing) revision() int64 {
	if w.wrote {
		return w.s.revision + 1
	}
	return w.s.revision
}

func (w *writing) write(v *version) {
	w.wrote = true
	v.changed = w.revision()
	w.s.write(v)
}

// put does a put that checkPut let pass. One transaction can delete the key
// whose value a put of it keeps, since a delete of all keys from one on slips
// through the check for duplicates; then there is nothing left to keep.
func (w *writing) put(r *pb.PutRequest) *pb.PutResponse {
	resp := &pb.PutResponse{}
	v := &version{
		key: string(r.GetKey()), value: r.GetValue(), lease: r.GetLease(),
		created: w.s.revision + 1, number: 1,
	}
	if old := w.s.find(r.GetKey()); old != nil {
		v.created, v.number = old.created, old.number+1
		if r.GetIgnoreValue() {
			v.value = old.value
		}
		if r.GetIgnoreLease() {
			v.lease = old.lease
		}
		if r.GetPrevKv() {
			resp.PrevKv = old.keyValue()
		}
	}
	w.write(v)
	resp.Header = header(w.revision())
	return resp
}

func (w *writing) deleteRange(r *pb.DeleteRangeRequest) *pb.DeleteRangeResponse {
	resp := &pb.DeleteRangeResponse{}
	for _, old := range within(w.s.current, r.GetKey(), r.GetRangeEnd()) {
		if r.GetPrevKv() {
			resp.PrevKvs = append(resp.PrevKvs, old.keyValue())
		}
		w.write(&version{key: old.key})
		resp.Deleted++
	}
	resp.Header = header(w.revision())
	return resp
}
