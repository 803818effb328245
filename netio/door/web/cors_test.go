package web

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func asked(t *testing.T, method, url, host, origin string) *http.Response {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

func TestCORS_MarksAllAnswersToOriginsThatAreAllowed(t *testing.T) {
	for _, c := range []struct {
		allowed      []string
		origin, want string
	}{
		{nil, "", "*"},
		{nil, "http://a", "*"},
		{[]string{"*"}, "http://a", "*"},
		{[]string{"http://a", "http://b"}, "http://b", "http://b"},
		{[]string{"http://a"}, "http://b", ""},
		{[]string{"http://a"}, "", ""},
	} {
		_, address, _ := fronted(t, func(config *Config) { config.CORS = c.allowed })
		for _, request := range []string{"POST /v3/kv/put", "GET /v3/kv/put", "POST /v3/nowhere", "GET /nowhere", "GET /version", "OPTIONS /v3/kv/put", "OPTIONS /nowhere"} {
			method, path, _ := strings.Cut(request, " ")
			resp := asked(t, method, "http://"+address+path, "", c.origin)
			h := resp.Header
			if got := h.Get("Access-Control-Allow-Origin"); got != c.want {
				t.Errorf("%q allowed, %s from %q: %q, want %q", c.allowed, request, c.origin, got, c.want)
			}
			if got := h.Get("Access-Control-Allow-Headers") == "accept, content-type, authorization" &&
				h.Get("Access-Control-Allow-Methods") == "POST, GET, OPTIONS, PUT, DELETE"; got != (c.want != "") {
				t.Errorf("%q allowed, %s from %q: headers %v", c.allowed, request, c.origin, h)
			}
			if method == "OPTIONS" && (resp.StatusCode != http.StatusOK || resp.ContentLength != 0) {
				t.Errorf("%s: %s, %d bytes", request, resp.Status, resp.ContentLength)
			}
		}
	}
}

func TestHostWhitelist(t *testing.T) {
	for _, c := range []struct {
		allowed []string
		host    string
		want    int
	}{
		{nil, "anything", 200},
		{[]string{"*"}, "anything", 200},
		{[]string{"good", "::1"}, "good", 200},
		{[]string{"good", "::1"}, "good:80", 200},
		{[]string{"good", "::1"}, "[::1]:80", 200},
		{[]string{"good", "::1"}, "[::1]", 200},
		{[]string{"good"}, "bad", http.StatusMisdirectedRequest},
		{[]string{"good"}, "bad:80", http.StatusMisdirectedRequest},
	} {
		_, address, _ := fronted(t, func(config *Config) { config.HostWhitelist = c.allowed })
		for _, path := range []string{"/version", "/v3/kv/put"} {
			method := "POST"
			if path == "/version" {
				method = "GET"
			}
			if resp := asked(t, method, "http://"+address+path, c.host, ""); resp.StatusCode != c.want {
				t.Errorf("%q allowed, %s: %s", c.allowed, fmt.Sprint(c.host, path), resp.Status)
			}
		}
	}
}
