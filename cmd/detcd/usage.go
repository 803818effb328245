package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"go.etcd.io/etcd/api/v3/version"
)

// detcdVersion is detcd's own version; what clients see is the version of etcd whose API is matched.
const detcdVersion = "0.1.0"

const usage = `Usage:

  detcd [flags]
    Start a server.

  detcd --version
    Show the version.

  detcd -h | --help
    Show all flags.

  detcd --config-file FILE
    Read the configuration from a YAML file; other flags and the environment are then ignored.
    Durations in the file are integers of nanoseconds, or words such as "10m".

`

// printVersion starts with the line that scripts look for: the etcd version that the API matches.
func printVersion(w io.Writer) {
	fmt.Fprintf(w, "etcd Version: %s\n", version.Version)
	fmt.Fprintf(w, "Git SHA: %s\n", revision())
	fmt.Fprintf(w, "Go Version: %s\n", runtime.Version())
	fmt.Fprintf(w, "Go OS/Arch: %s/%s\n", runtime.GOOS, runtime.GOARCH)
	fmt.Fprintf(w, "detcd Version: %s\n", detcdVersion)
}

// revision is the commit this binary was built from, as far as the build knows it.
func revision() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 7 {
				return s.Value[:7]
			}
		}
	}
	return "unknown"
}

// printFlags lists the flags that take effect, then the others with the reason why they do not.
func printFlags(w io.Writer) {
	group := ""
	for i := range table {
		s := &table[i]
		if s.group != group {
			group = s.group
			fmt.Fprintf(w, "\n%s:\n", group)
		}
		fmt.Fprintf(w, "  --%s '%s'\n", s.name, s.def)
		switch {
		case s.alias != "":
			fmt.Fprintf(w, "    Older spelling of --%s.\n", s.alias)
		case s.fate == moot:
			fmt.Fprintf(w, "    Accepted without effect: %s.\n", s.help)
		case s.fate == missing:
			fmt.Fprintf(w, "    Only the default is accepted: %s.\n", s.help)
		default:
			fmt.Fprintf(w, "    %s\n", s.help)
		}
	}
}
