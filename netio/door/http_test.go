package door

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/detcd/detcd/netio/door/doortest"
)

// TestHTTP_AnswersAsEtcd asks for heads of answers: status and all headers but those that hold a time, a length or what belongs to the
// connection. With -reference, stock etcd (with --enable-pprof) must give the same.
func TestHTTP_AnswersAsEtcd(t *testing.T) {
	address := opened(t, doortest.NewSingle(), func(c *Config) { c.Profiles = true })
	const (
		cors     = "Access-Control-Allow-Headers: accept, content-type, authorization; Access-Control-Allow-Methods: POST, GET, OPTIONS, PUT, DELETE; Access-Control-Allow-Origin: *"
		json     = cors + "; Content-Type: application/json"
		rpc      = json + "; Grpc-Metadata-Content-Type: application/grpc"
		text     = cors + "; Content-Type: text/plain; charset=utf-8; X-Content-Type-Options: nosniff"
		only     = "; Allow: GET"
		guessed  = cors + "; Content-Type: text/plain; charset=utf-8"
		location = "; Location: /v3/"
	)
	for _, c := range []struct {
		request, body, header string
		want                  string
		// differs says why stock etcd answers otherwise.
		differs string
	}{
		{request: "POST /v3/kv/range", body: `{"key":"YQ"}`, want: "200 " + rpc},
		{request: "POST /v3/kv/range", body: `{"key":"YQ"}`, header: "Content-Type: application/x-www-form-urlencoded", want: "200 " + rpc},
		{request: "POST /v3/kv/range", body: `{"key":"YQ"}`, header: "Content-Type: application/json; charset=utf-8", want: "200 " + rpc},
		{request: "POST /v3/kv/range", body: `{"key":"YQ"}`, header: "Accept: text/html", want: "200 " + rpc},
		{request: "POST /v3/kv/range", body: `{"key":"YQ"}`, header: "Origin: http://x", want: "200 " + rpc},
		{request: "POST /v3/kv/range", body: `{"key":"YQ"}`, header: "TE: trailers", want: "200 " + rpc},
		{request: "POST /v3/kv/range", body: `{"key":"YQ"}`, header: "Authorization: nonsense", want: "200 " + rpc},
		{request: "POST /v3/kv/range", body: `{"key":"YQ"}`, header: "Grpc-Timeout: 10S", want: "200 " + rpc},
		{request: "POST /v3/kv/range", body: `{"key":"YQ"}`, header: "Grpc-Timeout: x", want: "400 " + json},
		{request: "POST /v3/kv/range", body: `{"key":"YQ"}`, header: "Grpc-Metadata-hasleader: true", want: "200 " + rpc},
		{request: "POST /v3/kv/range", want: "400 " + json},
		{request: "POST /v3/lease/keepalive", body: `{"ID":"1"}`, want: "200 " + rpc},
		{request: "POST /v3/lease/keepalive", want: "200 " + cors},
		{request: "GET /v3/kv/range", want: "501 " + json},
		{request: "HEAD /v3/kv/range", want: "501 " + json},
		{request: "DELETE /v3/kv/range", want: "501 " + json},
		{request: "POST /v3/nowhere", want: "404 " + json},
		{request: "POST /v3/kv/range/", want: "404 " + json},
		{request: "POST /v3/kv/range:x", want: "404 " + json},
		{request: "POST /v3/kv//range", want: "307 " + cors + "; Location: /v3/kv/range"},
		{request: "GET /v3", want: "307 " + cors + "; Content-Type: text/html; charset=utf-8" + location},
		{request: "GET /v3/", want: "404 " + json},
		{request: "POST /v3beta/kv/range", body: `{"key":"YQ"}`, want: "200 " + rpc},
		{request: "POST /v3alpha/kv/range", body: `{"key":"YQ"}`, want: "200 " + rpc, differs: "etcd has dropped this prefix, which old clients still use"},
		{request: "OPTIONS /v3/kv/range", want: "200 " + cors},
		{request: "OPTIONS /nowhere", want: "200 " + cors},
		{request: "GET /", want: "404 " + text},
		{request: "GET /nowhere", want: "404 " + text},
		{request: "GET /v2/keys", want: "404 " + text},
		{request: "GET /version", want: "200 " + json},
		{request: "GET /version/", want: "404 " + text},
		{request: "POST /version", want: "405 " + text + only},
		{request: "GET /health", want: "200 " + guessed},
		{request: "GET /health?serializable=true", want: "200 " + guessed},
		{request: "GET /health?exclude=NOSPACE&exclude=CORRUPT", want: "200 " + guessed},
		{request: "HEAD /health", want: "200 " + guessed, differs: "a probe may ask for the head alone"},
		{request: "POST /health", want: "405 " + text + only},
		{request: "PUT /health", want: "405 " + text + only},
		{request: "GET /livez", want: "200 " + text},
		{request: "GET /livez?verbose", want: "200 " + text},
		{request: "GET /livez?exclude=serializable_read", want: "200 " + text},
		{request: "GET /livez?exclude=nothing", want: "200 " + text},
		{request: "GET /livez/serializable_read", want: "200 " + text},
		{request: "GET /livez/linearizable_read", want: "404 " + text},
		{request: "POST /livez", want: "405 " + text + only},
		{request: "GET /readyz?verbose=true&exclude=data_corruption", want: "200 " + text},
		{request: "GET /readyz/data_corruption", want: "200 " + text},
		{request: "GET /readyz/linearizable_read", want: "200 " + text},
		{request: "GET /readyz/serializable_read", want: "200 " + text},
		{request: "GET /readyz/non_learner", want: "200 " + text},
		{request: "POST /readyz", want: "405 " + text + only},
		{request: "GET /metrics", want: "200 " + cors + "; Content-Type: text/plain; version=0.0.4; charset=utf-8; escaping=underscores"},
		{request: "GET /debug/vars", want: "200 " + cors + "; Content-Type: application/json; charset=utf-8"},
		{request: "POST /debug/vars", want: "405 " + text + only},
		{request: "GET /debug/pprof/", want: "200 " + cors + "; Content-Type: text/html; charset=utf-8; X-Content-Type-Options: nosniff"},
		{request: "GET /debug/pprof/goroutine?debug=1", want: "200 " + text},
		{request: "GET /debug/pprof/heap?debug=1", want: "200 " + text},
		{request: "GET /debug/pprof/nowhere", want: "404 " + text + "; X-Go-Pprof: 1"},
		{request: "GET /debug/pprof/cmdline", want: "200 " + text},
		{request: "GET /debug/pprof/symbol", want: "200 " + text},
	} {
		if got := headOf(t, address, c.request, c.body, c.header); got != c.want {
			t.Errorf("%s %s %s:\n got %s\nwant %s", c.request, c.body, c.header, got, c.want)
		}
		if *reference != "" {
			if theirs := headOf(t, *reference, c.request, c.body, c.header); (theirs == c.want) != (c.differs == "") {
				t.Errorf("%s %s %s: etcd answers %s", c.request, c.body, c.header, theirs)
			}
		}
	}
}

func headOf(t *testing.T, address, request, body, header string) string {
	t.Helper()
	method, path, _ := strings.Cut(request, " ")
	r, err := http.NewRequest(method, "http://"+address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if name, value, ok := strings.Cut(header, ": "); ok {
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(resp.Header)) {
		if name != "Date" && name != "Content-Length" && name != "Vary" {
			list = append(list, name+": "+strings.Join(resp.Header[name], ", "))
		}
	}
	// What is set beside the headers of every answer comes last, so that a case names it last.
	slices.SortStableFunc(list, func(a, b string) int { return last(a) - last(b) })
	return fmt.Sprintf("%d %s", resp.StatusCode, strings.Join(list, "; "))
}

func last(header string) int {
	if strings.HasPrefix(header, "Allow:") {
		return 1
	}
	return 0
}

func TestHTTP_ProfilesOnlyWhenAskedFor(t *testing.T) {
	address := opened(t, doortest.NewSingle(), nil)
	if got := headOf(t, address, "GET /debug/pprof/", "", ""); !strings.HasPrefix(got, "404 ") {
		t.Error(got)
	}
}
