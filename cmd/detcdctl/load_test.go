package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

func TestLoadResult_Figures(t *testing.T) {
	r := loadResult{took: []time.Duration{2 * time.Second, 4 * time.Second, 6 * time.Second}, lasted: 2 * time.Second}
	if r.rate() != 1.5 || r.slowest() != 6*time.Second || r.deviation().Round(time.Millisecond) != 1633*time.Millisecond {
		t.Errorf("%v %v %v", r.rate(), r.slowest(), r.deviation())
	}
	if none := (loadResult{lasted: time.Second}); none.slowest() != 0 || none.deviation() != 0 {
		t.Error("no puts have times")
	}
}

func TestLoad_PutsAsOftenAsItSays(t *testing.T) {
	keys := make(chan string, 10)
	load{prefix: "p/", keySize: 20, puts: 10}.begin(context.Background(), keys)
	n := 0
	for k := range keys {
		if n++; !strings.HasPrefix(k, "p/") || len(k) != 22 {
			t.Errorf("%q", k)
		}
	}
	if n != 10 {
		t.Errorf("%d keys", n)
	}
}

func TestVerdict(t *testing.T) {
	l := load{perSecond: 10}
	for _, c := range []struct {
		r    loadResult
		ok   bool
		says string
	}{
		{loadResult{took: make([]time.Duration, 10), lasted: time.Second}, true, "PASS: Throughput is 11 writes/s\n"},
		{loadResult{took: make([]time.Duration, 9), lasted: time.Second}, false, "FAIL: Throughput too low: 10 writes/s\n"},
		{loadResult{took: append(make([]time.Duration, 99), time.Second), lasted: time.Second}, false, "Slowest request took too long: 1.000000s\n"},
		{loadResult{took: append(make([]time.Duration, 9), 400*time.Millisecond), lasted: time.Second}, false, "Stddev too high: 0.120000s\n"},
		{loadResult{took: make([]time.Duration, 10), lasted: time.Second, failures: map[string]int{"no": 2}}, false, "FAIL: ERROR(no) -> 2\n"},
	} {
		a, stdout, _ := inProcess("etcdctl")
		if ok := a.verdict(c.r, l); ok != c.ok || !strings.Contains(stdout.String(), c.says) {
			t.Errorf("%t: %q, want %q", ok, stdout, c.says)
		}
	}
}

// loadServer answers what a check asks for; keys says whether there are some to begin with.
func loadServer(t *testing.T, keys bool) string {
	found := &pb.RangeResponse{}
	if keys {
		found.Kvs = []*mvccpb.KeyValue{{Key: []byte("p/x")}}
	}
	return answering(t, map[string][]proto.Message{
		"/etcdserverpb.KV/Range":       {found},
		"/etcdserverpb.KV/Put":         {&pb.PutResponse{}},
		"/etcdserverpb.KV/DeleteRange": {&pb.DeleteRangeResponse{Header: &pb.ResponseHeader{Revision: 7}}},
		"/etcdserverpb.KV/Compact":     {&pb.CompactionResponse{}},
	})
}

func TestCheckPerf_PutsAndCleansUp(t *testing.T) {
	a, stdout, stderr := inProcess("etcdctl")
	root := a.rootCommand()
	if err := root.ParseFlags([]string{"--endpoints", loadServer(t, false)}); err != nil {
		t.Fatal(err)
	}
	err := a.checkPerf(root, load{prefix: "p/", keySize: 8, clients: 2, perSecond: 20}, 200*time.Millisecond, &checkFlags{autoCompact: true})
	if f := (failure{}); err != nil && !errors.As(err, &f) { // how fast it was is not the matter here
		t.Fatalf("%v, %s", err, stderr)
	}
	if !strings.HasPrefix(stdout.String(), "Compacting with revision 7\nCompacted with revision 7\n") || !strings.Contains(stdout.String(), "writes/s") {
		t.Errorf("%q", stdout)
	}
}

func TestCheckPerf_LeavesKeysAlone(t *testing.T) {
	a, _, stderr := inProcess("etcdctl")
	code := a.run([]string{"--endpoints", loadServer(t, true), "check", "perf", "--prefix=p/"})
	want := fmt.Sprintf("Error: prefix %q has keys. Delete with 'etcdctl del --prefix p/' first\n", "p/")
	if code != exitInvalidInput || stderr.String() != want {
		t.Errorf("exit %d, %q", code, stderr)
	}
}

func TestCheck_UnknownLoad(t *testing.T) {
	for _, check := range []string{"perf", "datascale"} {
		a, _, stderr := inProcess("etcdctl")
		if code := a.run([]string{"check", check, "--load=huge"}); code != exitBadFeature || stderr.String() != "Error: unknown load option huge\n" {
			t.Errorf("%s: exit %d, %q", check, code, stderr)
		}
	}
}
