package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/detcd/detcd/cmd/detcdctl/show"
)

// getFlags are the flags of get, on the command line and in a transaction.
type getFlags struct {
	consistency, order, sortBy                       string
	limit, rev                                       int64
	prefix, fromKey, keysOnly, countOnly, valueOnly  bool
	stream                                           bool
	minCreateRev, maxCreateRev, minModRev, maxModRev int64
}

func (f *getFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.consistency, "consistency", "l", "l: linearizable; s: serializable, from what the asked server has")
	fs.StringVar(&f.order, "order", "", "order of the results: ASCEND or DESCEND")
	fs.StringVar(&f.sortBy, "sort-by", "", "what to sort by: KEY, VERSION, CREATE, MODIFY or VALUE")
	fs.Int64Var(&f.limit, "limit", 0, "how many results at most (0: all)")
	fs.Int64Var(&f.rev, "rev", 0, "the `revision` to read (0: the newest)")
	fs.BoolVar(&f.prefix, "prefix", false, "all keys that begin with the given one")
	fs.BoolVar(&f.fromKey, "from-key", false, "all keys from the given one on, in byte order")
	fs.BoolVar(&f.keysOnly, "keys-only", false, "keys without their values")
	fs.BoolVar(&f.countOnly, "count-only", false, "only how many keys there are (with -w fields)")
	fs.BoolVar(&f.valueOnly, "print-value-only", false, "values without their keys (with -w simple)")
	fs.BoolVar(&f.stream, "stream", false, "read by a stream of parts, for ranges that are too large for one answer")
	fs.Int64Var(&f.minCreateRev, "min-create-rev", 0, "leave out keys created before this `revision`")
	fs.Int64Var(&f.maxCreateRev, "max-create-rev", 0, "leave out keys created after this `revision`")
	fs.Int64Var(&f.minModRev, "min-mod-rev", 0, "leave out keys last changed before this `revision`")
	fs.Int64Var(&f.maxModRev, "max-mod-rev", 0, "leave out keys last changed after this `revision`")
}

var (
	sortOrders = map[string]clientv3.SortOrder{"": clientv3.SortNone, "ASCEND": clientv3.SortAscend, "DESCEND": clientv3.SortDescend}
	sortKeys   = map[string]clientv3.SortTarget{
		"": clientv3.SortByKey, "KEY": clientv3.SortByKey, "VERSION": clientv3.SortByVersion, "CREATE": clientv3.SortByCreateRevision,
		"MODIFY": clientv3.SortByModRevision, "VALUE": clientv3.SortByValue,
	}
)

// request says which range is asked for.
func (f *getFlags) request(args []string) (key string, options []clientv3.OpOption, err error) {
	if len(args) == 0 {
		return "", nil, badArgs("get command needs one argument as key and an optional argument as range_end")
	}
	if err := exclusive(f.prefix, "prefix", f.fromKey, "from-key"); err != nil {
		return "", nil, err
	}
	if err := exclusive(f.keysOnly, "keys-only", f.countOnly, "count-only"); err != nil {
		return "", nil, err
	}
	serializable, err := isSerializable(f.consistency)
	if err != nil {
		return "", nil, err
	}
	if serializable {
		options = append(options, clientv3.WithSerializable())
	}
	key, options, err = keyRange(args, f.prefix, f.fromKey, options)
	if err != nil {
		return "", nil, err
	}
	options = append(options, clientv3.WithLimit(f.limit))
	if f.rev > 0 {
		options = append(options, clientv3.WithRev(f.rev))
	}
	sorting, err := f.sorting()
	if err != nil {
		return "", nil, err
	}
	options = append(options, sorting)
	if f.keysOnly {
		options = append(options, clientv3.WithKeysOnly())
	}
	if f.countOnly {
		options = append(options, clientv3.WithCountOnly())
	}
	bounds, err := f.revisionBounds()
	return key, append(options, bounds...), err
}

func (f *getFlags) sorting() (clientv3.OpOption, error) {
	order, ok := sortOrders[strings.ToUpper(f.order)]
	if !ok {
		return nil, fail(exitBadFeature, "bad sort order %v", f.order)
	}
	by, ok := sortKeys[strings.ToUpper(f.sortBy)]
	if !ok {
		return nil, fail(exitBadFeature, "bad sort target %v", f.sortBy)
	}
	return clientv3.WithSort(by, order), nil
}

func (f *getFlags) revisionBounds() (options []clientv3.OpOption, err error) {
	for _, b := range []struct {
		name                string
		least, most         int64
		withLeast, withMost func(int64) clientv3.OpOption
	}{
		{"Create", f.minCreateRev, f.maxCreateRev, clientv3.WithMinCreateRev, clientv3.WithMaxCreateRev},
		{"Mod", f.minModRev, f.maxModRev, clientv3.WithMinModRev, clientv3.WithMaxModRev},
	} {
		if b.least > 0 {
			options = append(options, b.withLeast(b.least))
		}
		if b.most <= 0 {
			continue
		}
		if b.least > b.most {
			return nil, fail(exitBadFeature, "getMin%sRev(=%v) > getMax%sRev(=%v)", b.name, b.least, b.name, b.most)
		}
		options = append(options, b.withMost(b.most))
	}
	return options, nil
}

// keyRange turns the arguments of get and del into a key and the options that make it a range. The empty key stands for the first one.
func keyRange(args []string, prefix, fromKey bool, options []clientv3.OpOption) (string, []clientv3.OpOption, error) {
	key := args[0]
	switch {
	case len(args) > 1 && (prefix || fromKey):
		return "", nil, badArgs("too many arguments, only accept one argument when `--prefix` or `--from-key` is set")
	case len(args) > 1:
		options = append(options, clientv3.WithRange(args[1]))
	case fromKey, prefix && key == "":
		if key == "" {
			key = "\x00"
		}
		options = append(options, clientv3.WithFromKey())
	case prefix:
		options = append(options, clientv3.WithPrefix())
	}
	return key, options, nil
}

func exclusive(a bool, nameA string, b bool, nameB string) error {
	if a && b {
		return badArgs("`--%s` and `--%s` cannot be set at the same time, choose one", nameA, nameB)
	}
	return nil
}

func isSerializable(consistency string) (bool, error) {
	switch consistency {
	case "s":
		return true, nil
	case "l":
		return false, nil
	}
	return false, fail(exitBadFeature, "unknown consistency flag %q", consistency)
}

func (a *app) getCommand() *cobra.Command {
	var f getFlags
	c := &cobra.Command{
		Use:   "get [options] <key> [range_end]",
		Short: "Show the value of a key, or the keys of a range and their values",
		RunE:  func(cmd *cobra.Command, args []string) error { return a.get(cmd, &f, args) },
	}
	f.register(c.Flags())
	return c
}

func (a *app) get(cmd *cobra.Command, f *getFlags, args []string) error {
	key, options, err := f.request(args)
	if err != nil {
		return err
	}
	if err := a.begin(cmd, f.valueOnly); err != nil {
		return err
	}
	return a.callNow(func(ctx context.Context, c *clientv3.Client) (show.Answer, error) {
		response, err := read(ctx, c, f.stream, key, options)
		if err != nil {
			return show.Answer{}, err
		}
		if f.countOnly && a.printer.Format() != "fields" {
			return show.Answer{}, badArgs("--count-only is only for `--write-out=fields`")
		}
		if f.valueOnly && !a.printer.Simple() {
			return show.Answer{}, badArgs("print-value-only is only for `--write-out=simple`")
		}
		return show.Get(response), nil
	})
}

func read(ctx context.Context, c *clientv3.Client, stream bool, key string, options []clientv3.OpOption) (*clientv3.GetResponse, error) {
	if !stream {
		return c.Get(ctx, key, options...)
	}
	parts, err := c.GetStream(ctx, key, options...)
	if err != nil {
		return nil, err
	}
	return clientv3.GetStreamToGetResponse(parts)
}
