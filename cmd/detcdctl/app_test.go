package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// answering starts a server that answers each call of a method with the given messages, and says where.
func answering(t *testing.T, answers map[string][]proto.Message) string {
	t.Helper()
	l, _ := endpoint(t)
	serve(t, l, func(_ any, s grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(s)
		var request []byte
		if err := s.RecvMsg(&request); err != nil {
			return err
		}
		messages, known := answers[method]
		if !known {
			return status.Error(codes.Unimplemented, method)
		}
		for _, m := range messages {
			encoded, err := proto.Marshal(m)
			if err != nil {
				return err
			}
			if err := s.SendMsg(&encoded); err != nil {
				return err
			}
		}
		return nil
	})
	return l.Addr().String()
}

// inProcess is a run of the command with its output kept.
func inProcess(name string, environ ...string) (a *app, stdout, stderr *bytes.Buffer) {
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	return &app{name: name, stdin: strings.NewReader(""), stdout: stdout, stderr: stderr, environ: environ}, stdout, stderr
}

// Introductions to etcd look for "lease X" or for "ID X" in what lease grant prints, under either name.
func TestLeaseGrant_UnderEitherName(t *testing.T) {
	server := answering(t, map[string][]proto.Message{"/etcdserverpb.Lease/LeaseGrant": {&pb.LeaseGrantResponse{ID: 0x1234abcd, TTL: 60}}})
	const want = "lease 000000001234abcd granted with TTL(60s), ID 000000001234abcd\n"
	for _, name := range []string{"etcdctl", "detcdctl", "etcdctl.exe", "/usr/bin/etcdctl"} {
		tl := ourTool(t)
		tl.name = name
		o := tl.run(t, step{Args: []string{"lease", "grant", "60"}}, server)
		if o.Stdout != want || o.Exit != exitSuccess {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

func TestEnvironment_BesideItsFlagIsAnError(t *testing.T) {
	a, stdout, stderr := inProcess("etcdctl", "ETCDCTL_ENDPOINTS=127.0.0.1:1")
	if code := a.run([]string{"--endpoints=127.0.0.1:2", "get", "foo"}); code != exitError || stdout.Len() > 0 {
		t.Errorf("exit %d, %q", code, stdout)
	}
	if !strings.Contains(stderr.String(), "conflicting environment variable ETCDCTL_ENDPOINTS is shadowed by --endpoints") {
		t.Errorf("%q", stderr)
	}
}

func TestEnvironment_SetsEveryGlobalFlag(t *testing.T) {
	server := answering(t, map[string][]proto.Message{"/etcdserverpb.KV/Put": {&pb.PutResponse{Header: &pb.ResponseHeader{Revision: 7}}}})
	a, stdout, stderr := inProcess("etcdctl", "ETCDCTL_ENDPOINTS="+server, "ETCDCTL_WRITE_OUT=json", "ETCDCTL_COMMAND_TIMEOUT=17s", "ETCDCTL_HEX=true")
	if code := a.run([]string{"put", "a", "b"}); code != exitSuccess || stdout.String() != "{\"header\":{\"revision\":7}}\n" {
		t.Fatalf("exit %d, %q, %q", code, stdout, stderr)
	}
	if a.global.commandTimeout.String() != "17s" || !a.global.hex {
		t.Errorf("%+v", a.global)
	}
}

func TestConsistency_NamesWhatWasGiven(t *testing.T) {
	a, _, stderr := inProcess("etcdctl")
	if code := a.run([]string{"member", "list", "--consistency=x"}); code != exitBadFeature || stderr.String() != "Error: unknown consistency flag \"x\"\n" {
		t.Errorf("exit %d, %q", code, stderr)
	}
}

func TestHints_OnATerminalOnly(t *testing.T) {
	run := func(terminal bool) string {
		a, _, stderr := inProcess("detcdctl")
		a.terminal = terminal
		a.run([]string{"--endpoints=127.0.0.1:1", "--command-timeout=200ms", "get", "foo"})
		return stderr.String()
	}
	const hint = "The last attempt to connect ended with: dial tcp 127.0.0.1:1: connect: connection refused\nStart the server"
	if out := run(true); !strings.HasPrefix(out, "Error: context deadline exceeded\n"+hint) {
		t.Errorf("a person is told %q", out)
	}
	if out := run(false); strings.Contains(out, hint) || !strings.Contains(out, "Error: context deadline exceeded\n") {
		t.Errorf("a script is told %q", out)
	}
}

func TestAdvice_ForWhatPeopleRunInto(t *testing.T) {
	a, _, _ := inProcess("detcdctl")
	for _, c := range []struct {
		err  error
		want string
	}{
		{rpctypes.ErrCompacted, "--rev"},
		{rpctypes.ErrNoSpace, "detcdctl alarm disarm"},
		{rpctypes.ErrUserEmpty, "--user"},
		{rpctypes.ErrLeaseNotFound, "detcdctl lease list"},
		{fmt.Errorf("failed to revoke lease (%w)", rpctypes.ErrLeaseNotFound), "detcdctl lease list"},
		{status.Error(codes.Unimplemented, "unknown service etcdserverpb.KV"), "does not have that call"},
		{status.Error(codes.Unimplemented, "unknown method Range for service etcdserverpb.KV"), "does not have that call"},
		{status.Error(codes.Unimplemented, "RangeStream does not support custom sort orders"), ""},
		{io.EOF, ""},
	} {
		if got := a.advice(c.err); !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("%v: %q", c.err, got)
		}
	}
}

// A person is told what the last connection failed of, whatever the client makes of it: it goes on until the command's time is over.
func TestHints_NameWhyNoConnectionCameAbout(t *testing.T) {
	secure := httptest.NewUnstartedServer(http.NotFoundHandler()) // HTTP/2 without gRPC, and a certificate that nobody knows
	secure.EnableHTTP2 = true
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	asking := httptest.NewUnstartedServer(nil)
	asking.EnableHTTP2 = true
	asking.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	asking.Config.ErrorLog = log.New(io.Discard, "", 0)
	asking.StartTLS()
	defer asking.Close()
	plain := answering(t, nil)
	for _, c := range []struct {
		name        string
		args        []string
		last, hints string
	}{
		{"unknown authority", []string{"--endpoints", secure.URL}, "x509: certificate signed by unknown authority", "--cacert"},
		{"the same, health", []string{"endpoint", "health", "--endpoints", secure.URL}, "x509: certificate signed by unknown authority", "--cacert"},
		{"plain server", []string{"--endpoints", "https://" + plain}, "first record does not look like a TLS handshake", "use http://"},
		{"no TLS to a server with TLS", []string{"--endpoints", strings.Replace(secure.URL, "https", "http", 1)}, "error reading server preface", "use https://"},
		// The server's answer may come after the client's next word has met a closed connection.
		{"no certificate", []string{"--endpoints", asking.URL, "--insecure-skip-tls-verify"}, "certificate required|broken pipe|reset by peer", "--cert"},
		{"a proxy without gRPC", []string{"--endpoints", secure.URL, "--insecure-skip-tls-verify"}, `404 \(Not Found\)`, "does not pass gRPC on"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, _, stderr := inProcess("detcdctl")
			a.terminal = true
			args := c.args
			if args[0] != "endpoint" {
				args = append(args, "get", "foo")
			}
			if code := a.run(append(args, "--command-timeout=1s")); code != exitError {
				t.Errorf("exit %d", code)
			}
			if out := stderr.String(); !regexp.MustCompile(c.last).MatchString(out) || !strings.Contains(out, c.hints) || strings.Contains(out, "have a leader") {
				t.Errorf("a person is told %q; want %q and %q", out, c.last, c.hints)
			}
		})
	}
}

func TestSnapshotSave_WritesAWholeFileOrNone(t *testing.T) {
	whole := bytes.Repeat([]byte{7}, 512)
	sum := sha256.Sum256(whole)
	for _, c := range []struct {
		name   string
		blob   []byte
		code   int
		stdout string
	}{
		{"whole", append(whole, sum[:]...), exitSuccess, "Snapshot saved at PATH\nServer version 3.7.0\n"},
		{"cut", whole, exitInterrupted, ""},
	} {
		server := answering(t, map[string][]proto.Message{"/etcdserverpb.Maintenance/Snapshot": {
			&pb.SnapshotResponse{RemainingBytes: 0, Blob: c.blob, Version: "3.7.0"},
		}})
		path := filepath.Join(t.TempDir(), "db")
		a, stdout, _ := inProcess("etcdctl")
		a.terminal = true // logs are not shown
		code := a.run([]string{"--endpoints", server, "snapshot", "save", path})
		if got := strings.ReplaceAll(stdout.String(), path, "PATH"); code != c.code || got != c.stdout {
			t.Errorf("%s: exit %d, %q", c.name, code, got)
		}
		written, err := os.ReadFile(path)
		if (err == nil) != (c.code == exitSuccess) || err == nil && !bytes.Equal(written, c.blob) {
			t.Errorf("%s: %d bytes, %v", c.name, len(written), err)
		}
	}
}

func TestCompletion_KnowsTheCommands(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		a, stdout, stderr := inProcess("detcdctl")
		if code := a.run([]string{"completion", shell}); code != exitSuccess || !strings.Contains(stdout.String(), "detcdctl") {
			t.Errorf("%s: exit %d, %d bytes, %q", shell, code, stdout.Len(), stderr)
		}
	}
}

func TestOptions_ListsGlobalFlags(t *testing.T) {
	a, stdout, _ := inProcess("detcdctl")
	if code := a.run([]string{"options"}); code != exitSuccess {
		t.Fatalf("exit %d", code)
	}
	for _, flag := range []string{
		"endpoints", "debug", "write-out", "hex", "dial-timeout", "command-timeout", "keepalive-time", "keepalive-timeout", "max-request-bytes",
		"max-recv-bytes", "insecure-transport", "insecure-discovery", "insecure-skip-tls-verify", "cert", "key", "cacert", "auth-jwt-token", "user",
		"password", "discovery-srv", "discovery-srv-name",
	} {
		if !strings.Contains(stdout.String(), "--"+flag+" ") {
			t.Errorf("--%s is not shown", flag)
		}
	}
}
