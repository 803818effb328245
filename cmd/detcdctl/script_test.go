package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// step is one command of testdata/script.txt:
//
//	$ put foo bar                     the arguments; words as in a shell, without variables and globs, but $LEASE1, $MEMBER and $EP are filled in
//	< a line of standard input
//	$ ETCDCTL_WRITE_OUT=json get foo  variables before the arguments
//	$ interrupt 2 watch foo           SIGTERM after two lines; standard input stays open until then
//	$ live snapshot save $TMP/db      not on the tape, because the server's answer is too long for it
type step struct {
	Args      []string
	Env       []string `json:",omitempty"`
	Stdin     string   `json:",omitempty"`
	Interrupt int      `json:",omitempty"` // after so many lines of output
	live      bool
	line      int
}

// outcome is what a caller sees of a command.
type outcome struct {
	Stdout string
	Stderr string // its lastWord
	Exit   int    // -2: ended by SIGTERM
}

const killed = -2

func readScript(t *testing.T) (steps []step) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "script.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(text), "\n") {
		command, isCommand := strings.CutPrefix(line, "$ ")
		input, isInput := strings.CutPrefix(line, "<")
		switch {
		case isCommand:
			steps = append(steps, newStep(t, command, i+1))
		case isInput:
			steps[len(steps)-1].Stdin += strings.TrimPrefix(input, " ") + "\n"
		case line != "" && !strings.HasPrefix(line, "#"):
			t.Fatalf("script.txt:%d: neither a remark nor a command: %q", i+1, line)
		}
	}
	return steps
}

func newStep(t *testing.T, command string, line int) step {
	t.Helper()
	s := step{line: line}
	args := shellWords(command)
	for len(args) > 0 && strings.HasPrefix(args[0], "ETCDCTL_") {
		s.Env = append(s.Env, args[0])
		args = args[1:]
	}
	if args[0] == "live" {
		s.live, args = true, args[1:]
	}
	if args[0] == "interrupt" {
		n, err := strconv.Atoi(args[1])
		if err != nil {
			t.Fatalf("script.txt:%d: %v", line, err)
		}
		s.Interrupt, args = n, args[2:]
	}
	s.Args = args
	return s
}

var shellWord = regexp.MustCompile(`'[^']*'|\S+`)

func shellWords(line string) []string {
	found := shellWord.FindAllString(line, -1)
	for i, w := range found {
		if w[0] == '\'' {
			found[i] = w[1 : len(w)-1]
		}
	}
	return found
}

// tool is a command line under test: a binary, or this test's own.
type tool struct {
	path string
	env  []string
	name string // that it is started by
}

func ourTool(t *testing.T) tool {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return tool{path, []string{asCommand + "=1", "GORACE=atexit_sleep_ms=0"}, "etcdctl"} // a process built with -race rests for a second otherwise
}

func stockTool(t *testing.T) tool {
	t.Helper()
	path := filepath.Join(t.TempDir(), "etcdctl")
	if text, err := exec.Command("go", "build", "-o", path, "go.etcd.io/etcd/etcdctl/v3").CombinedOutput(); err != nil {
		t.Skipf("no stock etcdctl to compare with (the tape still is): %v\n%s", err, text)
	}
	return tool{path: path, name: "etcdctl"}
}

// commandLimit is when a command counts as hung.
const commandLimit = 20 * time.Second

// run runs one step against an endpoint.
func (tl tool) run(t *testing.T, s step, endpoint string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	c := exec.CommandContext(ctx, tl.path)
	c.Args = append([]string{tl.name}, s.Args...)
	c.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, envPrefix) }), tl.env...)
	c.Env = append(c.Env, s.Env...)
	if !slices.ContainsFunc(append(slices.Clone(s.Args), s.Env...), func(w string) bool {
		return strings.HasPrefix(w, "--endpoints") || strings.HasPrefix(w, "ETCDCTL_ENDPOINTS")
	}) {
		c.Env = append(c.Env, "ETCDCTL_ENDPOINTS="+endpoint)
	}
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	stdout := &countedLines{enough: make(chan struct{}), want: s.Interrupt}
	c.Stdout, c.Stderr = stdout, &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(in, s.Stdin) // a command need not read it
	if s.Interrupt == 0 {
		in.Close()
	} else {
		gone := make(chan struct{})
		defer close(gone)
		go func() {
			select {
			case <-stdout.enough:
				_ = c.Process.Signal(syscall.SIGTERM)
			case <-gone:
			}
		}()
	}
	err = c.Wait()
	in.Close()
	if ctx.Err() != nil {
		t.Errorf("script.txt:%d: etcdctl %q: still not done after %v\n%s%s", s.line, s.Args, commandLimit, stdout.got.String(), stderr.String())
	}
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		t.Fatal(err)
	}
	code := c.ProcessState.ExitCode()
	if status, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		code = killed
	}
	return outcome{stdout.got.String(), lastWord(stderr.String()), code}
}

// countedLines closes enough when it has got so many lines.
type countedLines struct {
	got    bytes.Buffer
	want   int
	enough chan struct{}
	told   bool
}

func (w *countedLines) Write(p []byte) (int, error) {
	n, err := w.got.Write(p)
	if !w.told && w.want > 0 && bytes.Count(w.got.Bytes(), []byte("\n")) >= w.want {
		w.told = true
		close(w.enough)
	}
	return n, err
}

// lastWord is the line of standard error that scripts look at: the last that begins with Error:, or the last apart from log lines.
func lastWord(stderr string) (last string) {
	for line := range strings.Lines(stderr) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "Error:") {
			last = line
		}
		if line != "" && !strings.HasPrefix(line, `{"level":`) && !strings.HasPrefix(last, "Error:") {
			last = line
		}
	}
	return last
}

// names are ids that a run has come across; later steps use them as $NAME.
type names map[string]string

var (
	grantedLease = regexp.MustCompile(`^lease ([0-9a-f]{16}) granted with TTL`)
	listedMember = regexp.MustCompile(`^([0-9a-f]+), started, `)
	addedMember  = regexp.MustCompile(`^Member +([0-9a-f]+) added`)
)

// learn takes ids from the first line that a command printed.
func (n names) learn(stdout string) {
	if m := grantedLease.FindStringSubmatch(stdout); m != nil {
		n["LEASE"+strconv.Itoa(n.count("LEASE")+1)] = m[1]
	}
	if m := listedMember.FindStringSubmatch(stdout); m != nil {
		n["MEMBER"] = m[1]
	}
	if m := addedMember.FindStringSubmatch(stdout); m != nil {
		n["ADDED"] = m[1]
	}
}

func (n names) count(prefix string) (count int) {
	for name := range n {
		if strings.HasPrefix(name, prefix) {
			count++
		}
	}
	return count
}

// fill puts ids in the place of their names.
func (n names) fill(s step) step {
	s.Args, s.Env = slices.Clone(s.Args), slices.Clone(s.Env)
	for name, id := range n {
		for _, words := range [][]string{s.Args, s.Env} {
			for i := range words {
				words[i] = strings.ReplaceAll(words[i], "$"+name, id)
			}
		}
		s.Stdin = strings.ReplaceAll(s.Stdin, "$"+name, id)
	}
	return s
}

// skipWithoutSignals skips a test that interrupts commands where there are no signals.
func skipWithoutSignals(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("interrupts commands by signals")
	}
}
