package web

import (
	"context"
	"encoding/json"
	"expvar"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/detcd/detcd/netio/door/listen"
	"github.com/detcd/detcd/node/call"
)

// headerTimeout is how long a client may take over the head of an HTTP request.
const headerTimeout = 30 * time.Second

// newHTTPServer serves connections that a Splitter has sorted. Those of HTTP/2 come without their TLS, which is why net/http is told to
// expect them like that.
func newHTTPServer(h http.Handler) *http.Server {
	versions := new(http.Protocols)
	versions.SetHTTP1(true)
	versions.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: crashing(h), Protocols: versions, ReadHeaderTimeout: headerTimeout, ErrorLog: log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, securedKey{}, listen.TLS(c) != nil)
		},
	}
}

// securedKey is the key, in a request's context, of whether its connection has TLS.
type securedKey struct{}

// secured tells whether a request came over TLS. Request.TLS can't tell: the connection comes without its TLS, as a Splitter has sorted it.
func secured(r *http.Request) bool {
	known, _ := r.Context().Value(securedKey{}).(bool)
	return known || r.TLS != nil
}

// withGRPC hands the gRPC requests among those of HTTP/2 to the services. Most gRPC connections go to the services as a whole, which is much faster. This is for proxies
// that send all their requests over one connection.
func (s *Server) withGRPC(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && listen.IsGRPC(r.Header.Get("Content-Type")) {
			s.grpc.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// crashing lets a panic in a handler end the process, as anywhere else: net/http would swallow it and go on with whatever was
// half done.
func crashing(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler: // not a bug: the way to cut an answer off
				panic(p)
			default:
				go panic(fmt.Sprintf("in a handler of %s: %v", r.URL.Path, p))
				select {}
			}
		}()
		h.ServeHTTP(w, r)
	})
}

// newMain makes the handler of the client port.
func (s *Server) newMain() (http.Handler, error) {
	mux := http.NewServeMux()
	if s.config.Gateway {
		gateway, err := s.newGateway()
		if err != nil {
			return nil, err
		}
		mux.Handle("/v3/", gateway)
	}
	mux.HandleFunc("/version", s.serveVersion)
	mux.HandleFunc("/debug/vars", serveVars)
	if s.config.Profiles {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	s.handleMetrics(mux)
	return s.withGRPC(s.guarded(mux)), nil
}

// newMetrics makes the handler of --listen-metrics-urls.
func (s *Server) newMetrics() http.Handler {
	mux := http.NewServeMux()
	s.handleMetrics(mux)
	return mux
}

func (s *Server) handleMetrics(mux *http.ServeMux) {
	mux.Handle("/metrics", promhttp.HandlerFor(s.config.Registry, promhttp.HandlerOpts{}))
	s.handleHealth(mux)
}

// only refuses a request whose method is not one of those allowed, and names the first of these. It reports whether to go on.
func only(w http.ResponseWriter, r *http.Request, allowed ...string) bool {
	if slices.Contains(allowed, r.Method) {
		return true
	}
	w.Header().Set("Allow", allowed[0])
	http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
	return false
}

// versions is the body of /version. Clients split the values at the dots and parse them.
type versions struct {
	Server  string `json:"etcdserver"`
	Cluster string `json:"etcdcluster"`
	Storage string `json:"storage"`
}

func (s *Server) serveVersion(w http.ResponseWriter, r *http.Request) {
	if !only(w, r, http.MethodGet) {
		return
	}
	view := s.member.AcquireView()
	cluster := view.ClusterVersion()
	view.Release()
	if cluster == "" {
		cluster = "not_decided"
	}
	w.Header().Set("Content-Type", "application/json")
	body, _ := json.Marshal(versions{call.Version, cluster, call.StorageVersion}) // strings: it can't fail
	_, _ = w.Write(body)
}

func serveVars(w http.ResponseWriter, r *http.Request) {
	if !only(w, r, http.MethodGet) {
		return
	}
	expvar.Handler().ServeHTTP(w, r)
}
