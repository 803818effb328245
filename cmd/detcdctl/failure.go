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

// advice is what to try about an error, and what the error leaves out: why no connection came about.
func (a *app) advice(err error) string {
	if !tookTooLong(err) {
		return a.adviceFor(err)
	}
	why := a.connecting.last()
	if why == "" {
		return a.adviceFor(err)
	}
	said := "The last attempt to connect ended with: " + why + "\n"
	if advice := connectAdvice(why); advice != "" {
		return said + advice
	}
	return said + "Start the server, or say where it is with --endpoints or ETCDCTL_ENDPOINTS."
}

// unhealthyCluster is how endpoint health ends where an endpoint does not answer.
const unhealthyCluster = "unhealthy cluster"

// tookTooLong says whether an error means that an endpoint did not answer in time.
func tookTooLong(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded || strings.Contains(err.Error(), unhealthyCluster)
}

const endsAtOnce = "The server ends the connection at once. It may want TLS (https:// in --endpoints, --cacert), or a certificate (--cert and --key)."

// connectAdvice is what to try when a connection fails with these words.
func connectAdvice(text string) string {
	for _, c := range []struct{ words, advice string }{
		{"first record does not look like a TLS handshake", "The server speaks plain HTTP: use http:// in --endpoints, and no --cacert, --cert or --key."},
		{"certificate signed by unknown authority", "The server's certificate is not known here: give its CA with --cacert."},
		{"x509: certificate has expired", "The server's certificate is too old, or the clock of this machine is wrong."},
		{"x509:", "The server's certificate does not fit the address: use a name that it holds in --endpoints."},
		{"certificate required", "The server asks for a certificate: give yours with --cert and --key."},
		{"bad certificate", "The server does not take the certificate that was given with --cert."},
		{"unknown certificate authority", "The server does not know who signed the certificate that was given with --cert."},
		{"error reading server preface", "The server may want TLS: use https:// in --endpoints, with --cacert."},
		{"broken pipe", endsAtOnce},
		{"connection reset by peer", endsAtOnce},
		{"unexpected HTTP status code received from server", "What answers there speaks HTTP, but not gRPC: is it another server, or a proxy that does not pass gRPC on? --endpoints says whom to ask."},
	} {
		if strings.Contains(text, c.words) {
			return c.advice
		}
	}
	return ""
}

func (a *app) adviceFor(err error) string {
	endpoints := strings.Join(a.global.endpoints, ", ")
	if advice := connectAdvice(err.Error()); advice != "" {
		return advice
	}
	switch {
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
	case unknownCall(err):
		return "This server does not have that call."
	case tookTooLong(err):
		if why := unreachable(a.global.endpoints); why != "" {
			return why + "\nStart the server, or say where it is with --endpoints or ETCDCTL_ENDPOINTS."
		}
		return endpoints + " can be reached but did not answer in time. Does the cluster have a leader (endpoint status --cluster)? Does it want\n" +
			"TLS (https://, --cacert)? --command-timeout waits longer than " + a.global.commandTimeout.String() + "."
	}
	return ""
}

// unknownCall says whether gRPC itself found no such call. A call that is there may also answer Unimplemented, and then says what it lacks.
func unknownCall(err error) bool {
	text := err.Error()
	return status.Code(err) == codes.Unimplemented && (strings.Contains(text, "unknown service") || strings.Contains(text, "unknown method"))
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
