package door

import (
	"encoding/json"
	"expvar"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/pprof"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/detcd/detcd/node/call"
)

// headerTimeout is how long a client may take over the head of an HTTP request.
const headerTimeout = 30 * time.Second

func newHTTPServer(h http.Handler) *http.Server {
	return &http.Server{Handler: crashing(h), ReadHeaderTimeout: headerTimeout, ErrorLog: log.New(io.Discard, "", 0)}
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

// newHTTP makes the handler of the client port.
func (d *Door) newHTTP() (http.Handler, error) {
	mux := http.NewServeMux()
	if d.config.Gateway {
		gateway, err := d.newGateway()
		if err != nil {
			return nil, err
		}
		mux.Handle("/v3/", gateway)
	}
	mux.HandleFunc("/version", d.serveVersion)
	mux.HandleFunc("/debug/vars", serveVars)
	if d.config.Profiles {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	d.handleMetrics(mux)
	return d.guarded(mux), nil
}

// newMetricsHTTP makes the handler of --listen-metrics-urls.
func (d *Door) newMetricsHTTP() http.Handler {
	mux := http.NewServeMux()
	d.handleMetrics(mux)
	return mux
}

func (d *Door) handleMetrics(mux *http.ServeMux) {
	mux.Handle("/metrics", promhttp.HandlerFor(d.registry, promhttp.HandlerOpts{}))
	d.handleHealth(mux)
}

// only refuses other methods than those, the first of which is the one to name, and reports whether to go on.
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

func (d *Door) serveVersion(w http.ResponseWriter, r *http.Request) {
	if !only(w, r, http.MethodGet) {
		return
	}
	view := d.backend.View()
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
