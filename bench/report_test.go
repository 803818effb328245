package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestReport_RatiosAreAgainstEtcdUnderTheSameLoad(t *testing.T) {
	put, get := load{op: opPut, clients: 1, conns: 1}, load{op: opLinearizable, clients: 1, conns: 1}
	one := func(l load, name string, n uint64, cpu time.Duration) row {
		results := []result{
			{requests: n, elapsed: time.Second, serverCPU: cpu * time.Duration(n), rss: 3 << 20},
			{requests: 3 * n, elapsed: time.Second, serverCPU: cpu * time.Duration(3*n), rss: 4 << 20},
			{requests: 2 * n, elapsed: time.Second, serverCPU: cpu * time.Duration(2*n), rss: 5 << 20},
		}
		return newRow(1, l, name, results)
	}
	rows := []row{
		one(put, nameDetcd, 300, 10*time.Microsecond), one(put, nameEtcd, 100, 40*time.Microsecond),
		one(get, nameDetcd, 100, 10*time.Microsecond), one(get, nameEtcd, 200, 10*time.Microsecond),
	}
	path := filepath.Join(t.TempDir(), "docs", "benchmarks.md")
	if err := writeReport(path, about{date: "2026-01-02", versions: []string{"a", "b"}}, allTables(rows, nil)); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| 1 | put | 1/1 | detcd | 600 | 300-900 |", "| 10 µs | 0 µs | 5 MiB | 3.00 | 0.25 |",
		"| 1 | range (linearizable) | 1/1 | detcd | 200 |", "| 5 MiB | 0.50 | 1.00 |",
		"| 1 | put | 1/1 | etcd | 200 | 100-300 |", "| 40 µs | 0 µs | 5 MiB |  |  |",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("%q is missing in\n%s", want, page)
		}
	}
}

func TestMedian(t *testing.T) {
	get := func(r result) time.Duration { return r.p50 }
	if got := median([]result{{p50: 9}, {p50: 1}, {p50: 5}}, get); got != 5 {
		t.Errorf("of three: %d", got)
	}
	if got := median([]result{{p50: 9}, {p50: 1}, {p50: 5}, {p50: 3}}, get); got != 4 {
		t.Errorf("of four: %d", got)
	}
}

func TestUsage_OfABusyProcess(t *testing.T) {
	cmd := exec.Command("sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo done; read x")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skip("no shell here:", err)
	}
	out.Read(make([]byte, 10))
	cpu, rss, err := usage(cmd.Process.Pid)
	if err != nil || cpu <= 0 || rss == 0 {
		t.Errorf("cpu %v, rss %d, %v", cpu, rss, err)
	}
	in.Close()
	cmd.Wait()
	if used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(); cpu > used+10*time.Millisecond {
		t.Errorf("cpu %v, but the process used %v in all", cpu, used)
	}
}

// The ceiling is one only if it is made of the same gRPC as detcd.
func TestModule_SameGRPCAsDetcd(t *testing.T) {
	pattern := regexp.MustCompile(`google\.golang\.org/(grpc|protobuf) v\S+`)
	ours, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	a, b := pattern.FindAllString(string(ours), -1), pattern.FindAllString(string(theirs), -1)
	if len(a) == 0 || strings.Join(a, " ") != strings.Join(b, " ") {
		t.Errorf("bench/go.mod has %q, go.mod %q: bring them to one version (go get in bench)", a, b)
	}
}

// A new option in detcd's door must be thought about here, too.
func TestCeiling_MadeWithTheOptionsOfDetcdsDoor(t *testing.T) {
	source, err := os.ReadFile("../netio/door/grpc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(source), "grpc.NewServer(\n")
	block, _, ended := strings.Cut(rest, "\n\t)\n")
	if !found || !ended {
		t.Fatal("netio/door/grpc.go makes its server in another way now: compare its options with ceilingOptions and mend this test")
	}
	var names []string
	for _, m := range regexp.MustCompile(`grpc\.(\w+)\(`).FindAllStringSubmatch(block, -1) {
		names = append(names, m[1])
	}
	const known = "Creds ForceServerCodecV2 MaxRecvMsgSize MaxSendMsgSize MaxConcurrentStreams KeepaliveEnforcementPolicy KeepaliveParams " +
		"ReadBufferSize WriteBufferSize UnaryInterceptor StreamInterceptor"
	if got := strings.Join(names, " "); got != known {
		t.Errorf("detcd's door has the options\n%s\nceilingOptions was made for\n%s\nbring them together, then change this test", got, known)
	}
}
