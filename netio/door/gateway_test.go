package door

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/detcd/detcd/netio/door/doortest"
)

const script = "testdata/gateway.txt"

// TestGateway_Script sends the requests of a script in order and compares the answers. A request is a line "METHOD PATH BODY", its answer
// a line "STATUS BODY". Ids and terms of headers are left out. A line "#! WHY" says that stock etcd answers the next request otherwise.
func TestGateway_Script(t *testing.T) {
	url := "http://" + opened(t, doortest.NewSingle(), nil)
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if line == "" || strings.HasPrefix(line, "#") || regexp.MustCompile(`^\d{3} `).MatchString(line) {
			if line == "" || line[0] == '#' {
				fmt.Fprintln(&out, line)
			}
			continue
		}
		got := ask(t, url, line)
		fmt.Fprintf(&out, "%s\n%s\n", line, got)
		if i+1 < len(lines) && !*rewrite && got != lines[i+1] {
			t.Errorf("line %d: %s\n got %s\nwant %s", i+1, line, got, lines[i+1])
		}
		if *reference != "" {
			if theirs := ask(t, "http://"+*reference, line); alike(t, theirs) != alike(t, got) && !(i > 0 && strings.HasPrefix(lines[i-1], "#! ")) {
				t.Errorf("line %d: %s\n  got %s\netcd: %s", i+1, line, got, theirs)
			}
		}
	}
	if *rewrite {
		if err := os.WriteFile(script, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

var identity = regexp.MustCompile(`"(cluster_id|member_id|raft_term)": ?"\d+",? ?`)

func ask(t *testing.T, url, line string) string {
	t.Helper()
	method, rest, _ := strings.Cut(line, " ")
	path, text, _ := strings.Cut(rest, " ")
	r, err := http.NewRequest(method, url+path, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	// What curl -d says of whatever it sends.
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	// The library puts a space of either kind into its messages, by a whim of each build.
	answer := strings.ReplaceAll(string(b), "\u00a0", " ")
	answer = regexp.MustCompile(`, ?}`).ReplaceAllString(identity.ReplaceAllString(answer, ""), "}")
	answer = regexp.MustCompile(`"proto: +`).ReplaceAllString(answer, `"proto: `)
	answer = regexp.MustCompile(`"TTL": ?"3599"`).ReplaceAllString(answer, `"TTL":"3600"`)
	return fmt.Sprintf("%d %s", resp.StatusCode, strings.ReplaceAll(strings.TrimSpace(answer), "\n", " "))
}

// alike is an answer without what is ours by intent: the spacing, and the fields of errors that only older gateways have.
func alike(t *testing.T, answer string) string {
	code, text, _ := strings.Cut(answer, " ")
	var v map[string]any
	if json.Unmarshal([]byte(text), &v) != nil {
		return answer
	}
	if _, isError := v["message"]; isError {
		delete(v, "error")
		delete(v, "grpc_code")
		delete(v, "details")
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return code + " " + string(b)
}
