package web

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// guarded checks and marks every request before it goes anywhere: older paths, host names, origins.
func (s *Server) guarded(next http.Handler) http.Handler {
	anyHost, anyOrigin := allowsAll(s.config.HostWhitelist), allowsAll(s.config.CORS)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		renewPath(r.URL)
		if host := hostname(r.Host); !secured(r) && !anyHost && !slices.Contains(s.config.HostWhitelist, host) {
			s.log.Warn("rejecting HTTP request to prevent DNS rebinding attacks")
			http.Error(w, fmt.Sprintf("The host name %q in this request is not one of --host-whitelist, so it was refused: it may come "+
				"from a web page (DNS rebinding, CVE-2018-5702). Add the name, or use TLS.", host), http.StatusMisdirectedRequest)
			return
		}
		switch origin := r.Header.Get("Origin"); {
		case anyOrigin:
			allowOrigin(w, "*")
		case slices.Contains(s.config.CORS, origin):
			allowOrigin(w, origin)
		}
		if !anyOrigin {
			w.Header().Add("Vary", "Origin")
		}
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusOK)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// renewPath turns the paths of older clients into those of today; what they name has not changed.
func renewPath(u *url.URL) {
	for _, older := range []string{"/v3beta/", "/v3alpha/"} {
		if rest, ok := strings.CutPrefix(u.Path, older); ok {
			u.Path = "/v3/" + rest
			if rest, ok := strings.CutPrefix(u.RawPath, older); ok {
				u.RawPath = "/v3/" + rest
			}
			return
		}
	}
}

func allowsAll(list []string) bool { return len(list) == 0 || slices.Contains(list, "*") }

func allowOrigin(w http.ResponseWriter, origin string) {
	h := w.Header()
	h.Add("Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE")
	h.Add("Access-Control-Allow-Origin", origin)
	h.Add("Access-Control-Allow-Headers", "accept, content-type, authorization")
}

// allowsSocket says whether a websocket may be opened by whoever asks: browsers ask on behalf of any page, and leave it to the server to
// look at the origin. Only they send one.
func (s *Server) allowsSocket(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || allowsAll(s.config.CORS) || slices.Contains(s.config.CORS, origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

// hostname is a Host header without its port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}
