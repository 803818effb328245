package main

import (
	"errors"
	"io"

	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var (
	errArgs         = errors.New("bad number of arguments")
	errArgsConflict = errors.New("bad number of arguments (found conflicting environment key)")
	errNoCommand    = errors.New("bad number of arguments (found separator --, but no commands)")
)

// watchFlags are the flags of watch, on the command line and in a line of its interactive mode.
type watchFlags struct {
	rev                            int64
	prefix, prevKV, progressNotify bool
}

func (f *watchFlags) register(fs *pflag.FlagSet) {
	fs.Int64Var(&f.rev, "rev", 0, "the `revision` to begin at (0: from now on)")
	fs.BoolVar(&f.prefix, "prefix", false, "all keys that begin with the given one")
	fs.BoolVar(&f.prevKV, "prev-kv", false, "also show keys and values as they were")
	fs.BoolVar(&f.progressNotify, "progress-notify", false, "also show, from time to time, up to which revision there was nothing")
}

// watchRequest is one watch: of a key or range, and the command to run for each event.
type watchRequest struct {
	flags   watchFlags
	where   []string // key and end of the range; etcdctl passes over what follows
	command []string
}

// watchKeys are the key and the end of the range that variables name; empty: the arguments do.
type watchKeys struct{ key, end string }

// arguments fills in the arguments that are left once flags are taken out. dash is how many of them stood before --, or -1.
func (r *watchRequest) arguments(args []string, dash int, env watchKeys) error {
	r.where = args
	if dash >= 0 {
		r.where, r.command = args[:dash], args[dash:]
		if len(r.command) == 0 {
			return errNoCommand
		}
	}
	if env.key == "" {
		if len(r.where) == 0 {
			return errArgs
		}
		return nil
	}
	if len(r.where) > 0 {
		return errArgsConflict
	}
	r.where = []string{env.key}
	if env.end != "" {
		r.where = append(r.where, env.end)
	}
	return nil
}

// parseWatch reads the arguments of a line of the interactive mode, those after the word watch.
func parseWatch(args []string, env watchKeys) (*watchRequest, error) {
	r := &watchRequest{}
	fs := pflag.NewFlagSet("watch", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	r.flags.register(fs)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	return r, r.arguments(fs.Args(), fs.ArgsLenAtDash(), env)
}

// options says which range is watched, and how.
func (r *watchRequest) options() ([]clientv3.OpOption, error) {
	options := []clientv3.OpOption{clientv3.WithRev(r.flags.rev)}
	if len(r.where) == 2 {
		if r.flags.prefix {
			return nil, errors.New("`range_end` and `--prefix` are mutually exclusive")
		}
		options = append(options, clientv3.WithRange(r.where[1]))
	}
	if r.flags.prefix {
		options = append(options, clientv3.WithPrefix())
	}
	if r.flags.prevKV {
		options = append(options, clientv3.WithPrevKV())
	}
	if r.flags.progressNotify {
		options = append(options, clientv3.WithProgressNotify())
	}
	return options, nil
}
