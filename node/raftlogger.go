package node

import (
	"fmt"
	"strings"

	"go.etcd.io/raft/v3"

	"github.com/detcd/detcd/node/port"
)

// raftLinesKept is how many different lines a raftLogger remembers, to know them when they are said again.
const raftLinesKept = 256

// raftLogger passes raft's own lines on to the member's log. Debug lines are dropped before they cost anything. A member without a quorum
// asks for pre-votes in the same words, several lines a second, for as long as that lasts: a line is passed on the first, second,
// fourth, eighth… time, with the count. In an election that gets anywhere the term is another, and with it the lines.
type raftLogger struct {
	log  port.Logger
	said map[string]uint64 // how often each line was said; never ranged over
}

var _ raft.Logger = (*raftLogger)(nil)

func newRaftLogger(log port.Logger) *raftLogger {
	return &raftLogger{log: log, said: make(map[string]uint64)}
}

// pass logs a line unless it was said before and its turn has not come.
func (l *raftLogger) pass(level port.Level, line string) {
	if len(l.said) >= raftLinesKept {
		clear(l.said)
	}
	n := l.said[line] + 1
	l.said[line] = n
	switch {
	case n&(n-1) != 0:
		return
	case n > 1:
		line = fmt.Sprintf("%s (%d times by now)", line, n)
	}
	l.log.Log(level, line)
}

func (l *raftLogger) Debug(...any)          {}
func (l *raftLogger) Debugf(string, ...any) {}

func (l *raftLogger) Info(v ...any) { l.pass(port.Info, fmt.Sprint(v...)) }

// Infof passes on what a person may want to know.
func (l *raftLogger) Infof(f string, v ...any) {
	level := port.Info
	if strings.HasSuffix(f, "missing from unstable log; ignoring") {
		level = port.Debug // an ordinary thing where writes are asynchronous
	}
	l.pass(level, fmt.Sprintf(f, v...))
}

func (l *raftLogger) Warning(v ...any)            { l.pass(port.Warn, fmt.Sprint(v...)) }
func (l *raftLogger) Warningf(f string, v ...any) { l.pass(port.Warn, fmt.Sprintf(f, v...)) }

func (l *raftLogger) Error(v ...any)            { l.pass(port.Warn, fmt.Sprint(v...)) }
func (l *raftLogger) Errorf(f string, v ...any) { l.pass(port.Warn, fmt.Sprintf(f, v...)) }

func (l *raftLogger) Fatal(v ...any)            { panic(raftPanic(fmt.Sprint(v...))) }
func (l *raftLogger) Fatalf(f string, v ...any) { panic(raftPanic(fmt.Sprintf(f, v...))) }
func (l *raftLogger) Panic(v ...any)            { panic(raftPanic(fmt.Sprint(v...))) }
func (l *raftLogger) Panicf(f string, v ...any) { panic(raftPanic(fmt.Sprintf(f, v...))) }

// raftPanic is what raft says where it gives up.
type raftPanic string

// Error says what raft said.
func (p raftPanic) Error() string { return "raft: " + string(p) }
