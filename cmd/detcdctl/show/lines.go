package show

import (
	"bufio"
	"fmt"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// simpleWriter writes lines for people and scripts.
type simpleWriter struct {
	*bufio.Writer
	Options
}

func (w *simpleWriter) line(args ...any)               { fmt.Fprintln(w, args...) }
func (w *simpleWriter) printf(format string, a ...any) { fmt.Fprintf(w, format, a...) }
func (w *simpleWriter) keyValues(kvs []*mvccpb.KeyValue) {
	for _, kv := range kvs {
		w.keyValue(kv)
	}
}

// keyValue writes the key's line and the value's.
func (w *simpleWriter) keyValue(kv *mvccpb.KeyValue) {
	if !w.ValueOnly {
		w.line(w.bytes(kv.GetKey()))
	}
	w.line(w.bytes(kv.GetValue()))
}

func (w *simpleWriter) bytes(b []byte) string {
	if !w.Hex {
		return string(b)
	}
	var s strings.Builder
	for _, c := range b {
		fmt.Fprintf(&s, `\x%02x`, c)
	}
	return s.String()
}

// join writes a row of a table as one line.
func (w *simpleWriter) join(rows rows) {
	for _, row := range rows {
		w.line(strings.Join(row, ", "))
	}
}

// fieldsWriter writes `"Name" : value`, a line each.
type fieldsWriter struct {
	*bufio.Writer
	hex bool
}

// value writes a value as Go's fmt prints it.
func (w *fieldsWriter) value(name string, value any) { fmt.Fprintf(w, "\"%s\" : %v\n", name, value) }

// quoted writes a string or bytes as a quoted Go string.
func (w *fieldsWriter) quoted(name string, value []byte) {
	fmt.Fprintf(w, "\"%s\" : %q\n", name, value)
}

// id writes the id of a member or a cluster.
func (w *fieldsWriter) id(name string, id uint64) {
	if w.hex {
		fmt.Fprintf(w, "\"%s\" : %x\n", name, id)
		return
	}
	w.value(name, id)
}

// lease writes the id of a lease, which --hex pads to 16 digits.
func (w *fieldsWriter) lease(name string, id int64) {
	if w.hex {
		fmt.Fprintf(w, "\"%s\" : %016x\n", name, id)
		return
	}
	w.value(name, id)
}

// header leaves the revision out where the server does: it means nothing for answers that are not about keys.
func (w *fieldsWriter) header(h *pb.ResponseHeader) {
	w.id("ClusterID", h.GetClusterId())
	w.id("MemberID", h.GetMemberId())
	if h.GetRevision() > 0 {
		w.value("Revision", h.GetRevision())
	}
	w.value("RaftTerm", h.GetRaftTerm())
}

func (w *fieldsWriter) keyValue(prefix string, kv *mvccpb.KeyValue) {
	w.quoted(prefix+"Key", kv.GetKey())
	w.value(prefix+"CreateRevision", kv.GetCreateRevision())
	w.value(prefix+"ModRevision", kv.GetModRevision())
	w.value(prefix+"Version", kv.GetVersion())
	w.quoted(prefix+"Value", kv.GetValue())
	w.lease(prefix+"Lease", kv.GetLease())
}

// headerOnly is the fields form of an answer that says no more.
func headerOnly(h *pb.ResponseHeader) func(*fieldsWriter) {
	return func(w *fieldsWriter) { w.header(h) }
}

// text is the simple form of an answer that is one line.
func text(format string, args ...any) func(*simpleWriter) {
	return func(w *simpleWriter) { w.printf(format+"\n", args...) }
}
