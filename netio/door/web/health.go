package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"

	"github.com/detcd/detcd/node/call"
)

// check is one thing that must hold for a member to be alive or ready.
type check struct {
	name string
	run  func(context.Context) error
}

func newCheckMetrics() (*prometheus.GaugeVec, *prometheus.CounterVec) {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "etcd_server_healthcheck", Help: "The result of each kind of healthcheck."}, []string{"type", "name"}),
		prometheus.NewCounterVec(prometheus.CounterOpts{Name: "etcd_server_healthchecks_total", Help: "The total number of each kind of healthcheck."}, []string{"type", "name", "status"})
}

// handleHealth serves /health, /livez and /readyz, with each of the latter's checks also under a path of its own.
func (s *Server) handleHealth(mux *http.ServeMux) {
	mux.HandleFunc("/health", s.serveHealth)
	s.handleChecks(mux, "livez", []check{{"serializable_read", s.checkLocalRead}})
	s.handleChecks(mux, "readyz", []check{
		{"data_corruption", s.checkCorruption},
		{"serializable_read", s.checkLocalRead},
		{"linearizable_read", s.checkReady},
		{"non_learner", s.checkLearner},
	})
}

func (s *Server) handleChecks(mux *http.ServeMux, kind string, checks []check) {
	mux.HandleFunc("/"+kind, func(w http.ResponseWriter, r *http.Request) {
		excluded := r.URL.Query()["exclude"]
		s.serveChecks(w, r, kind, slices.DeleteFunc(slices.Clone(checks), func(c check) bool { return slices.Contains(excluded, c.name) }))
	})
	for _, c := range checks {
		mux.HandleFunc("/"+kind+"/"+c.name, func(w http.ResponseWriter, r *http.Request) { s.serveChecks(w, r, kind, []check{c}) })
	}
}

// serveChecks runs the checks; the answer lists them when asked to be verbose, or when one failed.
func (s *Server) serveChecks(w http.ResponseWriter, r *http.Request, kind string, checks []check) {
	if !only(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.config.HealthTimeout)
	defer cancel()
	var report strings.Builder
	failed := false
	for _, c := range checks {
		value, word := 1.0, "success"
		if err := c.run(ctx); err != nil {
			failed, value, word = true, 0, "error"
			fmt.Fprintf(&report, "[-]%s failed: %v\n", c.name, err)
		} else {
			fmt.Fprintf(&report, "[+]%s ok\n", c.name)
		}
		s.checks.WithLabelValues(kind, c.name).Set(value)
		s.checkTotal.WithLabelValues(kind, c.name, word).Inc()
	}
	if failed {
		s.log.Warn("Health check error", zap.String("path", r.URL.Path), zap.String("reason", report.String()))
		http.Error(w, report.String(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if _, verbose := r.URL.Query()["verbose"]; verbose {
		fmt.Fprint(w, report.String())
	}
	fmt.Fprint(w, "ok\n")
}

// healthBody is the body of /health.
type healthBody struct {
	Health string `json:"health"`
	Reason string `json:"reason"`
}

func (s *Server) serveHealth(w http.ResponseWriter, r *http.Request) {
	if !only(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	query := r.URL.Query()
	reason := s.ill(r.Context(), query.Get("serializable") == "true", query["exclude"])
	h := healthBody{Health: "true", Reason: reason}
	if reason != "" {
		h.Health = "false"
	}
	body, _ := encodeJSON(h) // strings: it can't fail
	if reason != "" {
		s.unhealthy.Add(1)
		s.log.Warn("/health error", zap.ByteString("output", body), zap.Int("status-code", http.StatusServiceUnavailable))
		http.Error(w, string(body), http.StatusServiceUnavailable)
		return
	}
	s.healthy.Add(1)
	_, _ = w.Write(body)
}

// ill says what is wrong with the member, or, unless local, the cluster; nothing when all is well.
func (s *Server) ill(ctx context.Context, local bool, excluded []string) string {
	view := s.member.AcquireView()
	alarms := view.Alarms()
	view.Release()
	for _, a := range alarms {
		if !slices.Contains(excluded, a.GetAlarm().String()) {
			return "ALARM " + a.GetAlarm().String()
		}
	}
	if local {
		return ""
	}
	if s.member.Status().Leader == 0 {
		return "RAFT NO LEADER"
	}
	if !s.ready.Load() {
		return "NOT READY"
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.HealthTimeout)
	defer cancel()
	if err := s.checkRead(ctx); err != nil {
		return fmt.Sprintf("RANGE ERROR:%s", err)
	}
	return ""
}

// checkLocalRead proves that a view can be read: it takes nothing but memory.
func (s *Server) checkLocalRead(context.Context) error {
	s.member.AcquireView().Release()
	return nil
}

// errNotReady is about a member that has not said in its cluster where it is, or does not know the cluster's version.
var errNotReady = errors.New("the member does not serve clients yet; it does when it has joined its cluster")

// checkReady is checkRead once clients are served.
func (s *Server) checkReady(ctx context.Context) error {
	if !s.ready.Load() {
		return errNotReady
	}
	return s.checkRead(ctx)
}

// checkRead proves that this member and a quorum can serve a read. The error is etcd's text without the code: people and their monitors read it. The wait may be ended by
// this server's clock or by the member's; both say the same.
func (s *Server) checkRead(ctx context.Context) error {
	got := s.member.Wait(ctx, call.Need{Kind: call.Read})
	switch {
	case got.Err == nil:
		got.View.Release()
	case errors.Is(got.Err, context.DeadlineExceeded):
		return rpctypes.ErrTimeout
	}
	return rpctypes.Error(got.Err)
}

func (s *Server) checkCorruption(context.Context) error {
	view := s.member.AcquireView()
	defer view.Release()
	for _, a := range view.Alarms() {
		if a.GetAlarm() == pb.AlarmType_CORRUPT {
			return fmt.Errorf("alarm activated: %s", a.GetAlarm())
		}
	}
	return nil
}

func (s *Server) checkLearner(context.Context) error {
	view := s.member.AcquireView()
	defer view.Release()
	if m, _ := view.Member(uint64(s.member.Status().ID)); m.Learner {
		return fmt.Errorf("not supported for learner")
	}
	return nil
}
