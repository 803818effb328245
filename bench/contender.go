package main

import (
	"fmt"
	"slices"
)

// The contenders. The baseline is another build of detcd, to tell what a change of it is worth.
const (
	nameDetcd    = "detcd"
	nameBaseline = "baseline"
	nameEtcd     = "etcd"
	nameCeiling  = "ceiling"
)

// leftOut in place of etcd's binary says that the run goes without stock etcd.
const leftOut = "none"

// contender is a server that the loads are put on.
type contender struct{ name, binary string }

// contenders are those of this run, in the order of their lines.
func (o options) contenders() []contender {
	all := []contender{{nameDetcd, o.detcd}}
	if o.baseline != "" {
		all = append(all, contender{nameBaseline, o.baseline})
	}
	if o.etcd != leftOut {
		all = append(all, contender{nameEtcd, o.etcd})
	}
	return slices.DeleteFunc(all, func(c contender) bool { return o.only != "" && c.name != o.only })
}

// reference is a contender that others are compared with.
type reference struct {
	name string
	with []string // whose figures are set beside its own
	// paired: the ratio is the median of those of each round, with the least and the greatest of them. Two builds of one server differ by
	// less than the machine does from minute to minute; within a round they meet the same.
	paired bool
}

var references = []reference{
	{name: nameEtcd, with: []string{nameDetcd, nameBaseline, nameCeiling}},
	{name: nameBaseline, with: []string{nameDetcd}, paired: true},
}

// referencesAmong are those that take part.
func referencesAmong(names []string) (some []reference) {
	for _, r := range references {
		if slices.Contains(names, r.name) {
			some = append(some, r)
		}
	}
	return some
}

func (r reference) column(figure string) string { return "vs " + r.name + ": " + figure }

// ratio compares the figures of a contender's rounds with the reference's; a round that failed is nil in either. Without any it is empty.
func (r reference) ratio(contender string, mine, theirs []*float64) string {
	if !slices.Contains(r.with, contender) {
		return ""
	}
	own, base := present(mine), present(theirs)
	if len(own) == 0 || len(base) == 0 {
		return ""
	}
	if !r.paired {
		return ratio(middle(own), middle(base))
	}
	var each []float64
	for i := range min(len(mine), len(theirs)) {
		if mine[i] != nil && theirs[i] != nil && *theirs[i] != 0 {
			each = append(each, *mine[i] / *theirs[i])
		}
	}
	if len(each) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f (%.2f-%.2f)", middle(each), slices.Min(each), slices.Max(each))
}

func present(values []*float64) (some []float64) {
	for _, v := range values {
		if v != nil {
			some = append(some, *v)
		}
	}
	return some
}

// middle is the median; of two in the middle, their mean.
func middle[T float64 | ~int64](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func ratio(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}
