package logging

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"go.uber.org/zap"

	"github.com/detcd/detcd/node/port"
)

// lines logs with c into a file and returns what is in it.
func lines(t *testing.T, c Config, log func(l *zap.Logger, level zap.AtomicLevel)) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	c.Outputs = []string{path, path}
	l, level, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	log(l, level)
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.SplitAfter(strings.TrimSuffix(string(content), "\n"), "\n")
}

func TestPort_WritesTheLinesOfEtcd(t *testing.T) {
	all := lines(t, Config{}, func(l *zap.Logger, _ zap.AtomicLevel) {
		NewPort(l).Log(port.Warn, "something", "name", "a b", "member", port.MemberID(0x8e9e05c52164694d), "n", 7, "ok", true,
			"took", 1500*time.Millisecond, "error", errors.New("bad"), "odd")
	})
	if len(all) != 1 {
		t.Fatalf("%d lines, want one: %q", len(all), all)
	}
	want := regexp.MustCompile(`^\{"level":"warn","ts":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z","caller":"logging/logging_test.go:\d+",` +
		`"msg":"something","name":"a b","member":"8e9e05c52164694d","n":7,"ok":true,"took":"1.5s","error":"bad","odd":"\(no value\)"\}$`)
	if !want.MatchString(all[0]) {
		t.Errorf("the line is\n%s\nwant\n%s", all[0], want)
	}
	if !json.Valid([]byte(all[0])) {
		t.Errorf("the line is not JSON: %s", all[0])
	}
}

func TestNew_Levels(t *testing.T) {
	for _, c := range []struct {
		level string
		want  int
	}{{"debug", 4}, {"", 3}, {"info", 3}, {"warn", 2}, {"error", 1}} {
		all := lines(t, Config{Level: c.level}, func(l *zap.Logger, _ zap.AtomicLevel) {
			for _, level := range []port.Level{port.Debug, port.Info, port.Warn, port.Error} {
				NewPort(l).Log(level, "a line")
			}
		})
		if len(all) != c.want {
			t.Errorf("at level %q %d lines were written, want %d", c.level, len(all), c.want)
		}
	}
	all := lines(t, Config{Level: "error"}, func(l *zap.Logger, level zap.AtomicLevel) {
		level.SetLevel(zap.InfoLevel)
		l.Info("after a change")
	})
	if len(all) != 1 || !strings.Contains(all[0], "after a change") {
		t.Errorf("lines %q after the level was lowered", all)
	}
}

func TestNew_Console(t *testing.T) {
	all := lines(t, Config{Format: "console"}, func(l *zap.Logger, _ zap.AtomicLevel) { l.Info("hello") })
	if len(all) != 1 || !strings.Contains(all[0], "\tinfo\t") || !strings.HasSuffix(all[0], "\thello") {
		t.Errorf("lines %q", all)
	}
}

func TestNew_Person(t *testing.T) {
	all := lines(t, Config{Format: Person}, func(l *zap.Logger, _ zap.AtomicLevel) {
		if !ForPerson(l) || !ForPerson(l.With(zap.Int("n", 1))) {
			t.Error("the logger does not know whom it writes for")
		}
		l.With(zap.String("never", "seen")).Debug("too much")
		l.With(zap.Int("n", 1)).Warn("said with it")
		l.Warn("failed to start", zap.Error(errors.New("the port is in use")), zap.String("data-dir", "a.etcd"), zap.Strings("urls", []string{"x", "y"}))
		(&raftLogger{NewPort(l)}).pass(port.Info)
		(&raftLogger{NewPort(l)}).pass(port.Warn)
	})
	if len(all) != 3 || !strings.HasSuffix(all[0], " WARN  said with it (n 1)\n") {
		t.Fatalf("lines %q", all)
	}
	want := regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{3} WARN  failed to start: the port is in use \(data-dir a\.etcd, urls x y\)\n$`)
	if !want.MatchString(all[1]) || !strings.HasSuffix(all[2], " WARN  of raft") {
		t.Errorf("lines %q", all)
	}
}

// A word of a stranger neither begins a line of its own nor tells the terminal what to do.
func TestNew_PersonIsShownNoControlCharacters(t *testing.T) {
	const evil = "a\x1b[2J\"b\"\nc"
	all := lines(t, Config{Format: Person}, func(l *zap.Logger, _ zap.AtomicLevel) {
		l.Warn(evil, zap.Error(errors.New(evil)), zap.String("name", evil), zap.String("bare", "x\x1b[2J"))
	})
	if len(all) != 1 || strings.ContainsRune(all[0], '\x1b') || strings.Count(all[0], `a\x1b[2J"b"\nc`) != 2 {
		t.Errorf("lines %q", all)
	}
}

// raftLogger logs as the one in package node does.
type raftLogger struct{ log Port }

func (l *raftLogger) pass(level port.Level) { l.log.Log(level, "of raft") }

func TestJournal_GetsLinesWithTheirPriority(t *testing.T) {
	encoder, err := newEncoder("json")
	if err != nil {
		t.Fatal(err)
	}
	type sent struct {
		text string
		p    journal.Priority
	}
	var got []sent
	var aside strings.Builder
	full := false
	core := &journalCore{zap.InfoLevel, encoder, func(text string, p journal.Priority, _ map[string]string) error {
		if full {
			return errors.New("full")
		}
		got = append(got, sent{text, p})
		return nil
	}, &aside}
	l := zap.New(core).With(zap.String("who", "me"))
	l.Debug("no")
	l.Info("one")
	l.Warn("two")
	l.Error("three")
	full = true
	l.Warn("four")
	if len(got) != 3 || got[0].p != journal.PriInfo || got[1].p != journal.PriWarning || got[2].p != journal.PriErr {
		t.Fatalf("%v", got)
	}
	if !json.Valid([]byte(got[0].text)) || !strings.Contains(got[0].text, `"msg":"one","who":"me"`) {
		t.Errorf("the line is %s", got[0].text)
	}
	if !strings.Contains(aside.String(), "four") {
		t.Errorf("what the journal did not take is lost: %q", aside.String())
	}
}

func TestNew_RefusesWhatItDoesNotKnow(t *testing.T) {
	for _, c := range []Config{
		{Level: "loud"}, {Format: "xml"}, {Outputs: []string{"systemd/journal", "stderr"}}, {Outputs: []string{""}},
		{Outputs: []string{"/no/such/directory/log"}},
	} {
		if _, _, err := New(c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

func BenchmarkPort_BelowTheLevel(b *testing.B) {
	p := NewPort(zap.NewNop())
	b.ReportAllocs()
	for b.Loop() {
		p.Log(port.Debug, "a line", "n", 7)
	}
}
