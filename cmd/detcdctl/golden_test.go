package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

const tapePath = "testdata/tape.json"

// recorded is one command on the tape.
type recorded struct {
	step
	Outcome outcome
	Calls   []*call `json:",omitempty"`
}

// TestTape_SaysAndPrintsWhatEtcdctlDoes needs no server and no other tool: it plays what stock etcd answered to stock etcdctl, and expects the
// same requests, output, exit code and last word.
func TestTape_SaysAndPrintsWhatEtcdctlDoes(t *testing.T) {
	skipWithoutSignals(t)
	if *rewrite {
		record(t)
	}
	text, err := os.ReadFile(tapePath)
	if err != nil {
		t.Fatal(err)
	}
	var tape []recorded
	if err := json.Unmarshal(text, &tape); err != nil {
		t.Fatal(err)
	}
	if len(tape) < 100 {
		t.Fatalf("only %d commands on the tape", len(tape))
	}
	ours := ourTool(t)
	for i, r := range tape {
		t.Run(fmt.Sprintf("%03d %s", i, strings.Join(r.Args, " ")), func(t *testing.T) {
			t.Parallel()
			l, port := endpoint(t)
			p := &player{port: port, calls: r.Calls}
			serve(t, l, p.handle)
			s, want := unmark(r.step, port), r.Outcome
			got := ours.run(t, s, l.Addr().String())
			got.Stdout, got.Stderr = steady(mark(got.Stdout, port)), steady(mark(got.Stderr, port))
			want.Stdout, want.Stderr = withLeaseID(steady(offTape(t, want.Stdout))), steady(want.Stderr)
			compare(t, got, want)
			if wrong := p.complaints(); wrong != "" {
				t.Error(wrong)
			}
		})
	}
}

// TestLive_SameAsEtcdctl runs the script with stock etcdctl and with detcdctl, each against a server of its own, and compares.
func TestLive_SameAsEtcdctl(t *testing.T) {
	skipWithoutSignals(t)
	if testing.Short() {
		t.Skip("the tape is compared; this builds and starts servers")
	}
	stock, ours, server, steps := stockTool(t), ourTool(t), serverBinary(t), readScript(t)
	var theirs, own []outcome
	var both sync.WaitGroup
	both.Go(func() { theirs = play(t, stock, startServer(t, server, ""), steps, func(step, outcome) {}) })
	both.Go(func() { own = play(t, ours, startServer(t, server, ""), steps, func(step, outcome) {}) })
	both.Wait()
	if t.Failed() {
		return
	}
	for i, s := range steps {
		t.Run(fmt.Sprintf("%d %s", s.line, strings.Join(s.Args, " ")), func(t *testing.T) {
			theirs[i].Stdout = withLeaseID(theirs[i].Stdout)
			compare(t, masked(own[i]), masked(theirs[i]))
		})
	}
}

func compare(t *testing.T, got, want outcome) {
	t.Helper()
	if got.Stdout != want.Stdout {
		t.Errorf("stdout:\n%q\nstock etcdctl prints:\n%q", got.Stdout, want.Stdout)
	}
	if got.Stderr != want.Stderr {
		t.Errorf("stderr: %q\nstock etcdctl says %q", got.Stderr, want.Stderr)
	}
	if got.Exit != want.Exit {
		t.Errorf("exit %d, of stock etcdctl %d", got.Exit, want.Exit)
	}
}

// play runs the script with a tool against a server.
func play(t *testing.T, tl tool, address string, steps []step, each func(step, outcome)) []outcome {
	known := names{"EP": address, "TMP": t.TempDir()}
	outcomes := make([]outcome, len(steps))
	for i, s := range steps {
		s = known.fill(s)
		outcomes[i] = tl.run(t, s, address)
		known.learn(outcomes[i].Stdout)
		each(s, outcomes[i])
		outcomes[i].Stdout = strings.NewReplacer(known["TMP"], "TMP", address, "ADDRESS").Replace(outcomes[i].Stdout)
		outcomes[i].Stderr = strings.NewReplacer(known["TMP"], "TMP", address, "ADDRESS").Replace(outcomes[i].Stderr)
	}
	return outcomes
}

// record makes the tape.
func record(t *testing.T) {
	t.Helper()
	l, port := endpoint(t)
	r := newRecorder(t, startServer(t, serverBinary(t), l.Addr().String()), port)
	serve(t, l, r.handle)
	var tape []recorded
	play(t, stockTool(t), l.Addr().String(), readScript(t), func(s step, o outcome) {
		calls := r.take()
		if s.live {
			return
		}
		o.Stdout, o.Stderr = onTape(mark(o.Stdout, port)), mark(o.Stderr, port)
		s.Args, s.Env = markAll(s.Args, port), markAll(s.Env, port)
		tape = append(tape, recorded{s, o, calls})
	})
	text, err := json.MarshalIndent(tape, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.FromSlash(tapePath), append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// notText begins output on the tape that is not UTF-8, which JSON cannot hold.
const notText = "base64:"

func onTape(output string) string {
	if utf8.ValidString(output) {
		return output
	}
	return notText + base64.StdEncoding.EncodeToString([]byte(output))
}

func offTape(t *testing.T, output string) string {
	t.Helper()
	encoded, found := strings.CutPrefix(output, notText)
	if !found {
		return output
	}
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return string(decoded)
}

func mark(text, port string) string { return strings.ReplaceAll(text, ":"+port, ":"+portMark) }

func markAll(words []string, port string) (marked []string) {
	for _, w := range words {
		marked = append(marked, mark(w, port))
	}
	return marked
}

func unmark(s step, port string) step {
	s.Args, s.Env = append([]string(nil), s.Args...), append([]string(nil), s.Env...)
	for _, words := range [][]string{s.Args, s.Env} {
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], ":"+portMark, ":"+port)
		}
	}
	return s
}

var leaseGranted = regexp.MustCompile(`(?m)^lease ([0-9a-f]{16}) granted with TTL\(\d+s\)$`)

// withLeaseID adds to what stock etcdctl prints the one thing that detcdctl adds.
func withLeaseID(stdout string) string { return leaseGranted.ReplaceAllString(stdout, "$0, ID $1") }

type mask struct {
	what *regexp.Regexp
	with string
}

var (
	// timings differ even when a server's answers are the same.
	timings = []mask{
		{regexp.MustCompile(`took = [0-9.]+[a-zµ]+`), "took = TIME"},
		{regexp.MustCompile(`took [0-9.]+[a-zµ]+`), "took TIME"},
		{regexp.MustCompile(`"took":"[0-9.]+[a-zµ]+"`), `"took":"TIME"`},
		{regexp.MustCompile(`"Took" : [0-9.]+[a-zµ]+`), `"Took" : TIME`},
		{regexp.MustCompile(`│ +[0-9.]+[a-zµ]+ │`), "│ TIME │"},
		{regexp.MustCompile(`─+`), "─"}, // a column is as wide as its time
		{regexp.MustCompile(` +TOOK +`), " TOOK "},
	}
	// ids and sizes differ between two servers.
	ids = []mask{
		{regexp.MustCompile(`\\x[0-9a-f\\x]{40,}`), "HEX"},
		{regexp.MustCompile(`\b[0-9a-f]{12,16}\b`), "ID"},
		{regexp.MustCompile(`\b\d{15,20}\b`), "ID"},
		{regexp.MustCompile(`remaining\(\d+s\)`), "remaining(N)"},
		{regexp.MustCompile(`"ttl":\d+`), `"ttl":N`},
		{regexp.MustCompile(`"TTL" : \d+`), `"TTL" : N`},
		{regexp.MustCompile(`"(raftIndex|raftAppliedIndex|dbSize|dbSizeInUse|hash)":\d+`), `"$1":N`},
		{regexp.MustCompile(`"(RaftIndex|RaftAppliedIndex|DBSize|DBSizeInUse|Hash)" : \d+`), `"$1" : N`},
		{regexp.MustCompile(`\d[\d.]* [kM]?B`), "SIZE"},
		{regexp.MustCompile(`\d+%`), "PART"},
		{regexp.MustCompile(`(true|false), (\d+), \d+, \d+, `), "$1, $2, N, N, "},
		{regexp.MustCompile(`ADDRESS, \d+, `), "ADDRESS, HASH, "},
		{regexp.MustCompile(`http://127\.0\.0\.1:\d+`), "PEER"},
		{regexp.MustCompile(`│ +\d+ `), "│ N "},
		{regexp.MustCompile(` +`), " "},
	}
)

// steady takes out timings, and help: it is ours, in our words.
func steady(text string) string {
	if strings.Contains(text, "\nUsage:\n") {
		return "HELP"
	}
	return replaced(text, timings)
}

func masked(o outcome) outcome {
	o.Stdout, o.Stderr = replaced(steady(o.Stdout), ids), replaced(steady(o.Stderr), ids)
	return o
}

func replaced(text string, masks []mask) string {
	for _, m := range masks {
		text = m.what.ReplaceAllString(text, m.with)
	}
	return text
}
