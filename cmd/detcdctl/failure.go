package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Exit codes, as etcdctl has them.
const (
	exitSuccess       = 0
	exitError         = 1
	exitBadConnection = 2
	exitInvalidInput  = 3 // standard input of txn and watch
	exitBadFeature    = 4 // a flag has a value that it cannot have
	exitInterrupted   = 5
	exitBadArgs       = 128
)

// failure ends the command with a code and a message, which may be missing if all is said.
type failure struct {
	code int
	err  error
}

func (f failure) Error() string {
	if f.err == nil {
		return fmt.Sprint("exit ", f.code)
	}
	return f.err.Error()
}

func (f failure) Unwrap() error { return f.err }

func fail(code int, format string, args ...any) error {
	return failure{code, fmt.Errorf(format, args...)}
}

func badArgs(format string, args ...any) error { return fail(exitBadArgs, format, args...) }

// orFailure gives an error a code, unless it has one.
func orFailure(err error, code int) error {
	var f failure
	if err == nil || errors.As(err, &f) {
		return err
	}
	return failure{code, err}
}

// hint says what to try, to a person.
func (a *app) hint(err error) {
	if !a.terminal {
		return
	}
	if advice := a.advice(err); advice != "" {
		fmt.Fprintln(a.stderr, advice)
	}
}

func (a *app) advice(err error) string {
	endpoints := strings.Join(a.global.endpoints, ", ")
	text := err.Error()
	switch {
	case strings.Contains(text, "first record does not look like a TLS handshake"):
		return "The server speaks plain HTTP: use http:// in --endpoints, and no --cacert, --cert or --key."
	case strings.Contains(text, "certificate signed by unknown authority"):
		return "The server's certificate is not known here: give its CA with --cacert."
	case strings.Contains(text, "error reading server preface"):
		return "The server may want TLS: use https:// in --endpoints, with --cacert."
	case errors.Is(err, rpctypes.ErrCompacted):
		return "That revision is gone. Leave --rev out, or ask for a later one."
	case errors.Is(err, rpctypes.ErrFutureRev):
		return "There is no such revision yet."
	case errors.Is(err, rpctypes.ErrNoSpace):
		return "The quota is used up: compact, defragment, then `" + a.name + " alarm disarm`; or raise --quota-backend-bytes of the servers."
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return "The lease has ended, or never was. `" + a.name + " lease list` shows those that there are."
	case errors.Is(err, rpctypes.ErrUserEmpty), errors.Is(err, rpctypes.ErrAuthFailed):
		return "Authentication is on: give --user NAME, and the password when asked."
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		return "`" + a.name + " user get NAME --detail` shows what a user may do."
	case errors.Is(err, rpctypes.ErrUnhealthy):
		return "A member that just started counts as unhealthy for a few seconds. `" + a.name + " endpoint health --cluster` shows who is."
	case errors.Is(err, rpctypes.ErrNoLeader):
		return "Fewer than half of the members are in touch. `" + a.name + " endpoint status --cluster -w table` shows who is."
	case status.Code(err) == codes.Unimplemented:
		return "This server does not have that call."
	case errors.Is(err, context.DeadlineExceeded), status.Code(err) == codes.DeadlineExceeded:
		if why := unreachable(a.global.endpoints); why != "" {
			return why + "\nStart the server, or say where it is with --endpoints or ETCDCTL_ENDPOINTS."
		}
		return endpoints + " can be reached but did not answer in time. Does the cluster have a leader (endpoint status --cluster)? Does it want\n" +
			"TLS (https://, --cacert)? --command-timeout waits longer than " + a.global.commandTimeout.String() + "."
	}
	return ""
}

// knock is how long the search for a reason may take for each endpoint.
const knock = 500 * time.Millisecond

// unreachable says which endpoints do not even take a connection, and why: gRPC keeps trying, and so only knows that it took too long.
func unreachable(endpoints []string) string {
	var why []string
	for _, e := range endpoints {
		address := e
		if u, err := url.Parse(e); err == nil && u.Host != "" {
			address = u.Host
		}
		if strings.HasPrefix(e, "unix") {
			continue
		}
		c, err := net.DialTimeout("tcp", address, knock)
		if err != nil {
			why = append(why, err.Error()+".")
			continue
		}
		c.Close()
	}
	return strings.Join(why, "\n")
}
