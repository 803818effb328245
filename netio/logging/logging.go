// Package logging writes log lines with zap: as JSON, with the keys that etcd uses (level, ts, caller, msg), as etcd's text
// for a console, or for a person at a terminal.
//
// It leaves to others what is worth a line, and the rotation of files (logrotate with copytruncate does).
//
// Concurrency: loggers may be used by several goroutines.
package logging

import (
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/detcd/detcd/node/port"
)

// Config says which lines go where. Zero values mean the default.
type Config struct {
	// Level is the lightest level that is written: debug, info (default), warn, error, panic or fatal.
	Level string
	// Format is json (default), console or person.
	Format string
	// Outputs are stderr, stdout, default (stderr) or paths of files to append to, or systemd/journal alone. None: stderr.
	Outputs []string
}

// New returns a zap logger. Its level can be changed while it runs.
func New(c Config) (*zap.Logger, zap.AtomicLevel, error) {
	level := zap.NewAtomicLevel()
	if c.Level != "" {
		if err := level.UnmarshalText([]byte(c.Level)); err != nil {
			return nil, level, fmt.Errorf("log level %q: %w", c.Level, err)
		}
	}
	encoder, err := newEncoder(c.Format)
	if err != nil {
		return nil, level, err
	}
	if slices.Contains(c.Outputs, journalOutput) {
		core, err := newJournal(c.Outputs, encoder, level)
		if err != nil {
			return nil, level, err
		}
		return zap.New(core, zap.AddCaller()), level, nil
	}
	paths, err := paths(c.Outputs)
	if err != nil {
		return nil, level, err
	}
	sink, _, err := zap.Open(paths...)
	if err != nil {
		return nil, level, fmt.Errorf("open the log: %w", err)
	}
	core := zapcore.NewCore(encoder, sink, level)
	if c.Format == Person {
		core = personCore{core}
	}
	return zap.New(core, zap.AddCaller(), zap.ErrorOutput(sink)), level, nil
}

// newEncoder returns the encoder of a format, with etcd's names of fields.
func newEncoder(format string) (zapcore.Encoder, error) {
	keys := zapcore.EncoderConfig{
		TimeKey:        "ts",
		LevelKey:       "level",
		NameKey:        "logger",
		CallerKey:      "caller",
		MessageKey:     "msg",
		StacktraceKey:  "stacktrace",
		LineEnding:     zapcore.DefaultLineEnding,
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeTime:     encodeTime,
		EncodeDuration: zapcore.StringDurationEncoder,
		EncodeCaller:   zapcore.ShortCallerEncoder,
	}
	switch format {
	case "", "json":
		return zapcore.NewJSONEncoder(keys), nil
	case "console":
		return zapcore.NewConsoleEncoder(keys), nil
	case Person:
		return newPersonEncoder(), nil
	}
	return nil, fmt.Errorf("log format %q: json and console are known", format)
}

// encodeTime writes UTC with six digits, as etcd 3.6 and later do.
func encodeTime(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
	enc.AppendString(t.UTC().Format("2006-01-02T15:04:05.000000Z0700"))
}

// paths turns etcd's names of outputs into zap's, each once, in an order of their own.
func paths(outputs []string) ([]string, error) {
	var all []string
	for _, o := range outputs {
		switch o {
		case "default":
			o = "stderr"
		case "":
			return nil, fmt.Errorf("a log output is empty")
		}
		all = append(all, o)
	}
	if len(all) == 0 {
		all = []string{"stderr"}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// Port is zap as the logger of a member and its transport.
type Port struct{ log *zap.Logger }

var _ port.Logger = Port{}

// NewPort returns l as a port. The caller in a line is whoever called Log.
func NewPort(l *zap.Logger) Port { return Port{l.WithOptions(zap.AddCallerSkip(1))} }

// Log implements port.Logger.
func (p Port) Log(level port.Level, msg string, kv ...any) {
	entry := p.log.Check(zapcore.Level(level), msg)
	if entry == nil {
		return
	}
	fields := make([]zap.Field, 0, (len(kv)+1)/2)
	for i := 0; i < len(kv); i += 2 {
		fields = append(fields, field(kv[i:]))
	}
	entry.Write(fields...)
}

// field makes a field of the key and value at the front of kv. A line with a mistake in it is still written.
func field(kv []any) zap.Field {
	key, ok := kv[0].(string)
	if !ok {
		key = fmt.Sprint(kv[0])
	}
	if len(kv) == 1 {
		return zap.String(key, "(no value)")
	}
	switch v := kv[1].(type) {
	case port.MemberID:
		// As etcd writes ids.
		return zap.String(key, fmt.Sprintf("%x", uint64(v)))
	case error:
		return zap.NamedError(key, v)
	case fmt.Stringer:
		return zap.Stringer(key, v)
	}
	return zap.Any(key, kv[1])
}
