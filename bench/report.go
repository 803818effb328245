package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

var columns = []string{
	"members", "load", "clients/conns", "server", "requests/s", "low-high", "p50", "p99", "server CPU/request", "client CPU/request", "RSS", "vs etcd: requests/s", "vs etcd: CPU",
}

// cells returns the text of every row, in the order of columns.
func cells(rows []row) [][]string {
	type key struct {
		members int
		load    load
	}
	etcd := map[key]row{}
	for _, r := range rows {
		if r.contender == nameEtcd {
			etcd[key{r.members, r.load}] = r
		}
	}
	var out [][]string
	for _, r := range rows {
		throughput, cpu := "", ""
		if base, ok := etcd[key{r.members, r.load}]; ok && r.contender != nameEtcd {
			throughput = ratio(r.perSecond, base.perSecond)
			cpu = ratio(float64(r.serverCPU), float64(base.serverCPU))
		}
		members := fmt.Sprint(r.members)
		if r.contender == nameCeiling {
			members = "-"
		}
		out = append(out, []string{
			members, string(r.load.op), fmt.Sprintf("%d/%d", r.load.clients, r.load.conns), r.contender,
			fmt.Sprintf("%.0f", r.perSecond), fmt.Sprintf("%.0f-%.0f", r.spread[0], r.spread[1]),
			short(r.p50), short(r.p99), short(r.serverCPU), short(r.clientCPU),
			fmt.Sprintf("%d MiB", r.rss>>20), throughput, cpu,
		})
	}
	return out
}

func ratio(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}

// short prints a duration with three digits.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.3g µs", float64(d)/float64(time.Microsecond))
	case d < time.Second:
		return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.3g s", d.Seconds())
}

func writeTable(w io.Writer, rows []row) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(columns, "\t"))
	for i, line := range cells(rows) {
		if i > 0 && (rows[i].load != rows[i-1].load || rows[i].members != rows[i-1].members) {
			fmt.Fprintln(t, strings.Repeat("\t", len(columns)-1))
		}
		fmt.Fprintln(t, strings.Join(line, "\t"))
	}
	t.Flush()
}

// about is what a reader of the figures must know to judge them.
type about struct {
	date, machine, commit, command string
	load                           string // load average before the run
	versions                       []string
}

func describe(ctx context.Context, o options, load string) about {
	a := about{
		load:    load,
		date:    time.Now().UTC().Format("2006-01-02"),
		machine: fmt.Sprintf("%d cores, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version()),
		commit:  firstLine(exec.CommandContext(ctx, "git", "describe", "--always", "--dirty")),
	}
	a.command = "go run . " + strings.Join(commandFlags(), " ")
	for _, binary := range []string{o.detcd, o.etcd} {
		a.versions = append(a.versions, versionOf(ctx, binary))
	}
	return a
}

// commandFlags are the flags given, without those that only name places of this machine.
func commandFlags() (out []string) {
	flag.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "detcd", "etcd", "dir", "report", "profile":
			return
		}
		out = append(out, fmt.Sprintf("-%s=%s", f.Name, f.Value))
	})
	return out
}

// versionOf returns the lines of --version that name a version of the server, not of Go.
func versionOf(ctx context.Context, binary string) string {
	out, err := exec.CommandContext(ctx, binary, "--version").Output()
	if err != nil {
		return "unknown"
	}
	var versions []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "Version: ") && !strings.HasPrefix(line, "Go ") {
			versions = append(versions, strings.TrimSpace(line))
		}
	}
	return strings.Join(versions, ", ")
}

func firstLine(cmd *exec.Cmd) string {
	out, err := cmd.Output()
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

// writeReport writes the figures as a Markdown page.
func writeReport(path string, a about, rows []row) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmarks\n\nWritten by `make bench-report`; not to be edited by hand.\n\n")
	fmt.Fprintf(&b, "- Date: %s, commit %s\n- Machine: %s; load average before the run: %s\n- Command: `%s` (in bench/)\n",
		a.date, a.commit, a.machine, a.load, strings.TrimSpace(a.command))
	fmt.Fprintf(&b, "- detcd says `%s`, stock etcd `%s`\n\n", a.versions[0], a.versions[1])
	b.WriteString(`detcd and stock etcd run at once on loopback with the same flags, load generator and all members on the one machine; the load goes to one,
then to the other, in turns. Figures are medians over the rounds; low-high are the slowest and the fastest round. CPU is user and system time,
all members together, divided by requests; RSS is all members' at the end of the last round. The ceiling is a gRPC server that answers
with fixed bytes and stores nothing. A load of one client talks to the leader, a larger one to all members evenly.

`)
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for _, line := range cells(rows) {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(line, " | "))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}
