package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"

	"github.com/detcd/detcd/cmd/detcdctl/show"
)

// globalFlags may be given to every command.
type globalFlags struct {
	endpoints                             []string
	dialTimeout, commandTimeout           time.Duration
	keepAliveTime, keepAliveTimeout       time.Duration
	maxRequestBytes, maxRecvBytes         int
	insecureTransport, insecureSkipVerify bool
	insecureDiscovery                     bool
	cert, key, cacert                     string
	discoverySRV, discoverySRVName        string
	user, password, token                 string
	format                                string
	hex, debug                            bool
}

func (g *globalFlags) register(fs *pflag.FlagSet) {
	fs.StringSliceVar(&g.endpoints, "endpoints", []string{"127.0.0.1:2379"}, "addresses of the servers, separated by commas")
	fs.DurationVar(&g.dialTimeout, "dial-timeout", 2*time.Second, "how long connecting may take")
	fs.DurationVar(&g.commandTimeout, "command-timeout", 5*time.Second, "how long a short command may take, apart from connecting")
	fs.DurationVar(&g.keepAliveTime, "keepalive-time", 2*time.Second, "how long a connection may be silent before the server is pinged")
	fs.DurationVar(&g.keepAliveTimeout, "keepalive-timeout", 6*time.Second, "how long the answer to a ping may take")
	fs.IntVar(&g.maxRequestBytes, "max-request-bytes", 0, "largest request in bytes (0: 2 MiB)")
	fs.IntVar(&g.maxRecvBytes, "max-recv-bytes", 0, "largest answer in bytes (0: 2 GiB)")
	fs.StringVarP(&g.format, "write-out", "w", "simple", "output format ("+strings.Join(show.Formats, ", ")+")")
	fs.BoolVar(&g.hex, "hex", false, "print bytes, and ids in some formats, in base 16")
	fs.BoolVar(&g.debug, "debug", false, "log what the client does, to standard error")
	fs.BoolVar(&g.insecureTransport, "insecure-transport", true, "allow connections without TLS")
	fs.BoolVar(&g.insecureSkipVerify, "insecure-skip-tls-verify", false, "do not check the server's certificate (for tests only)")
	fs.BoolVar(&g.insecureDiscovery, "insecure-discovery", true, "take endpoints without TLS from SRV records")
	fs.StringVar(&g.cert, "cert", "", "TLS certificate `file` of this client")
	fs.StringVar(&g.key, "key", "", "TLS key `file` of this client")
	fs.StringVar(&g.cacert, "cacert", "", "`file` with the CA certificates that servers must be signed by")
	fs.StringVarP(&g.discoverySRV, "discovery-srv", "d", "", "`domain` whose SRV records name the servers")
	fs.StringVar(&g.discoverySRVName, "discovery-srv-name", "", "service `name` in those SRV records")
	fs.StringVar(&g.user, "user", "", "`name[:password]` to authenticate with (without a password it is asked for)")
	fs.StringVar(&g.password, "password", "", "password of --user")
	fs.StringVar(&g.token, "auth-jwt-token", "", "JWT `token` to authenticate with, instead of --user and --password")
}

const envPrefix = "ETCDCTL_"

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// watchVariables are read by the command watch itself.
var watchVariables = []string{"ETCDCTL_WATCH_KEY", "ETCDCTL_WATCH_RANGE_END"}

// fromEnvironment sets global flags that were not given from ETCDCTL_* variables. A variable beside its flag is an error, as it is in etcdctl: one
// of the two is not what the caller thinks it is.
func (a *app) fromEnvironment(cmd *cobra.Command) error {
	flags := cmd.Root().PersistentFlags()
	byName := map[string]*pflag.Flag{}
	flags.VisitAll(func(f *pflag.Flag) { byName[envName(f.Name)] = f })
	log := a.logger()
	for _, variable := range a.environ {
		name, value, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		flag := byName[name]
		switch {
		case flag == nil:
			if cmd.Name() != "watch" || !slices.Contains(watchVariables, name) {
				log.Warn("unrecognized environment variable", zap.String("environment-variable", variable))
			}
		case flag.Changed:
			return fail(exitError, "conflicting environment variable %s is shadowed by --%s: unset the one or leave the other out", name, flag.Name)
		case value != "":
			if err := flags.Set(flag.Name, value); err != nil {
				log.Warn("environment variable has no valid value and is ignored", zap.String("environment-variable", variable), zap.Error(err))
			}
			flag.Changed = false // it says what the arguments held
		}
	}
	return nil
}

// given says whether a global flag was set, by the arguments or a variable.
func (a *app) given(cmd *cobra.Command, name string) bool {
	variable := envName(name) + "="
	return cmd.Flags().Changed(name) || slices.ContainsFunc(a.environ, func(v string) bool { return strings.HasPrefix(v, variable) && v != variable })
}

// begin makes the global flags count: a command calls it once its own arguments are right.
func (a *app) begin(cmd *cobra.Command, valueOnly bool) error {
	if err := a.fromEnvironment(cmd); err != nil {
		return err
	}
	if a.setGRPCLog != nil {
		a.setGRPCLog(a.stderr, a.global.debug)
	}
	if a.global.debug {
		cmd.Root().PersistentFlags().VisitAll(func(f *pflag.Flag) { fmt.Fprintf(a.stderr, "%s=%v\n", envName(f.Name), f.Value) })
	}
	for _, f := range []string{"cert", "key", "cacert"} {
		if flag := cmd.Flag(f); flag.Changed && flag.Value.String() == "" {
			return badArgs("empty string is passed to --%s option", f)
		}
	}
	printer, ok := show.New(a.stdout, show.Options{
		Format: a.global.format, Hex: a.global.hex, ValueOnly: valueOnly,
	})
	if !ok {
		return failure{exitBadFeature, errors.New("unsupported output format")}
	}
	a.printer = printer
	return nil
}

// print writes an answer in the format that was asked for.
func (a *app) print(answer show.Answer) error {
	err := a.printer.Print(answer)
	if errors.As(err, new(show.ErrFormat)) {
		return failure{exitBadFeature, err}
	}
	return orFailure(err, exitError)
}
