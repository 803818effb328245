// Command detcd is the server: one member of a cluster that speaks the etcd v3 API. It reads flags, environment and
// configuration file as etcd does (table.go is the list, with what becomes of each), starts netio/server and stops it at a signal.
// It decides nothing else.
//
// Concurrency: the signal handler is the only goroutine of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"
	"go.etcd.io/etcd/api/v3/version"
	"go.uber.org/zap"
	"google.golang.org/grpc/grpclog"

	"github.com/detcd/detcd/netio/driver"
	"github.com/detcd/detcd/netio/logging"
	"github.com/detcd/detcd/netio/server"
	"github.com/detcd/detcd/node"
)

// stopTimeout bounds a graceful stop: leadership is handed over and requests under way are answered within it.
const stopTimeout = 1500 * time.Millisecond

// Exit codes, as etcd's.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run is main with its surroundings handed in. It returns the exit code.
func run(args, environ []string, stdout, stderr io.Writer) int {
	o := newOptions()
	argErr := o.parseCommandLine(args, stderr)
	var stray *argumentError
	switch {
	case argErr == nil || errors.As(argErr, &stray):
	case errors.Is(argErr, flag.ErrHelp):
		printFlags(stdout)
		return exitOK
	default:
		return exitUsage
	}
	if stray == nil && o.is("version") {
		printVersion(stdout)
		return exitOK
	}
	person := isTerminal(stderr)
	cfg, logger, err := configure(o, argErr, args, environ, person)
	if err != nil {
		if fallback, _, lerr := logging.New(logging.Config{Format: logFormat("", nil, person)}); lerr == nil {
			fallback.Warn("failed to verify flags", zap.Error(err))
		}
		return exitFailed
	}
	defer logger.Sync()
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	return serve(cfg, logger)
}

// configure gathers the configuration from wherever it stands. Warnings go to the logger that it describes.
// person says that somebody reads stderr.
func configure(o options, argErr error, args, environ []string, person bool) (server.Config, *zap.Logger, error) {
	if argErr != nil {
		return server.Config{}, nil, argErr
	}
	file := o.text("config-file")
	if file == "" {
		for _, e := range environ {
			if v, ok := strings.CutPrefix(e, "ETCD_CONFIG_FILE="); ok {
				file = v
			}
		}
	}
	var warnings []string
	var err error
	if file != "" {
		warnings, err = o.parseFile(file)
	} else {
		warnings, err = o.parseEnvironment(environ)
	}
	if err == nil {
		err = o.resolveAliases()
	}
	if err != nil {
		return server.Config{}, nil, err
	}
	judged, err := o.judge()
	if err != nil {
		return server.Config{}, nil, err
	}
	cfg, notes, err := o.settings()
	if err != nil {
		return server.Config{}, nil, err
	}
	format, outputs := o.text("log-format"), o.list("log-outputs")
	if o["log-format"].from == fromDefault {
		format = logFormat(format, outputs, person)
	}
	logger, _, err := logging.New(logging.Config{Level: o.text("log-level"), Format: format, Outputs: outputs})
	if err != nil {
		return server.Config{}, nil, err
	}
	cfg.Logger = logger
	logger.Info("starting detcd", zap.String("etcd-version", version.Version), zap.String("detcd-version", detcdVersion), zap.Strings("args", args))
	if file != "" {
		logger.Info("loaded server configuration, other configuration command line flags and environment variables will be ignored if provided",
			zap.String("path", file))
	}
	for _, w := range append(warnings, judged...) {
		logger.Warn(w)
	}
	for _, n := range notes {
		logger.Info(n, zap.String("data-dir", cfg.DataDir))
	}
	return cfg, logger, nil
}

// logFormat is the format for a person where one reads the log, unless another was asked for.
func logFormat(format string, outputs []string, person bool) string {
	onTerminal := !slices.ContainsFunc(outputs, func(o string) bool { return o != "stderr" && o != "default" })
	if person && onTerminal {
		return logging.Person
	}
	return format
}

// isTerminal tells whether a person reads what is written to w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// serve runs the server until a signal or a failure ends it, and returns the exit code.
func serve(cfg server.Config, logger *zap.Logger) int {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	s, err := server.Start(cfg)
	if err != nil {
		logger.Warn("failed to start", zap.Error(err))
		return exitFailed
	}
	go func() {
		<-s.Ready()
		if err := notifySystemd(os.Getenv("NOTIFY_SOCKET")); err != nil {
			logger.Warn("failed to tell systemd that the server is ready", zap.Error(err))
		}
	}()
	select {
	case err := <-s.Failed():
		if errors.Is(err, node.ErrRemoved) {
			logger.Warn("the member has been permanently removed from the cluster; it stops. To bring the machine back, add it as a new member with an "+
				"empty data directory", zap.String("data-dir", cfg.DataDir))
			break
		}
		// The member is stopped already: after a failed disk nothing more may be written or promised.
		what := "the member failed and stops"
		if errors.Is(err, node.ErrBootstrapped) {
			what = "the member does not start: its data is not here"
		}
		fields := []zap.Field{zap.Error(err)}
		var bug *driver.Bug
		if errors.As(err, &bug) {
			fields = append(fields, zap.ByteString("stack", bug.Stack))
		}
		logger.Error(what, fields...)
		_ = s.Close(expired())
		return exitFailed
	case sig := <-signals:
		logger.Info("received signal; shutting down", zap.String("signal", sig.String()))
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	go func() {
		select {
		case <-signals: // a second signal: at once
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := s.Close(ctx); err != nil {
		logger.Warn("stopped without finishing all", zap.Error(err))
	}
	return exitOK
}

// expired is a context for a stop that waits for nothing.
func expired() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
