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
	if err := writeReport(path, about{date: "2026-01-02", versions: []string{"detcd says `a`", "etcd says `b`"}}, allTables(rows, nil)); err != nil {
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

func TestReport_TheBaselineIsComparedRoundByRound(t *testing.T) {
	get := load{op: opLinearizable, clients: 1, conns: 1}
	unary := func(name string, n ...uint64) row {
		var results []result
		for _, n := range n {
			results = append(results, result{requests: n, elapsed: time.Second, serverCPU: time.Duration(n) * time.Microsecond})
		}
		return newRow(1, get, name, results)
	}
	round := func(rate float64) []figure { return []figure{countFigure("events/s", rate, "events/s")} }
	tables := allTables(
		[]row{unary(nameDetcd, 100, 400, 90), unary(nameBaseline, 50, 100, 30), unary(nameEtcd, 10, 10, 10), unary(nameCeiling, 300, 300, 300)},
		[]outcome{
			newOutcome(1, testWatch, nameDetcd, [][]figure{round(10), nil, round(60)}, "round 2 broke"),
			newOutcome(1, testWatch, nameBaseline, [][]figure{round(20), round(1), round(20)}, ""),
		})
	var text strings.Builder
	writeTables(&text, tables)
	lines := strings.Split(text.String(), "\n")
	for _, want := range []string{
		// Per round 2, 4 and 3 times as many.
		"detcd 100 90-400 0 µs 0 µs 1 µs 0 µs 0 MiB 10.00 1.00 3.00 (2.00-4.00) 1.00 (1.00-1.00)",
		"baseline 50 30-100 0 µs 0 µs 1 µs 0 µs 0 MiB 5.00 1.00",
		"ceiling 300 300-300 0 µs 0 µs 1 µs 0 µs 0 MiB 30.00 1.00",
		// The round that failed is left out; there is no etcd to compare with.
		"detcd 35 10 - 60 1.75 (0.50-3.00)",
		"baseline 20 1 - 20",
	} {
		found := false
		for _, line := range lines {
			found = found || strings.HasSuffix(strings.Join(strings.Fields(line), " "), want)
		}
		if !found {
			t.Errorf("no line ends with %q:\n%s", want, text.String())
		}
	}
}

func TestContenders_OfFlags(t *testing.T) {
	for _, c := range []struct {
		o    options
		want string
	}{
		{options{detcd: "d", etcd: "e"}, "detcd etcd"},
		{options{detcd: "d", etcd: "e", baseline: "b"}, "detcd baseline etcd"},
		{options{detcd: "d", etcd: leftOut, baseline: "b"}, "detcd baseline"},
	} {
		var names []string
		for _, one := range c.o.contenders() {
			names = append(names, one.name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%+v: %s, want %s", c.o, got, c.want)
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
	source, err := os.ReadFile("../netio/door/services/server.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(source), "grpc.NewServer(\n")
	block, _, ended := strings.Cut(rest, "\n\t)\n")
	if !found || !ended {
		t.Fatal("netio/door/services/server.go makes its server in another way now: compare its options with ceilingOptions and mend this test")
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
