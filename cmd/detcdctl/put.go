package main

import (
	"context"
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/detcd/detcd/cmd/detcdctl/show"
)

// putFlags are the flags of put, on the command line and in a transaction.
type putFlags struct {
	lease                            string
	prevKV, ignoreValue, ignoreLease bool
}

func (f *putFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.lease, "lease", "0", "the `id` of the lease, in base 16, that the key belongs to")
	fs.BoolVar(&f.prevKV, "prev-kv", false, "also show the key and value as they were")
	fs.BoolVar(&f.ignoreValue, "ignore-value", false, "keep the value that the key has")
	fs.BoolVar(&f.ignoreLease, "ignore-lease", false, "keep the lease that the key has")
}

// request says what to put; a value that is no argument is all that stdin holds.
func (f *putFlags) request(args []string, stdin io.Reader) (key, value string, options []clientv3.OpOption, err error) {
	const usage = "put command needs 1 argument and input from stdin or 2 arguments"
	switch {
	case len(args) == 0:
		return "", "", nil, badArgs(usage)
	case f.ignoreValue && len(args) > 1:
		return "", "", nil, badArgs("put command needs only 1 argument when 'ignore-value' is set")
	case f.ignoreValue:
	case len(args) > 1:
		value = args[1]
	default:
		read, err := io.ReadAll(stdin)
		if err != nil || len(read) == 0 {
			return "", "", nil, badArgs(usage)
		}
		value = string(read)
	}
	lease, err := strconv.ParseInt(f.lease, 16, 64)
	if err != nil {
		return "", "", nil, badArgs("bad lease ID (%w), expecting ID in Hex", err)
	}
	if lease != 0 {
		options = append(options, clientv3.WithLease(clientv3.LeaseID(lease)))
	}
	if f.prevKV {
		options = append(options, clientv3.WithPrevKV())
	}
	if f.ignoreValue {
		options = append(options, clientv3.WithIgnoreValue())
	}
	if f.ignoreLease {
		options = append(options, clientv3.WithIgnoreLease())
	}
	return args[0], value, options, nil
}

func (a *app) putCommand() *cobra.Command {
	var f putFlags
	c := &cobra.Command{
		Use:   "put [options] <key> <value> (<value> can also be given from stdin)",
		Short: "Give a key a value",
		Long: "Give a key a value. A value that is not among the arguments is read from standard input, to its end.\n" +
			"A key or value that begins with - goes after --, as in: put -- <key> <value>",
		RunE: func(cmd *cobra.Command, args []string) error {
			key, value, options, err := f.request(args, a.stdin)
			if err != nil {
				return err
			}
			return a.call(cmd, func(ctx context.Context, c *clientv3.Client) (show.Answer, error) {
				response, err := c.Put(ctx, key, value, options...)
				return answerOr(response, err, show.Put)
			})
		},
	}
	f.register(c.Flags())
	return c
}

// answerOr shows a response unless there was an error.
func answerOr[R any](response R, err error, form func(R) show.Answer) (show.Answer, error) {
	if err != nil {
		return show.Answer{}, err
	}
	return form(response), nil
}
