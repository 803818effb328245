package show

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// LeaseGrant shows a granted lease.
func LeaseGrant(r *clientv3.LeaseGrantResponse) Answer {
	return Answer{
		value:   r,
		message: &pb.LeaseGrantResponse{Header: r.ResponseHeader, ID: int64(r.ID), TTL: r.TTL, Error: r.Error},
		simple: func(w *simpleWriter) {
			// Scripts read the second word, and "granted with TTL(60s)". Introductions to etcd look for "ID X", which stock etcdctl lacks.
			w.printf("lease %016x granted with TTL(%ds), ID %016x\n", r.ID, r.TTL, r.ID)
		},
		fields: func(w *fieldsWriter) {
			w.header(r.ResponseHeader)
			w.lease("ID", int64(r.ID))
			w.value("TTL", r.TTL)
		},
	}
}

// LeaseRevoke shows that a lease is revoked.
func LeaseRevoke(id clientv3.LeaseID, r *clientv3.LeaseRevokeResponse) Answer {
	message := (*pb.LeaseRevokeResponse)(r)
	return Answer{
		value:   r,
		message: message,
		simple:  text("lease %016x revoked", id),
		fields:  headerOnly(message.GetHeader()),
	}
}

// LeaseKeepAlive shows one renewal.
func LeaseKeepAlive(r *clientv3.LeaseKeepAliveResponse) Answer {
	return Answer{
		value:   r,
		message: &pb.LeaseKeepAliveResponse{Header: r.ResponseHeader, ID: int64(r.ID), TTL: r.TTL},
		simple:  text("lease %016x keepalived with TTL(%d)", r.ID, r.TTL),
		fields: func(w *fieldsWriter) {
			w.header(r.ResponseHeader)
			w.lease("ID", int64(r.ID))
			w.value("TTL", r.TTL)
		},
	}
}

// LeaseTimeToLive shows what is left of a lease, and its keys if they were asked for.
func LeaseTimeToLive(r *clientv3.LeaseTimeToLiveResponse, keys bool) Answer {
	return Answer{
		value:   r,
		message: &pb.LeaseTimeToLiveResponse{Header: r.ResponseHeader, ID: int64(r.ID), TTL: r.TTL, GrantedTTL: r.GrantedTTL, Keys: r.Keys},
		simple: func(w *simpleWriter) {
			if r.GrantedTTL == 0 && r.TTL == -1 {
				w.printf("lease %016x already expired\n", r.ID)
				return
			}
			w.printf("lease %016x granted with TTL(%ds), remaining(%ds)", r.ID, r.GrantedTTL, r.TTL)
			if keys {
				w.printf(", attached keys(%s)", r.Keys)
			}
			w.line()
		},
		fields: func(w *fieldsWriter) {
			w.header(r.ResponseHeader)
			w.lease("ID", int64(r.ID))
			w.value("TTL", r.TTL)
			w.value("GrantedTTL", r.GrantedTTL)
			for _, key := range r.Keys {
				w.quoted("Key", key)
			}
		},
	}
}

// Leases lists all leases.
func Leases(r *clientv3.LeaseLeasesResponse) Answer {
	message := &pb.LeaseLeasesResponse{Header: r.ResponseHeader}
	for _, l := range r.Leases {
		message.Leases = append(message.Leases, &pb.LeaseStatus{ID: int64(l.ID)})
	}
	return Answer{
		value:   r,
		message: message,
		simple: func(w *simpleWriter) {
			w.printf("found %d leases\n", len(r.Leases))
			for _, l := range r.Leases {
				w.printf("%016x\n", l.ID)
			}
		},
		fields: func(w *fieldsWriter) {
			w.header(r.ResponseHeader)
			for _, l := range r.Leases {
				w.lease("ID", int64(l.ID))
			}
		},
	}
}
