package logging

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/coreos/go-systemd/v22/journal"
	"go.uber.org/zap/zapcore"
)

const (
	// journalOutput is etcd's name for the journal of systemd.
	journalOutput = "systemd/journal"
	journalSocket = "/run/systemd/journal/socket"
)

// journalCore sends each line to the journal, with its level as the priority. What the journal does not take goes to fallback.
type journalCore struct {
	zapcore.LevelEnabler
	encoder  zapcore.Encoder
	send     func(text string, p journal.Priority, fields map[string]string) error
	fallback io.Writer
}

// newJournal is the core for outputs that name the journal. As with etcd it is the only one, and must be there.
func newJournal(outputs []string, encoder zapcore.Encoder, level zapcore.LevelEnabler) (zapcore.Core, error) {
	for _, o := range outputs {
		if o != journalOutput {
			return nil, fmt.Errorf("running with systemd/journal but other '--log-outputs' values (%q) are configured; leave one or the other out", outputs)
		}
	}
	c, err := net.Dial("unixgram", journalSocket)
	if err != nil {
		return nil, fmt.Errorf("can't find journal (%w)", err)
	}
	_ = c.Close()
	return &journalCore{level, encoder, journal.Send, os.Stderr}, nil
}

// With implements zapcore.Core.
func (c *journalCore) With(fields []zapcore.Field) zapcore.Core {
	with := *c
	with.encoder = c.encoder.Clone()
	for _, f := range fields {
		f.AddTo(with.encoder)
	}
	return &with
}

// Check implements zapcore.Core.
func (c *journalCore) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return to.AddCore(e, c)
	}
	return to
}

// Write implements zapcore.Core.
func (c *journalCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	line, err := c.encoder.EncodeEntry(e, fields)
	if err != nil {
		return err
	}
	defer line.Free()
	err = c.send(line.String(), priority(e.Level), map[string]string{
		"PACKAGE":           filepath.Base(filepath.Dir(e.Caller.File)),
		"SYSLOG_IDENTIFIER": filepath.Base(os.Args[0]),
	})
	if err != nil {
		_, err = c.fallback.Write(line.Bytes())
	}
	return err
}

// Sync implements zapcore.Core: the journal has what it was sent.
func (c *journalCore) Sync() error { return nil }

func priority(l zapcore.Level) journal.Priority {
	switch {
	case l <= zapcore.DebugLevel:
		return journal.PriDebug
	case l == zapcore.InfoLevel:
		return journal.PriInfo
	case l == zapcore.WarnLevel:
		return journal.PriWarning
	case l == zapcore.ErrorLevel:
		return journal.PriErr
	}
	return journal.PriCrit
}
