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
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// table is some rows of figures under common columns.
type table struct {
	title, about string
	command      string // what makes it
	columns      []string
	groups       [][][]string // lines that are to be compared, contender by contender
}

// allTables is the whole result: the simple loads, then each kind of workload.
func allTables(rows []row, outs []outcome) []table {
	var tables []table
	if len(rows) > 0 {
		tables = append(tables, loadTable(rows))
	}
	for len(outs) > 0 {
		n := 1
		for n < len(outs) && outs[n].work.kind() == outs[0].work.kind() {
			n++
		}
		tables = append(tables, workloadTable(outs[:n]))
		outs = outs[n:]
	}
	return tables
}

// loadTable compares contenders under the same simple load.
func loadTable(rows []row) table {
	t := table{
		title: "Unary calls", command: commandFor(opsOf(rows)...),
		about: `The ceiling is a gRPC server that answers with fixed bytes and stores nothing. CPU is divided by requests; RSS is all members' at the end of the
last round. A load of one client talks to the leader, a larger one to all members evenly.`,
		columns: []string{
			"members", "load", "clients/conns", "server", "requests/s", "low-high", "p50", "p99", "server CPU/request", "client CPU/request", "RSS",
		},
	}
	type key struct {
		members   int
		load      load
		contender string
	}
	byKey := map[key]row{}
	var names []string
	for _, r := range rows {
		byKey[key{r.members, r.load, r.contender}] = r
		names = append(names, r.contender)
	}
	refs := referencesAmong(names)
	for _, ref := range refs {
		t.columns = append(t.columns, ref.column("requests/s"), ref.column("CPU"))
	}
	for i, r := range rows {
		members := fmt.Sprint(r.members)
		if r.contender == nameCeiling {
			members = "-"
		}
		if i == 0 || r.load != rows[i-1].load || r.members != rows[i-1].members {
			t.groups = append(t.groups, nil)
		}
		group := &t.groups[len(t.groups)-1]
		*group = append(*group, []string{
			members, string(r.load.op), fmt.Sprintf("%d/%d", r.load.clients, r.load.conns), r.contender,
			fmt.Sprintf("%.0f", r.perSecond), fmt.Sprintf("%.0f-%.0f", r.spread[0], r.spread[1]),
			short(r.p50), short(r.p99), short(r.serverCPU), short(r.clientCPU),
			fmt.Sprintf("%d MiB", r.rss>>20),
		})
		for _, ref := range refs {
			base := byKey[key{r.members, r.load, ref.name}]
			line := &(*group)[len(*group)-1]
			*line = append(*line, ref.ratio(r.contender, r.each(result.perSecond), base.each(result.perSecond)),
				ref.ratio(r.contender, r.each(result.cpuNanos), base.each(result.cpuNanos)))
		}
	}
	return t
}

// each is one figure of every round.
func (r row) each(get func(result) float64) (values []*float64) {
	for _, one := range r.rounds {
		v := get(one)
		values = append(values, &v)
	}
	return values
}

// opsOf returns the names that -ops has for the rows' loads.
func opsOf(rows []row) (names []string) {
	for _, r := range rows {
		for name, op := range loadOps {
			if op == r.load.op && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// workloadTable compares what the contenders made of workloads of one kind.
func workloadTable(outs []outcome) table {
	kind := outs[0].work.kind()
	t := table{title: workloadTitles[kind], about: workloadAbouts[kind], command: commandFor(kind)}
	var shape []figure // what a row's figures are; all rows of a kind have the same
	byKey := map[string]outcome{}
	var names []string
	key := func(out outcome) string { return fmt.Sprint(out.members, out.work.load()) }
	for _, out := range outs {
		if out.figures != nil {
			shape = out.figures
		}
		byKey[key(out)+out.contender] = out
		names = append(names, out.contender)
	}
	refs := referencesAmong(names)
	t.columns = []string{"members", "load", "server"}
	for i, f := range shape {
		if t.columns = append(t.columns, f.name); i == 0 {
			t.columns = append(t.columns, "low-high")
		}
	}
	for _, ref := range refs {
		for _, f := range shape {
			if f.ratio != "" {
				t.columns = append(t.columns, ref.column(f.ratio))
			}
		}
	}
	for i, out := range outs {
		if i == 0 || key(out) != key(outs[i-1]) {
			t.groups = append(t.groups, nil)
		}
		group := &t.groups[len(t.groups)-1]
		line := workloadLine(out, len(t.columns))
		for _, ref := range refs {
			line = append(line, out.ratios(ref, byKey[key(out)+ref.name])...)
		}
		*group = append(*group, line)
	}
	return t
}

// workloadLine is an outcome's line but for what compares it with others, unless it failed.
func workloadLine(out outcome, columns int) []string {
	line := []string{fmt.Sprint(out.members), out.work.load(), out.contender}
	if out.figures == nil {
		line = append(line, "failed: "+out.failed)
		return append(line, make([]string, max(columns-len(line), 0))...)
	}
	for i, f := range out.figures {
		if line = append(line, f.text(f.value)); i == 0 {
			line = append(line, f.text(out.spread[0])+" - "+f.text(out.spread[1]))
		}
	}
	return line
}

// ratios compares each figure that is to be with a reference's.
func (out outcome) ratios(ref reference, base outcome) (texts []string) {
	for i, f := range out.figures {
		if f.ratio != "" {
			texts = append(texts, ref.ratio(out.contender, out.each(i), base.each(i)))
		}
	}
	return texts
}

// each is the i-th figure of every round.
func (out outcome) each(i int) (values []*float64) {
	for _, round := range out.rounds {
		var v *float64
		if round != nil {
			v = &round[i].value
		}
		values = append(values, v)
	}
	return values
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

func writeTables(w io.Writer, tables []table) {
	for i, t := range tables {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s: %s\n\n", t.title, t.command)
		columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(columns, strings.Join(t.columns, "\t"))
		for i, group := range t.groups {
			if i > 0 {
				fmt.Fprintln(columns, strings.Repeat("\t", len(t.columns)-1))
			}
			for _, line := range group {
				fmt.Fprintln(columns, strings.Join(line, "\t"))
			}
		}
		columns.Flush()
	}
}

// about is what a reader of the figures must know to judge them.
type about struct {
	date, machine, commit string
	load                  string // load average before the run
	versions              []string
}

func describe(ctx context.Context, o options, load string) about {
	a := about{
		load:    load,
		date:    time.Now().UTC().Format("2006-01-02"),
		machine: fmt.Sprintf("%d cores, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version()),
		commit:  firstLine(exec.CommandContext(ctx, "git", "describe", "--always", "--dirty")),
	}
	for _, c := range o.contenders() {
		a.versions = append(a.versions, fmt.Sprintf("%s says `%s`", c.name, versionOf(ctx, c.binary)))
	}
	return a
}

// commandFor is the command that runs only these of the loads, with the flags that were given, without those that only name places of
// this machine.
func commandFor(ops ...string) string {
	out := []string{"go run .", "-ops=" + strings.Join(ops, ",")}
	flag.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "detcd", "baseline", "etcd", "dir", "report", "profile", "ops":
			return
		}
		out = append(out, fmt.Sprintf("-%s=%s", f.Name, f.Value))
	})
	return strings.Join(out, " ")
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
func writeReport(path string, a about, tables []table) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmarks\n\nWritten by `make bench-report`; not to be edited by hand.\n\n")
	fmt.Fprintf(&b, "- Date: %s, commit %s\n- Machine: %s; load average before the run: %s\n", a.date, a.commit, a.machine, a.load)
	fmt.Fprintf(&b, "- %s\n\n", strings.Join(a.versions, ", "))
	b.WriteString(`detcd and stock etcd run at once on loopback with the same flags, load generator and all members on the one machine; the load goes to one,
then to the other, in turns. Figures are medians over the rounds; low-high are the slowest and the fastest round. CPU is user and system time,
all members together. The command above each table, run in bench/, makes that table. With -baseline=BINARY another build of detcd runs beside the two
in the same way, has lines of its own, and detcd is compared with it, too: there the ratio is the median of the rounds' own ratios, with the least and
the greatest of them. -etcd=none leaves stock etcd out.
`)
	for _, t := range tables {
		fmt.Fprintf(&b, "\n## %s\n\n    %s\n\n%s\n\n", t.title, t.command, t.about)
		fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(t.columns, " | "), strings.Repeat("---|", len(t.columns)))
		for _, group := range t.groups {
			for _, line := range group {
				fmt.Fprintf(&b, "| %s |\n", strings.Join(line, " | "))
			}
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}
