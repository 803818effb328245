package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// comparisons is the operators that there are.
var comparisons = []string{"=", "!=", "<", ">"}

// parseCompare reads a comparison: TARGET("KEY") OPERATOR "VALUE".
func parseCompare(line string) (clientv3.Cmp, error) {
	none := clientv3.Cmp{}
	target, rest, found := strings.Cut(line, "(")
	if !found {
		return none, fmt.Errorf("malformed comparison: %s", line)
	}
	var key, operator, value string
	n, err := fmt.Sscanf(rest, "%q) %s %q", &key, &operator, &value)
	switch {
	case n != 3:
		return none, fmt.Errorf("malformed comparison: %s; got %s(%q) %s %q", line, target, key, operator, value)
	case err != nil:
		return none, fmt.Errorf("malformed comparison: %s (%w)", line, err)
	case !slices.Contains(comparisons, operator):
		return none, fmt.Errorf("malformed comparison: %s (unknown operator %s)", line, operator)
	}
	number := func(base int, compared clientv3.Cmp) (clientv3.Cmp, error) {
		n, err := strconv.ParseInt(value, base, 64)
		if err != nil {
			return none, fmt.Errorf("invalid txn compare request: %s", line)
		}
		return clientv3.Compare(compared, operator, n), nil
	}
	switch target {
	case "val", "value":
		return clientv3.Compare(clientv3.Value(key), operator, value), nil
	case "ver", "version":
		return number(10, clientv3.Version(key))
	case "c", "create":
		return number(10, clientv3.CreateRevision(key))
	case "m", "mod":
		return number(10, clientv3.ModRevision(key))
	case "lease":
		return number(16, clientv3.LeaseValue(key))
	}
	return none, fmt.Errorf("malformed comparison: %s (unknown target %s)", line, target)
}

// parseRequest reads a request: get, put or del, which may be shortened, with flags and arguments as on the command line.
func parseRequest(line string) (clientv3.Op, error) {
	none := clientv3.Op{}
	args, err := words(line)
	if err != nil {
		return none, err
	}
	if len(args) < 2 {
		return none, fmt.Errorf("invalid txn compare request: %s", line)
	}
	is := func(name string) bool { return strings.HasPrefix(name, args[0]) && args[0] != "" }
	flags := pflag.NewFlagSet(args[0], pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	var build func([]string) (clientv3.Op, error)
	switch {
	case is("get"):
		build = getRequest(flags)
	case is("put"):
		build = putRequest(flags)
	case is("del"):
		build = delRequest(flags)
	default:
		return none, fmt.Errorf("invalid txn request: %s", line)
	}
	if err := flags.Parse(args[1:]); err != nil {
		return none, fmt.Errorf("invalid txn request: %s", line)
	}
	return build(flags.Args())
}

func getRequest(flags *pflag.FlagSet) func([]string) (clientv3.Op, error) {
	var f getFlags
	f.register(flags)
	return func(args []string) (clientv3.Op, error) {
		key, options, err := f.request(args)
		if err != nil {
			return clientv3.Op{}, err
		}
		return clientv3.OpGet(key, options...), nil
	}
}

// putRequest takes no value from standard input: that holds the transaction.
func putRequest(flags *pflag.FlagSet) func([]string) (clientv3.Op, error) {
	var f putFlags
	f.register(flags)
	return func(args []string) (clientv3.Op, error) {
		key, value, options, err := f.request(args, strings.NewReader(""))
		if err != nil {
			return clientv3.Op{}, err
		}
		return clientv3.OpPut(key, value, options...), nil
	}
}

func delRequest(flags *pflag.FlagSet) func([]string) (clientv3.Op, error) {
	var f delFlags
	f.register(flags)
	return func(args []string) (clientv3.Op, error) {
		key, options, err := f.request(args)
		if err != nil {
			return clientv3.Op{}, err
		}
		return clientv3.OpDelete(key, options...), nil
	}
}
