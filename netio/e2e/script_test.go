package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A script is a text file that reads as a story: commands, and below each what it answered.
//
//	# a remark
//	$ etcdctl put foo bar
//	OK
//	$ etcdctl txn
//	< value("foo") = "bar"          (standard input, a line each)
//	SUCCESS
//	$ POST /v3/kv/range {"key":"Zm9v"}
//	200 application/json
//	{"header":{...}}
//
// Commands: etcdctl with its arguments ('single' and "double" quotes as in a shell), GET, HEAD, POST and OPTIONS with a path and a body.
// Before a command, "sorted" says that its lines come in any order, and "first N" that it is cut off after N lines: it goes on for ever. $ALL stands for the client URLs of all members; $0, $1... for one.
// Lines on standard error begin with "! ", an exit code other than 0 is the last line, [exit N].
type script struct {
	t       *testing.T
	cluster *cluster
	prefix  string // what stands for /v3/ in paths
	// variable is what differs from run to run, and what is written in its place.
	variable *strings.Replacer
	patterns []pattern
}

// runScript runs testdata/name and compares the answers, or writes them anew.
func runScript(t *testing.T, c *cluster, name string) {
	t.Helper()
	runScriptAt(t, c, name, "/v3/")
}

// runScriptAt sends requests for paths under /v3/ to paths under prefix.
func runScriptAt(t *testing.T, c *cluster, name, prefix string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, cluster: c, prefix: prefix, patterns: always}
	if len(c.members) > 1 {
		s.patterns = severalMembers
	}
	s.learnVariables()
	var got strings.Builder
	lines := strings.Split(strings.TrimSuffix(string(want), "\n"), "\n")
	type difference struct{ command, got, want string }
	var differences []difference
	for i := 0; i < len(lines); {
		line := lines[i]
		i++
		if strings.HasPrefix(line, "#") && i > 1 && !strings.HasPrefix(lines[i-2], "#") {
			got.WriteString("\n")
		}
		got.WriteString(line + "\n")
		command, isCommand := strings.CutPrefix(line, "$ ")
		if !isCommand {
			if !strings.HasPrefix(line, "#") {
				t.Fatalf("%s:%d: neither a remark nor a command: %q", path, i, line)
			}
			continue
		}
		var stdin strings.Builder
		for i < len(lines) && strings.HasPrefix(lines[i], "<") {
			got.WriteString(lines[i] + "\n")
			stdin.WriteString(strings.TrimPrefix(strings.TrimPrefix(lines[i], "<"), " ") + "\n")
			i++
		}
		first := i
		for i < len(lines) && !strings.HasPrefix(lines[i], "$ ") && !strings.HasPrefix(lines[i], "#") {
			i++
		}
		last := i
		if last > first && last < len(lines) && strings.HasPrefix(lines[last], "#") {
			last-- // the empty line before a remark belongs to it
		}
		wantAnswer := ""
		if last > first {
			wantAnswer = strings.Join(lines[first:last], "\n") + "\n"
		}
		answer := s.run(command, stdin.String())
		got.WriteString(answer)
		if answer != wantAnswer {
			differences = append(differences, difference{line, answer, wantAnswer})
		}
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, d := range differences {
		t.Errorf("%s: %s\ngot:\n%swant (etcd's):\n%s", name, d.command, d.got, d.want)
	}
}

// learnVariables asks the members for their ids.
func (s *script) learnVariables() {
	var pairs []string
	for i, m := range s.cluster.members {
		var status *clientv3.StatusResponse
		// The cluster's version is agreed on after the start, and etcd's storage version follows it.
		eventually(s.t, m.name+" knows all versions", func() (err error) {
			if status, err = m.status(); err != nil {
				return err
			}
			if version := s.http("GET", "/version", "", 0); !strings.Contains(version, `"etcdcluster":"3.7.0"`) || status.StorageVersion != "3.7.0" {
				err = fmt.Errorf("storage version %q, %s", status.StorageVersion, version)
			}
			return err
		})
		pairs = append(pairs, fmt.Sprintf("%x", status.Header.MemberId), fmt.Sprintf("MEMBER%d", i))
		pairs = append(pairs, fmt.Sprint(status.Header.MemberId), fmt.Sprintf("MEMBER%d", i))
		pairs = append(pairs, m.client, fmt.Sprintf("CLIENT%d", i), m.peer, fmt.Sprintf("PEER%d", i))
		if i == 0 {
			pairs = append(pairs, fmt.Sprintf("%x", status.Header.ClusterId), "CLUSTER", fmt.Sprint(status.Header.ClusterId), "CLUSTER")
		}
	}
	s.variable = strings.NewReplacer(pairs...)
}

func (s *script) run(command, stdin string) string {
	s.t.Helper()
	command, isSorted := strings.CutPrefix(command, "sorted ")
	for i, m := range s.cluster.members {
		command = strings.ReplaceAll(command, fmt.Sprintf("$%d", i), m.client)
	}
	command = strings.ReplaceAll(command, "$ALL", strings.Join(endpoints(s.cluster.members), ","))
	verb, rest, _ := strings.Cut(command, " ")
	lines := 0 // all
	if verb == "first" {
		if _, err := fmt.Sscan(rest, &lines); err != nil {
			s.t.Fatalf("%q: %v", command, err)
		}
		_, rest, _ = strings.Cut(rest, " ")
		verb, rest, _ = strings.Cut(rest, " ")
	}
	var answer string
	switch verb {
	case "etcdctl":
		answer = s.etcdctl(rest, stdin, lines)
	case "GET", "HEAD", "POST", "OPTIONS":
		path, body, _ := strings.Cut(rest, " ")
		if under, ok := strings.CutPrefix(path, "/v3/"); ok {
			path = s.prefix + under
		}
		answer = s.http(verb, path, body, lines)
	default:
		s.t.Fatalf("unknown command %q", command)
	}
	answer = s.normalise(answer)
	if isSorted {
		lines := strings.SplitAfter(answer, "\n")
		slices.Sort(lines)
		answer = strings.Join(lines, "")
	}
	return answer
}

// etcdctl runs a command to its end, or until it has written the first lines if lines is not 0.
func (s *script) etcdctl(arguments, stdin string, lines int) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), answerPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, etcdctlBinary, splitWords(s.t, arguments)...)
	cmd.Env = os.Environ()
	if !strings.Contains(arguments, "--endpoints") {
		cmd.Env = append(cmd.Env, "ETCDCTL_ENDPOINTS="+s.cluster.members[0].client)
	}
	cmd.Stdin = strings.NewReader(stdin)
	if lines > 0 {
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			s.t.Fatal(err)
		}
		answer := firstLines(out, lines)
		cancel()
		_ = cmd.Wait() // killed
		return answer
	}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	answer := endLine(out.String())
	for line := range strings.Lines(endLine(errOut.String())) {
		if strings.HasPrefix(line, `{"level":`) {
			continue // the client library's log
		}
		answer += "! " + line
	}
	if err != nil {
		answer += fmt.Sprintf("[exit %d]\n", cmd.ProcessState.ExitCode())
	}
	return answer
}

// firstLines reads n lines, or says that there are no more for now.
func firstLines(r io.Reader, n int) (text string) {
	lines := bufio.NewReader(r)
	for range n {
		line, err := lines.ReadString('\n')
		text += line
		if err != nil {
			return endLine(text) + "and then: " + err.Error() + "\n"
		}
	}
	return text
}

// http sends a request as curl does (its content type for -d included) to the first member.
func (s *script) http(method, path, body string, lines int) string {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.cluster.members[0].client+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	client := http.Client{Timeout: 20 * time.Second}
	answer, err := client.Do(request)
	if err != nil {
		return "no answer: " + err.Error() + "\n"
	}
	defer answer.Body.Close()
	head := strings.TrimSpace(fmt.Sprintf("%d %s", answer.StatusCode, answer.Header.Get("Content-Type"))) + "\n"
	if lines > 0 {
		for line := range strings.Lines(firstLines(answer.Body, lines)) {
			head += endLine(s.json(answer.StatusCode, []byte(line)))
		}
		return head
	}
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		return "half an answer: " + err.Error() + "\n"
	}
	return head + endLine(s.json(answer.StatusCode, data))
}

func TestEtcdctl_OneMember(t *testing.T) {
	t.Parallel()
	runScript(t, startCluster(t, 1), "etcdctl-one.txt")
}

func TestEtcdctl_ThreeMembers(t *testing.T) {
	t.Parallel()
	runScript(t, startCluster(t, 3), "etcdctl-three.txt")
}

func TestHTTP_JSON(t *testing.T) {
	t.Parallel()
	runScript(t, startCluster(t, 1), "http.txt")
}

func TestHTTP_WatchLeaseLockElection(t *testing.T) {
	t.Parallel()
	runScript(t, startCluster(t, 1), "http-more.txt")
	if stockEtcd {
		return // it has dropped one of the old paths
	}
	for _, prefix := range []string{"/v3beta/", "/v3alpha/"} {
		t.Run(prefix, func(t *testing.T) { runScriptAt(t, startCluster(t, 1), "http-more.txt", prefix) })
	}
}

func TestEtcdctl_WatchLeaseLock(t *testing.T) {
	t.Parallel()
	runScript(t, startCluster(t, 1), "etcdctl-more.txt")
}

func TestEtcdctl_HashKV(t *testing.T) {
	t.Parallel()
	runScript(t, startCluster(t, 1), "hashkv.txt")
}
