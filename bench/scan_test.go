package main

import (
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

func testEvents() (events []*mvccpb.Event) {
	for i := range 5 {
		kv := &mvccpb.KeyValue{Key: keyAt(i), CreateRevision: 1 << (i * 12), ModRevision: 1<<(i*12) + 1, Version: 3, Value: fmt.Appendf(nil, "value %d", i), Lease: -1}
		events = append(events, &mvccpb.Event{Kv: kv})
	}
	events[1].Type = mvccpb.Event_DELETE
	events[2].PrevKv = &mvccpb.KeyValue{Key: []byte("other"), ModRevision: 7, Value: []byte("before")}
	return events
}

func TestScanWatch_ReadsWhatWasWritten(t *testing.T) {
	m := &pb.WatchResponse{Header: &pb.ResponseHeader{ClusterId: 1 << 63, Revision: 1 << 40}, WatchId: 300, Fragment: true, Events: testEvents()}
	a, err := scanWatch(encode(t, m))
	if err != nil || a.id != 300 || a.revision != 1<<40 || a.created || a.canceled {
		t.Fatalf("%+v, %v", a, err)
	}
	rest := a.events
	for i, want := range m.Events {
		var revision int64
		var value []byte
		if revision, value, rest, err = nextEvent(rest); err != nil || revision != want.Kv.ModRevision || string(value) != string(want.Kv.Value) {
			t.Errorf("event %d: revision %d, value %q, %v", i, revision, value, err)
		}
	}
	if len(rest) > 0 {
		t.Errorf("%d bytes are left", len(rest))
	}
	a, err = scanWatch(encode(t, &pb.WatchResponse{Created: true, Canceled: true, CancelReason: "no", CompactRevision: 9}))
	if err != nil || !a.created || !a.canceled || a.reason != "no" || a.events != nil {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestScan_KeepAliveAndRange(t *testing.T) {
	header := &pb.ResponseHeader{Revision: 5}
	id, ttl, err := scanKeepAlive(encode(t, &pb.LeaseKeepAliveResponse{Header: header, ID: 1<<62 + 5, TTL: 60}))
	if err != nil || id != 1<<62+5 || ttl != 60 {
		t.Errorf("%d, %d, %v", id, ttl, err)
	}
	kvs, count, more, err := scanRange(encode(t, &pb.RangeResponse{Header: header, Kvs: storedKeys(3, 20), More: true, Count: 1000}))
	if err != nil || kvs != 3 || count != 1000 || !more {
		t.Errorf("%d, %d, %v, %v", kvs, count, more, err)
	}
	var r pb.LeaseKeepAliveRequest
	if err := proto.Unmarshal(appendKeepAlive(nil, 1<<62+5), &r); err != nil || r.ID != 1<<62+5 {
		t.Errorf("request %v, %v", &r, err)
	}
}

// Whatever the bytes, scanning ends without a panic, and a message that protobuf refuses for its form is refused.
func FuzzScan(f *testing.F) {
	whole, err := proto.Marshal(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 300}, WatchId: 4, CancelReason: "no", Events: testEvents()})
	if err != nil {
		f.Fatal(err)
	}
	for i := range len(whole) {
		f.Add(whole[:i])
	}
	f.Add([]byte{1<<3 | 1, 1, 2, 3, 4, 5, 6, 7, 8, 2<<3 | 5, 1, 2, 3, 4, 3<<3 | 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		scanKeepAlive(b)
		scanRange(b)
		a, err := scanWatch(b)
		for events := a.events; err == nil && len(events) > 0; {
			_, _, events, err = nextEvent(events)
		}
		if parsed := new(pb.WatchResponse); err == nil && len(b) > 0 && len(a.events) == 0 && proto.Unmarshal(b, parsed) == nil && parsed.WatchId != a.id {
			t.Errorf("watch id %d, protobuf reads %d in % x", a.id, parsed.WatchId, b)
		}
	})
}

func TestScan_RefusesATornMessage(t *testing.T) {
	whole := encode(t, &pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 300}, WatchId: 4, Events: testEvents()[:1]})
	if _, err := scanWatch(whole[:3]); err == nil {
		t.Error("a header cut in two was read")
	}
	a, err := scanWatch(whole)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < len(a.events); n++ {
		if _, _, _, err := nextEvent(a.events[:n]); err == nil {
			t.Errorf("%d of %d bytes of an event were read", n, len(a.events))
		}
	}
}
