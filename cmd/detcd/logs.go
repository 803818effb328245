package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newLogger makes the logger that the log flags describe: lines of JSON with etcd's keys. A burst of one and the same line is
// sampled, as etcd does.
func newLogger(outputs []string, level, format string) (*zap.Logger, error) {
	l, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("unknown --log-level %q", level)
	}
	if format != "json" && format != "console" {
		return nil, fmt.Errorf("unknown --log-format %q, only json and console are there", format)
	}
	var paths []string
	for _, o := range outputs {
		switch o {
		case "default":
			paths = append(paths, "stderr")
		case "systemd/journal":
			return nil, errors.New("--log-outputs=systemd/journal is not supported: use stderr, which systemd passes on")
		default:
			paths = append(paths, o)
		}
	}
	if slices.Contains(paths, "/dev/null") {
		paths = []string{"/dev/null"}
	}
	slices.Sort(paths)
	paths = slices.Compact(paths)
	return zap.Config{
		Level:            zap.NewAtomicLevelAt(l),
		Sampling:         &zap.SamplingConfig{Initial: 100, Thereafter: 100},
		Encoding:         format,
		EncoderConfig:    encoding,
		OutputPaths:      paths,
		ErrorOutputPaths: paths,
	}.Build()
}

// fallbackLogger takes the lines of a start that fails before the log flags are known to be right.
func fallbackLogger(w io.Writer) *zap.Logger {
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(encoding), zapcore.AddSync(w), zapcore.InfoLevel), zap.AddCaller())
}

// encoding holds etcd's keys and forms.
var encoding = zapcore.EncoderConfig{
	TimeKey: "ts", LevelKey: "level", NameKey: "logger", CallerKey: "caller", MessageKey: "msg", StacktraceKey: "stacktrace",
	LineEnding:  zapcore.DefaultLineEnding,
	EncodeLevel: zapcore.LowercaseLevelEncoder,
	EncodeTime: func(t time.Time, e zapcore.PrimitiveArrayEncoder) {
		e.AppendString(t.Format("2006-01-02T15:04:05.000000Z0700"))
	},
	EncodeDuration: zapcore.StringDurationEncoder,
	EncodeCaller:   zapcore.ShortCallerEncoder,
}
