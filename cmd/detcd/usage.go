package main

import (
	"fmt"
	"io"
)

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
