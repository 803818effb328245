package show

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Health is what was found out about one endpoint. The tags are the keys of the JSON form.
type Health struct {
	Endpoint string `json:"endpoint"`
	Healthy  bool   `json:"health"`
	Took     string `json:"took"`
	Error    string `json:"error,omitempty"`
}

// Status is the status that one endpoint gave.
type Status struct {
	Endpoint string                   `json:"Endpoint"`
	Status   *clientv3.StatusResponse `json:"Status"`
}

// HashKV is the hash that one endpoint gave.
type HashKV struct {
	Endpoint string                   `json:"Endpoint"`
	HashKV   *clientv3.HashKVResponse `json:"HashKV"`
}

// EndpointHealth shows which endpoints are healthy. In the simple form those that are not are left out: the caller says so on standard error.
func EndpointHealth(all []Health) Answer {
	return Answer{
		value: all,
		simple: func(w *simpleWriter) {
			for _, h := range all {
				if h.Error == "" {
					w.printf("%s is healthy: successfully committed proposal: took = %s\n", h.Endpoint, h.Took)
				}
			}
		},
		fields: func(w *fieldsWriter) {
			for _, h := range all {
				w.quoted("Endpoint", []byte(h.Endpoint))
				w.value("Health", h.Healthy)
				w.value("Took", h.Took)
				w.value("Error", h.Error)
				w.WriteByte('\n')
			}
		},
		table: func() (header []string, rows rows) {
			for _, h := range all {
				rows = append(rows, []string{h.Endpoint, strconv.FormatBool(h.Healthy), h.Took, h.Error})
			}
			return []string{"endpoint", "health", "took", "error"}, rows
		},
	}
}

// EndpointStatus shows the statuses of endpoints.
func EndpointStatus(all []Status) Answer {
	return Answer{
		value: all,
		simple: func(w *simpleWriter) {
			_, rows := statusTable(all)
			w.join(rows)
		},
		fields: func(w *fieldsWriter) {
			for _, s := range all {
				statusFields(w, s.Endpoint, (*pb.StatusResponse)(s.Status))
			}
		},
		table: func() ([]string, rows) { return statusTable(all) },
	}
}

func statusFields(w *fieldsWriter, endpoint string, r *pb.StatusResponse) {
	w.header(r.GetHeader())
	w.quoted("Version", []byte(r.GetVersion()))
	w.quoted("StorageVersion", []byte(r.GetStorageVersion()))
	w.value("DBSize", r.GetDbSize())
	w.value("DBSizeInUse", r.GetDbSizeInUse())
	w.value("DBSizeQuota", r.GetDbSizeQuota())
	w.value("Leader", r.GetLeader())
	w.value("IsLearner", r.GetIsLearner())
	w.value("RaftIndex", r.GetRaftIndex())
	w.value("RaftAppliedIndex", r.GetRaftAppliedIndex())
	w.value("Errors", r.GetErrors())
	w.quoted("Endpoint", []byte(endpoint))
	w.quoted("DowngradeTargetVersion", []byte(r.GetDowngradeInfo().GetTargetVersion()))
	w.value("DowngradeEnabled", r.GetDowngradeInfo().GetEnabled())
	w.WriteByte('\n')
}

func statusTable(all []Status) (header []string, rows rows) {
	for _, s := range all {
		r := (*pb.StatusResponse)(s.Status)
		rows = append(rows, []string{
			s.Endpoint,
			hexID(r.GetHeader().GetMemberId()),
			r.GetVersion(),
			r.GetStorageVersion(),
			size(r.GetDbSize()),
			size(r.GetDbSizeInUse()),
			unused(r.GetDbSize(), r.GetDbSizeInUse()),
			size(r.GetDbSizeQuota()),
			strconv.FormatBool(r.GetLeader() == r.GetHeader().GetMemberId()),
			strconv.FormatBool(r.GetIsLearner()),
			strconv.FormatUint(r.GetRaftTerm(), 10),
			strconv.FormatUint(r.GetRaftIndex(), 10),
			strconv.FormatUint(r.GetRaftAppliedIndex(), 10),
			strings.Join(r.GetErrors(), ", "),
			r.GetDowngradeInfo().GetTargetVersion(),
			strconv.FormatBool(r.GetDowngradeInfo().GetEnabled()),
		})
	}
	return []string{
		"endpoint", "ID", "version", "storage version", "db size", "in use", "percentage not in use", "quota", "is leader", "is learner",
		"raft term", "raft index", "raft applied index", "errors", "downgrade target version", "downgrade enabled",
	}, rows
}

func size(bytes int64) string { return humanize.Bytes(uint64(bytes)) }

// unused is the part of the database that is free, in whole percent, rounded up.
func unused(size, inUse int64) string {
	if size == 0 {
		return "0%"
	}
	return fmt.Sprintf("%d%%", 100-inUse*100/size)
}

// EndpointHashKV shows the hashes of endpoints.
func EndpointHashKV(all []HashKV) Answer {
	table := func() (header []string, rows rows) {
		for _, h := range all {
			r := (*pb.HashKVResponse)(h.HashKV)
			rows = append(rows, []string{h.Endpoint, fmt.Sprint(r.GetHash()), fmt.Sprint(r.GetHashRevision())})
		}
		return []string{"endpoint", "hash", "hash_revision"}, rows
	}
	return Answer{
		value: all,
		simple: func(w *simpleWriter) {
			_, rows := table()
			w.join(rows)
		},
		fields: func(w *fieldsWriter) {
			for _, h := range all {
				r := (*pb.HashKVResponse)(h.HashKV)
				w.header(r.GetHeader())
				w.quoted("Endpoint", []byte(h.Endpoint))
				w.value("Hash", r.GetHash())
				w.value("HashRevision", r.GetHashRevision())
				w.WriteByte('\n')
			}
		},
		table: table,
	}
}
