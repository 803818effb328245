package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/detcd/detcd/netio/server"
)

// The command lines in testdata/flags.txt were given to stock etcd 3.7.3, each with the answer it gave. To record anew:
//
//	DETCD_E2E_SERVER=/path/to/etcd go test ./cmd/detcd -run AsStock -rewrite
//
// testdata/differs.txt lists where detcd answers otherwise, and why.
var rewrite = flag.Bool("rewrite", false, "ask stock etcd (DETCD_E2E_SERVER) and write its answers to testdata")

// Answers to a command line. After exit 1 and exit 2 comes what was said.
const (
	starts = "starts"
	waits  = "waits"
	exits1 = "exit 1: "
	exits2 = "exit 2: "
)

// asked is one line of a recording: the arguments and the answer.
type asked struct{ args, answer string }

// readAnswers reads a file of lines "answer TAB arguments"; comments and empty lines come back with an empty answer.
func readAnswers(t *testing.T, path string) (all []asked) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\n")
		answer, args, ok := strings.Cut(line, "\t")
		if !ok || strings.HasPrefix(line, "#") {
			all = append(all, asked{args: line})
			continue
		}
		all = append(all, asked{strings.TrimLeft(args, "\t"), answer})
	}
	return all
}

func TestFlags_AsStock(t *testing.T) {
	const path = "testdata/flags.txt"
	recorded := readAnswers(t, path)
	if *rewrite {
		recordStock(t, path, recorded)
		recorded = readAnswers(t, path)
	}
	differs := map[string]string{}
	for _, d := range readAnswers(t, "testdata/differs.txt") {
		if d.answer != "" {
			differs[d.args] = d.answer
		}
	}
	for _, a := range recorded {
		if a.answer == "" {
			continue
		}
		want, listed := differs[a.args]
		if !listed {
			want = a.answer
		}
		delete(differs, a.args)
		got := ourAnswer(t, a.args, want)
		if alike(got) != alike(want) {
			t.Errorf("detcd %s\n\tanswers %s\n\twant    %s", a.args, got, want)
		}
		if listed && alike(want) == alike(a.answer) {
			t.Errorf("detcd %s: differs.txt lists it, but stock answers the same", a.args)
		}
	}
	for args := range differs {
		t.Errorf("differs.txt lists %q, which was not asked", args)
	}
}

// alike is what two answers must have in common: of exit code 2 the flag and value that are named, of exit code 1 nothing more. Words that
// tools rely on have tests of their own.
func alike(answer string) string {
	switch {
	case answer == waits: // for a quorum, or stock's log went to a file
		return starts
	case strings.HasPrefix(answer, exits1):
		return exits1
	}
	head, _, _ := strings.Cut(answer, ": invalid value")
	if i := strings.Index(answer, " for flag -"); i >= 0 {
		if j := strings.Index(answer[i:], ": "); j >= 0 {
			head = answer[:i+j]
		}
	}
	return head
}

// words splits a line into variables of the environment and arguments. Quotes hold a word with spaces together.
func words(line string) (environ, args []string) {
	var all []string
	for _, w := range regexp.MustCompile(`(?:[^\s"]|"[^"]*")+`).FindAllString(line, -1) {
		all = append(all, strings.ReplaceAll(w, `"`, ""))
	}
	for i, w := range all {
		if !strings.HasPrefix(w, "ETCD_") {
			return environ, all[i:]
		}
		environ = append(environ, w)
	}
	return environ, nil
}

// quiet keeps a server that is only asked whether it starts away from every port, and quick.
func quiet(dir string) []string {
	client, peer := "unix://"+filepath.Join(dir, "c.sock:0"), "unix://"+filepath.Join(dir, "p.sock:0")
	return []string{"--data-dir=" + filepath.Join(dir, "data"), "--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=default=" + peer}
}

// ourAnswer is what detcd says to a command line. A configuration that is accepted is not started, unless it should fail there.
func ourAnswer(t *testing.T, line, want string) string {
	t.Helper()
	t.Chdir(t.TempDir())
	environ, args := words(line)
	args = append(quiet("."), args...)
	o := newOptions()
	var stderr bytes.Buffer
	err := o.parseCommandLine(args, &stderr)
	var stray *argumentError
	if err != nil && !errors.As(err, &stray) {
		first, _, _ := strings.Cut(stderr.String(), "\n")
		return exits2 + first
	}
	cfg, logger, err := configure(o, err, args, environ, false)
	if err != nil {
		return exits1 + err.Error()
	}
	defer logger.Sync()
	if want != starts {
		s, err := server.Start(cfg)
		if err != nil {
			return exits1 + err.Error()
		}
		_ = s.Close(context.Background())
	}
	return starts
}

// recordStock asks stock etcd every line again.
func recordStock(t *testing.T, path string, lines []asked) {
	t.Helper()
	stock := os.Getenv("DETCD_E2E_SERVER")
	if stock == "" {
		t.Fatal("set DETCD_E2E_SERVER to stock etcd")
	}
	var wait sync.WaitGroup
	slots := make(chan struct{}, 6)
	for i := range lines {
		if lines[i].args == "" || strings.HasPrefix(lines[i].args, "#") {
			continue
		}
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			lines[i].answer = stockAnswer(stock, lines[i].args)
		})
	}
	wait.Wait()
	var out bytes.Buffer
	for _, l := range lines {
		if l.answer == "" {
			fmt.Fprintln(&out, l.args)
			continue
		}
		fmt.Fprintf(&out, "%s\t%s\n", l.answer, l.args)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// stockAnswer is what stock etcd says to a command line.
func stockAnswer(stock, line string) string {
	dir, err := os.MkdirTemp("/dev/shm", "flags-")
	if err != nil {
		return err.Error()
	}
	defer os.RemoveAll(dir)
	environ, args := words(line)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, stock, append(quiet("."), args...)...)
	c.Dir, c.Env = dir, append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, environ...)
	out := &untilReady{stop: cancel}
	c.Stdout, c.Stderr = out, out
	err = c.Run()
	var exit *exec.ExitError
	switch {
	case out.ready:
		return starts
	case ctx.Err() != nil:
		return waits
	case errors.As(err, &exit):
		return fmt.Sprintf("exit %d: %s", exit.ExitCode(), lastWords(out.text.String()))
	case err != nil:
		return err.Error()
	}
	return "exit 0"
}

// untilReady collects what a server says, and stops it when it serves.
type untilReady struct {
	text  bytes.Buffer
	ready bool
	stop  func()
}

func (u *untilReady) Write(p []byte) (int, error) {
	u.text.Write(p)
	if !u.ready && bytes.Contains(u.text.Bytes(), []byte("ready to serve client requests")) {
		u.ready = true
		u.stop()
	}
	return len(p), nil
}

// lastWords is why a server ended: the error of its last line that has one, else its first line that is no log line.
func lastWords(text string) (why string) {
	plain := ""
	for line := range strings.Lines(text) {
		var l struct{ Msg, Error string }
		if json.Unmarshal([]byte(line), &l) != nil {
			if plain == "" {
				plain = strings.TrimRight(line, "\n")
			}
			continue
		}
		if l.Error != "" {
			why = l.Error
		}
	}
	if why == "" {
		return plain
	}
	return why
}
