package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/detcd/detcd/cmd/detcdctl/show"
)

// secondThoughts is how long a delete of a range waits for its user to interrupt it.
const secondThoughts = 2 * time.Second

// delFlags are the flags of del, on the command line and in a transaction.
type delFlags struct{ prefix, prevKV, fromKey, meansRange bool }

func (f *delFlags) register(fs *pflag.FlagSet) {
	fs.BoolVar(&f.prefix, "prefix", false, "all keys that begin with the given one")
	fs.BoolVar(&f.prevKV, "prev-kv", false, "also show the keys and values that there were")
	fs.BoolVar(&f.fromKey, "from-key", false, "all keys from the given one on, in byte order")
	fs.BoolVar(&f.meansRange, "range", false, "the second argument is meant: delete the range at once")
}

// request says what to delete.
func (f *delFlags) request(args []string) (key string, options []clientv3.OpOption, err error) {
	if len(args) == 0 || len(args) > 2 {
		return "", nil, badArgs("del command needs one argument as key and an optional argument as range_end")
	}
	if err := exclusive(f.prefix, "prefix", f.fromKey, "from-key"); err != nil {
		return "", nil, err
	}
	if f.prevKV {
		options = append(options, clientv3.WithPrevKV())
	}
	return keyRange(args, f.prefix, f.fromKey, options)
}

func (a *app) delCommand() *cobra.Command {
	var f delFlags
	c := &cobra.Command{
		Use:   "del [options] <key> [range_end]",
		Short: "Delete a key, or the keys from one up to but without another",
		RunE: func(cmd *cobra.Command, args []string) error {
			key, options, err := f.request(args)
			if err != nil {
				return err
			}
			if len(args) == 2 && !f.meansRange {
				fmt.Fprintf(a.stderr, "Warning: Keys between %q and %q will be deleted. Please interrupt the command within next 2 seconds to cancel. "+
					"You can provide `--range` flag to avoid the delay.\n", args[0], args[1])
				time.Sleep(secondThoughts)
			}
			return a.call(cmd, func(ctx context.Context, c *clientv3.Client) (show.Answer, error) {
				response, err := c.Delete(ctx, key, options...)
				return answerOr(response, err, show.Delete)
			})
		},
	}
	f.register(c.Flags())
	return c
}
