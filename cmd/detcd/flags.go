package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// fate says what becomes of a flag that a user gives.
type fate uint8

const (
	// effective flags do what they say.
	effective fate = iota
	// moot flags steer something that detcd does not have: they are accepted, with one warning that says why.
	moot
	// missing flags ask for behaviour that a user would rely on and that is not there: any value but the default is an
	// error at start, never silently ignored.
	missing
)

// kind is the form of a flag's value.
type kind uint8

const (
	kindString   kind = iota
	kindBool          // also as a bare word
	kindUint          // up to 64 bits
	kindUint32        //
	kindInt           //
	kindDuration      // Go's notation; in a file also nanoseconds
	kindURLs          // comma-separated, each once
	kindList          // comma-separated words
	kindState         // new or existing
	kindFallback      // exit or proxy
	kindV2            // phases of the v2 store's removal
	kindGates         // feature gates: Name=true|false,...
	kindAnything      // flags of the etcd of ten years ago, accepted whatever they say
)

// spec is one row of the table of flags (table.go).
type spec struct {
	group string
	name  string
	kind  kind
	def   string
	fate  fate
	// help describes an effective flag; for the others it is the reason that the warning or the error gives.
	help string
	// alias names the flag that this one is an older spelling of.
	alias string
}

// origin says where a flag's value comes from; later ones win.
type origin uint8

const (
	fromDefault origin = iota
	fromEnvironment
	fromCommandLine
	fromFile
)

// option is a flag with its value.
type option struct {
	*spec
	value string
	from  origin
	words []string // of a list in a file; nil: value holds them, with commas between
}

// String and Set make an option a flag.Value.
func (o *option) String() string {
	if o == nil || o.spec == nil {
		return ""
	}
	return o.value
}

// Set takes a value from the command line.
func (o *option) Set(v string) error { return o.assign(v, fromCommandLine) }

// IsBoolFlag lets a boolean stand as a bare word.
func (o *option) IsBoolFlag() bool {
	return o.spec != nil && (o.kind == kindBool || o.kind == kindAnything)
}

func (o *option) assign(v string, from origin) error {
	if err := o.kind.check(v); err != nil {
		return err
	}
	o.value, o.from, o.words = v, from, nil
	return nil
}

// check tells whether v has the form of kind k.
func (k kind) check(v string) error {
	var err error
	switch k {
	case kindBool:
		_, err = strconv.ParseBool(v)
	case kindUint:
		_, err = strconv.ParseUint(v, 0, 64)
	case kindUint32:
		_, err = strconv.ParseUint(v, 0, 32)
	case kindInt:
		_, err = strconv.ParseInt(v, 0, 64)
	case kindDuration:
		_, err = time.ParseDuration(v)
	case kindURLs:
		if v == "" {
			return nil
		}
		_, err = parseURLs(v)
		return err
	case kindState:
		return oneOf(v, "new", "existing")
	case kindFallback:
		return oneOf(v, "exit", "proxy")
	case kindV2:
		if oneOf(v, "write-only", "write-only-skip-check", "write-only-drop-data", "gone") != nil {
			return fmt.Errorf("invalid value %q", v) // in etcd's words, which tests of installers wait for
		}
		return nil
	case kindGates:
		_, err := parseGates(v)
		return err
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, strconv.ErrRange):
		return errors.New("value out of range")
	}
	return errors.New("parse error")
}

func oneOf(v string, valid ...string) error {
	for _, w := range valid {
		if v == w {
			return nil
		}
	}
	return fmt.Errorf("invalid value %q, valid ones are %s", v, strings.Join(valid, ", "))
}

// parseURLs reads a comma-separated list of URLs to listen on or to be reached at: schemes http and https with host and
// port and no path, unix and unixs with a path. The result is sorted and holds each URL once.
func parseURLs(list string) ([]url.URL, error) {
	seen := map[string]bool{}
	var urls []url.URL
	for _, text := range strings.Split(list, ",") {
		text = strings.TrimSpace(text)
		u, err := url.Parse(text)
		if err != nil {
			return nil, err
		}
		switch u.Scheme {
		case "http", "https":
			if _, _, err := net.SplitHostPort(u.Host); err != nil {
				return nil, fmt.Errorf(`URL address does not have the form "host:port": %s`, text)
			}
			if u.Path != "" {
				return nil, fmt.Errorf("URL must not contain a path: %s", text)
			}
		case "unix", "unixs":
		default:
			return nil, fmt.Errorf("URL scheme must be http, https, unix, or unixs: %s", text)
		}
		if !seen[u.String()] {
			seen[u.String()] = true
			urls = append(urls, *u)
		}
	}
	sort.Slice(urls, func(i, j int) bool { return urls[i].String() < urls[j].String() })
	return urls, nil
}

// options is the value of every flag.
type options map[string]*option

func newOptions() options {
	o := make(options, len(table))
	for i := range table {
		s := &table[i]
		o[s.name] = &option{spec: s, value: s.def}
	}
	return o
}

// parseCommandLine reads args, as etcd does: one or two dashes, values after "=" or as the next word, the last of
// two wins. It writes what is wrong, and a hint of the usage, to stderr.
func (o options) parseCommandLine(args []string, stderr io.Writer) error {
	fs := flag.NewFlagSet("detcd", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() { fmt.Fprint(stderr, usage) }
	for i := range table {
		fs.Var(o[table[i].name], table[i].name, table[i].help)
	}
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return &argumentError{fs.Arg(0)}
	}
	return nil
}

// argumentError is a word on the command line that is no flag.
type argumentError struct{ word string }

func (e *argumentError) Error() string { return fmt.Sprintf("%q is not a valid flag", e.word) }

// environmentName is the variable that can stand for a flag.
func environmentName(flag string) string {
	return "ETCD_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// parseEnvironment reads ETCD_ variables for all flags that the command line leaves open. It returns what to warn of:
// variables that no flag knows, and those that a flag overrides.
func (o options) parseEnvironment(environ []string) (warnings []string, err error) {
	byVariable := make(map[string]*option, len(o))
	for name, opt := range o {
		byVariable[environmentName(name)] = opt
	}
	sorted := append([]string(nil), environ...)
	sort.Strings(sorted)
	for _, entry := range sorted {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "ETCD_") {
			continue
		}
		opt := byVariable[name]
		switch {
		case opt == nil || opt.name == "version":
			warnings = append(warnings, "unrecognized environment variable "+name)
		case value == "":
		case opt.from == fromCommandLine:
			warnings = append(warnings, fmt.Sprintf("environment variable %s is shadowed by the flag --%s", name, opt.name))
		default:
			if err := opt.assign(value, fromEnvironment); err != nil {
				return warnings, fmt.Errorf("invalid value %q for %s: %w", value, name, err)
			}
		}
	}
	return warnings, nil
}

// resolveAliases hands values given under older spellings on to today's flags, unless those are given themselves.
func (o options) resolveAliases() error {
	for i := range table {
		old := o[table[i].name]
		if old.alias == "" || old.from == fromDefault {
			continue
		}
		if now := o[old.alias]; now.from == fromDefault {
			if err := now.assign(old.value, old.from); err != nil {
				return fmt.Errorf("invalid value %q for flag -%s: %w", old.value, old.name, err)
			}
		}
	}
	return nil
}

// judge goes through the flags that were given: it returns a warning for each that has no meaning here, and an error for
// one that asks for what is not there.
func (o options) judge() (warnings []string, err error) {
	for i := range table {
		opt := o[table[i].name]
		if opt.from == fromDefault || opt.alias != "" {
			continue
		}
		switch opt.fate {
		case effective:
		case moot:
			if line, ok := deprecations[opt.name]; ok {
				warnings = append(warnings, line)
				continue
			}
			if !opt.atDefault() {
				warnings = append(warnings, fmt.Sprintf("--%s has no effect: %s", opt.name, opt.help))
			}
		case missing:
			if !opt.atDefault() {
				return warnings, fmt.Errorf("--%s=%s is not supported: %s", opt.name, opt.value, opt.help)
			}
		}
	}
	gates, err := o.judgeGates()
	return append(warnings, gates...), err
}

// atDefault tells whether the value means what the default means, however it is written.
func (o *option) atDefault() bool {
	switch o.kind {
	case kindBool:
		a, _ := strconv.ParseBool(o.value)
		b, _ := strconv.ParseBool(o.def)
		return a == b
	case kindDuration:
		a, _ := time.ParseDuration(o.value)
		b, _ := time.ParseDuration(o.def)
		return a == b
	}
	return o.value == o.def || o.value == "" // as good as not given
}

// The getters take values that check has let pass, so nothing is left to go wrong.

func (o options) text(name string) string { return o[name].value }

func (o options) is(name string) bool {
	b, _ := strconv.ParseBool(o[name].value)
	return b
}

func (o options) number(name string) uint64 {
	n, _ := strconv.ParseUint(o[name].value, 0, 64)
	return n
}

func (o options) integer(name string) int64 {
	n, _ := strconv.ParseInt(o[name].value, 0, 64)
	return n
}

func (o options) duration(name string) time.Duration {
	d, _ := time.ParseDuration(o[name].value)
	return d
}

func (o options) urls(name string) []url.URL {
	if o[name].value == "" {
		return nil
	}
	urls, _ := parseURLs(o[name].value)
	return urls
}

func (o options) list(name string) []string {
	words := slices.Clone(o[name].words)
	if words != nil {
		return words
	}
	for _, w := range strings.Split(o[name].value, ",") {
		if w = strings.TrimSpace(w); w != "" {
			words = append(words, w)
		}
	}
	return words
}
