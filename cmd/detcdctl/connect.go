package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/bgentry/speakeasy"
	"github.com/spf13/cobra"
	"go.etcd.io/etcd/client/pkg/v3/logutil"
	"go.etcd.io/etcd/client/pkg/v3/srv"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/grpclog"

	"github.com/detcd/detcd/cmd/detcdctl/show"
)

// logger writes JSON lines to standard error, as the stock tool does; a person is not shown them.
func (a *app) logger() *zap.Logger {
	if a.terminal && !a.global.debug {
		return zap.NewNop()
	}
	log, err := logutil.CreateDefaultZapLogger(zap.InfoLevel)
	if err != nil {
		return zap.NewNop()
	}
	return log
}

// setGRPCLog keeps gRPC's own log quiet unless something is wrong or --debug is set: connections come and go. The log is the process's, so only
// main may set it, and once.
func setGRPCLog(w io.Writer, debug bool) {
	if debug {
		grpclog.SetLoggerV2(grpclog.NewLoggerV2WithVerbosity(w, w, w, 4))
		return
	}
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, w))
}

// config is how to reach the endpoints that the flags name. It asks for a password if one is missing.
func (a *app) config() (*clientv3.Config, error) {
	g := &a.global
	endpoints, err := a.endpoints()
	if err != nil {
		return nil, err
	}
	spec := &clientv3.ConfigSpec{
		Endpoints:          endpoints,
		DialTimeout:        g.dialTimeout,
		KeepAliveTime:      g.keepAliveTime,
		KeepAliveTimeout:   g.keepAliveTimeout,
		MaxCallSendMsgSize: g.maxRequestBytes,
		MaxCallRecvMsgSize: g.maxRecvBytes,
		Secure: &clientv3.SecureConfig{
			Cert: g.cert, Key: g.key, Cacert: g.cacert, InsecureTransport: g.insecureTransport, InsecureSkipVerify: g.insecureSkipVerify,
		},
	}
	if !g.insecureDiscovery { // then the certificates must be the domain's
		spec.Secure.ServerName = g.discoverySRV
	}
	if spec.Auth, err = credentials(g.user, g.password, g.token, "Password: "); err != nil {
		return nil, err
	}
	return a.configOf(spec)
}

func (a *app) configOf(spec *clientv3.ConfigSpec) (*clientv3.Config, error) {
	config, err := clientv3.NewClientConfig(spec, a.logger())
	if err != nil {
		return nil, failure{exitBadArgs, err}
	}
	if a.terminal && !a.global.debug {
		config.Logger = zap.NewNop()
	}
	config.DialOptions = append(config.DialOptions, a.connecting.options()...)
	return config, nil
}

// credentials takes user as name or name:password, and asks for the password if there is none. Nil means no authentication.
func credentials(user, password, token, prompt string) (*clientv3.AuthConfig, error) {
	switch {
	case token != "":
		return &clientv3.AuthConfig{Token: token}, nil
	case user == "":
		return nil, nil
	case password != "":
		return &clientv3.AuthConfig{Username: user, Password: password}, nil
	}
	name, password, found := strings.Cut(user, ":")
	if !found {
		asked, err := speakeasy.Ask(prompt)
		if err != nil {
			return nil, failure{exitError, err}
		}
		password = asked
	}
	return &clientv3.AuthConfig{Username: name, Password: password}, nil
}

// endpoints are those of --discovery-srv or, if that names none, --endpoints.
func (a *app) endpoints() ([]string, error) {
	if a.global.discoverySRV != "" {
		found, err := srv.GetClient("etcd-client", a.global.discoverySRV, a.global.discoverySRVName)
		if err != nil {
			return nil, failure{exitError, err}
		}
		if usable := a.usable(found.Endpoints); len(usable) > 0 {
			return usable, nil
		}
	}
	endpoints := make([]string, len(a.global.endpoints))
	for i, e := range a.global.endpoints {
		endpoints[i] = strings.TrimSpace(e)
	}
	return endpoints, nil
}

// usable leaves endpoints without TLS out if --insecure-discovery=false.
func (a *app) usable(discovered []string) (usable []string) {
	for _, e := range discovered {
		if !a.global.insecureDiscovery && strings.HasPrefix(e, "http://") {
			fmt.Fprintf(a.stderr, "ignoring discovered insecure endpoint %q\n", e)
			continue
		}
		usable = append(usable, e)
	}
	return usable
}

// client connects to the endpoints that the flags name.
func (a *app) client() (*clientv3.Client, error) {
	config, err := a.config()
	if err != nil {
		return nil, err
	}
	return dial(config)
}

func dial(config *clientv3.Config) (*clientv3.Client, error) {
	c, err := clientv3.New(*config)
	if err != nil {
		return nil, failure{exitBadConnection, err}
	}
	return c, nil
}

// limited is the time that a short command has.
func (a *app) limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), a.global.commandTimeout)
}

// call makes one short request and prints its answer. An error that is no failure ends with exitError.
func (a *app) call(cmd *cobra.Command, request func(context.Context, *clientv3.Client) (show.Answer, error)) error {
	if err := a.begin(cmd, false); err != nil {
		return err
	}
	return a.callNow(request)
}

// callNow is call for a command that has called begin.
func (a *app) callNow(request func(context.Context, *clientv3.Client) (show.Answer, error)) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := a.limited()
	defer cancel()
	progress := a.progress(func() string { return "waiting for " + strings.Join(c.Endpoints(), ", ") })
	answer, err := request(ctx, c)
	progress.stop()
	if err != nil {
		return orFailure(err, exitError)
	}
	return a.print(answer)
}
