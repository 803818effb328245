package main

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestParseWatch_Arguments(t *testing.T) {
	for _, c := range []struct {
		line    string
		env     watchKeys
		where   string
		command string
		flags   watchFlags
		err     error
	}{
		{line: "foo", where: "foo"},
		{line: "foo bar", where: "foo bar"},
		{line: "foo --rev 3 bar --prev-kv", where: "foo bar", flags: watchFlags{rev: 3, prevKV: true}},
		{line: "--prefix foo --progress-notify", where: "foo", flags: watchFlags{prefix: true, progressNotify: true}},
		{line: "foo -- echo hi", where: "foo", command: "echo hi"},
		{line: "foo --rev=1 bar -- echo --rev=9 foo", where: "foo bar", command: "echo --rev=9 foo", flags: watchFlags{rev: 1}},
		{line: "echo -- echo", where: "echo", command: "echo"},
		{line: "foo -- sh -c x -- y", where: "foo", command: "sh -c x -- y"},
		{line: "", err: errArgs},
		{line: "--rev 1", err: errArgs, flags: watchFlags{rev: 1}},
		{line: "-- echo", err: errArgs},
		{line: "foo --", err: errNoCommand},
		{line: "", env: watchKeys{"k", ""}, where: "k"},
		{line: "--prefix", env: watchKeys{"k", ""}, where: "k", flags: watchFlags{prefix: true}},
		{line: "-- echo", env: watchKeys{"k", "l"}, where: "k l", command: "echo"},
		{line: "foo", env: watchKeys{"k", ""}, err: errArgsConflict},
		{line: "foo -- echo", env: watchKeys{"k", ""}, err: errArgsConflict},
		{line: "--", env: watchKeys{"k", ""}, err: errNoCommand},
	} {
		r, err := parseWatch(strings.Fields(c.line), c.env)
		if !errors.Is(err, c.err) {
			t.Errorf("watch %s: error %v, want %v", c.line, err, c.err)
		}
		if err != nil {
			continue
		}
		if where, command := strings.Join(r.where, " "), strings.Join(r.command, " "); where != c.where || command != c.command {
			t.Errorf("watch %s: watches %q and runs %q", c.line, where, command)
		}
		if !reflect.DeepEqual(r.flags, c.flags) {
			t.Errorf("watch %s: %+v", c.line, r.flags)
		}
	}
}

func TestParseWatch_ForgetsTheFlagsOfTheLineBefore(t *testing.T) {
	if _, err := parseWatch([]string{"a", "--prefix", "--rev=5"}, watchKeys{}); err != nil {
		t.Fatal(err)
	}
	r, err := parseWatch([]string{"a"}, watchKeys{})
	if err != nil || r.flags != (watchFlags{}) {
		t.Fatalf("%+v, %v", r.flags, err)
	}
}

func TestWatchOptions_RangeAndPrefixExclude(t *testing.T) {
	r, err := parseWatch([]string{"a", "b", "--prefix"}, watchKeys{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.options(); err == nil || err.Error() != "`range_end` and `--prefix` are mutually exclusive" {
		t.Fatal(err)
	}
}

func TestWords(t *testing.T) {
	for line, want := range map[string][]string{
		``:                    nil,
		`a`:                   {"a"},
		`  a   b `:            {"a", "b"},
		`"a b" 'c "d"' e`:     {"a b", `c "d"`, "e"},
		`"a\tb\x00" ''`:       {"a\tb\x00", ""},
		`--x="y z"`:           {`--x="y`, `z"`},
		`it's`:                {"it's"},
		"日本 \"\\u65e5\"":      {"日本", "日"},
		`put k "a \"quote\""`: {"put", "k", `a "quote"`},
	} {
		got, err := words(line)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, %v, want %q", line, got, err, want)
		}
	}
	if _, err := words(`"\q"`); err == nil {
		t.Error("an escape that does not exist is taken")
	}
}
