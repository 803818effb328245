package node

import (
	"fmt"
	"strings"

	"go.etcd.io/raft/v3"

	"github.com/detcd/detcd/node/port"
)

// raftLogger passes raft's own lines on to the member's log. Debug lines are dropped before they cost anything.
type raftLogger struct{ log port.Logger }

var _ raft.Logger = raftLogger{}

func (l raftLogger) Debug(...any)          {}
func (l raftLogger) Debugf(string, ...any) {}

func (l raftLogger) Info(v ...any) { l.log.Log(port.Info, fmt.Sprint(v...)) }

// Infof passes on what a person may want to know.
func (l raftLogger) Infof(f string, v ...any) {
	level := port.Info
	if strings.HasSuffix(f, "missing from unstable log; ignoring") {
		level = port.Debug // an ordinary thing where writes are asynchronous
	}
	l.log.Log(level, fmt.Sprintf(f, v...))
}

func (l raftLogger) Warning(v ...any)            { l.log.Log(port.Warn, fmt.Sprint(v...)) }
func (l raftLogger) Warningf(f string, v ...any) { l.log.Log(port.Warn, fmt.Sprintf(f, v...)) }

func (l raftLogger) Error(v ...any)            { l.log.Log(port.Warn, fmt.Sprint(v...)) }
func (l raftLogger) Errorf(f string, v ...any) { l.log.Log(port.Warn, fmt.Sprintf(f, v...)) }

func (l raftLogger) Fatal(v ...any)            { panic("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Fatalf(f string, v ...any) { panic("raft: " + fmt.Sprintf(f, v...)) }
func (l raftLogger) Panic(v ...any)            { panic("raft: " + fmt.Sprint(v...)) }
func (l raftLogger) Panicf(f string, v ...any) { panic("raft: " + fmt.Sprintf(f, v...)) }
