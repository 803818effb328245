// Command detcdctl is the command line of detcd: it says to a server what the arguments say, and prints what the server answers. Commands,
// flags, ETCDCTL_* variables, output formats, texts and exit codes are etcdctl's, so that a link named etcdctl serves scripts; its own name
// shows only in what scripts do not read. On a terminal, and only there, it adds hints to errors and shows that something takes long.
//
// It decides nothing about the meaning of a request; the stock Go client talks to the server and package show writes the answers. Each command
// is made by a function of its own and keeps no state beyond the process; watchers and sessions run in goroutines that end with the process.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/mattn/go-isatty"

	"github.com/detcd/detcd/cmd/detcdctl/show"
)

func main() {
	terminal := isatty.IsTerminal(os.Stdout.Fd()) && isatty.IsTerminal(os.Stderr.Fd())
	a := &app{
		name: strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe"), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		environ: os.Environ(), terminal: terminal, setGRPCLog: setGRPCLog,
	}
	os.Exit(a.run(os.Args[1:]))
}

// app is one run of the command.
type app struct {
	name           string // of the link or file that was started: etcdctl or detcdctl
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string                      // NAME=value
	terminal       bool                          // a person looks at stdout and stderr
	setGRPCLog     func(w io.Writer, debug bool) // nil: gRPC's log stays as it is

	global     globalFlags
	connecting connectErrors
	printer    *show.Printer // set when a command has read its flags and is about to connect
}

// run does what args say and returns the exit code.
func (a *app) run(args []string) int {
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	err := root.Execute()
	if err == nil {
		return exitSuccess
	}
	var f failure
	if !errors.As(err, &f) { // of the arguments: cobra has said so
		return exitError
	}
	if f.err != nil {
		fmt.Fprintln(a.stderr, "Error:", f.err)
		a.hint(f.err)
	}
	return f.code
}
