package watch_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// line is one command.
type line struct {
	t    *testing.T
	name string
	args []datadriven.CmdArg
}

// watch is a request for a watch.
func (l line) watch() *pb.WatchCreateRequest {
	r := &pb.WatchCreateRequest{WatchId: l.number("id", 0), StartRevision: l.number("start", 0), PrevKv: l.has("prev-kv"),
		Fragment: l.has("fragment"), ProgressNotify: l.has("notify")}
	r.Key, r.RangeEnd = l.span(0)
	if l.has("no-put") {
		r.Filters = append(r.Filters, pb.WatchCreateRequest_NOPUT)
	}
	if l.has("no-delete") {
		r.Filters = append(r.Filters, pb.WatchCreateRequest_NODELETE)
	}
	return r
}

func (l line) fail(format string, args ...any) {
	l.t.Helper()
	l.t.Fatalf("%s: %s", l.name, fmt.Sprintf(format, args...))
}

func (l line) has(flag string) bool {
	return slices.ContainsFunc(l.args, func(a datadriven.CmdArg) bool { return a.Key == flag })
}

func (l line) number(key string, otherwise int64) int64 {
	for _, a := range l.args {
		if a.Key == key {
			a.Scan(l.t, 0, &otherwise)
		}
	}
	return otherwise
}

func (l line) word(i int) string {
	l.t.Helper()
	if i >= len(l.args) {
		l.fail("something is missing")
	}
	return unquote(l.args[i].Key)
}

func (l line) wordOr(i int, otherwise string) string {
	if i >= len(l.args) || len(l.args[i].Vals) > 0 {
		return otherwise
	}
	return unquote(l.args[i].Key)
}

// value reads a value: v*20 is twenty times v.
func value(word string) string {
	if what, times, is := strings.Cut(word, "*"); is {
		if n, err := strconv.Atoi(times); err == nil {
			return strings.Repeat(what, n)
		}
	}
	return word
}

func unquote(word string) string {
	if text, err := strconv.Unquote(word); err == nil {
		return text
	}
	return word
}

// count is the i-th argument as a number.
func (l line) count(i, otherwise int) int {
	if i >= len(l.args) {
		return otherwise
	}
	n, err := strconv.Atoi(l.args[i].Key)
	if err != nil {
		l.fail("%q is no number", l.args[i].Key)
	}
	return n
}

// span is the i-th argument as a range in the API's form.
func (l line) span(i int) (key, end []byte) {
	l.t.Helper()
	if i >= len(l.args) {
		l.fail("which range?")
	}
	word := l.args[i].Key
	if word == "all" {
		return nil, []byte{0}
	}
	from, to, is := strings.Cut(word, "..")
	switch {
	case !is:
		return []byte(unquote(word)), nil
	case to == "":
		return []byte(unquote(from)), []byte{0}
	}
	return []byte(unquote(from)), []byte(unquote(to))
}
