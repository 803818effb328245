package logging

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"
)

// Person is the format for somebody who started the server at a terminal: the time of day, the level, what happened, and what else is known
// of it. What raft says of itself is left to the level debug.
const Person = "person"

// ForPerson tells whether a logger writes in the format Person. Who logs may then say in one line what programs read from several.
func ForPerson(l *zap.Logger) bool {
	_, yes := l.Core().(personCore)
	return yes
}

// personCore lets raft's lines count as debug.
type personCore struct{ zapcore.Core }

// With implements zapcore.Core.
func (c personCore) With(fields []zapcore.Field) zapcore.Core { return personCore{c.Core.With(fields)} }

// Check implements zapcore.Core.
func (c personCore) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return to.AddCore(e, c)
	}
	return to
}

// Write implements zapcore.Core. Only now is it known who logs.
func (c personCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if e.Level == zapcore.InfoLevel && strings.Contains(e.Caller.Function, "(*raftLogger)") {
		e.Level = zapcore.DebugLevel
		if !c.Enabled(e.Level) {
			return nil
		}
	}
	return c.Core.Write(e, fields)
}

// personEncoder writes a line as "15:04:05.000 INFO  message: error (key value, key value)".
type personEncoder struct {
	*zapcore.MapObjectEncoder
}

var lineBuffers = buffer.NewPool()

func newPersonEncoder() *personEncoder {
	return &personEncoder{MapObjectEncoder: zapcore.NewMapObjectEncoder()}
}

// Clone implements zapcore.Encoder.
func (e *personEncoder) Clone() zapcore.Encoder {
	c := newPersonEncoder()
	maps.Copy(c.Fields, e.Fields)
	return c
}

// EncodeEntry implements zapcore.Encoder.
func (e *personEncoder) EncodeEntry(entry zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	all := e.Clone().(*personEncoder)
	var details []string
	for _, key := range slices.Sorted(maps.Keys(e.Fields)) {
		details = append(details, key+" "+personText(e.Fields[key]))
	}
	failure := ""
	for _, f := range fields {
		f.AddTo(all)
		switch v, ok := all.Fields[f.Key]; {
		case !ok:
		case f.Key == "error":
			failure = ": " + visible(fmt.Sprint(v))
		default:
			details = append(details, f.Key+" "+personText(v))
		}
	}
	b := lineBuffers.Get()
	fmt.Fprintf(b, "%s %-5s %s%s", entry.Time.Format("15:04:05.000"), entry.Level.CapitalString(), visible(entry.Message), failure)
	if len(details) > 0 {
		fmt.Fprintf(b, " (%s)", strings.Join(details, ", "))
	}
	b.AppendByte('\n')
	return b, nil
}

// personText writes a value without the quotes that only programs need.
func personText(v any) string {
	switch v := v.(type) {
	case string:
		if v == "" || strings.ContainsAny(v, " ,()\"") {
			return strconv.Quote(v)
		}
		return visible(v)
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case []any:
		words := make([]string, len(v))
		for i := range v {
			words[i] = personText(v[i])
		}
		return strings.Join(words, " ")
	}
	return fmt.Sprint(v)
}

// visible is a text as one line, and without what a terminal would obey: parts of it may come from strangers.
func visible(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return text
	}
	quoted := strconv.Quote(text)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
