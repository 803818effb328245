package main

import (
	"fmt"
	"strconv"
	"strings"
)

// gate is one of etcd's feature gates, with its fate here.
type gate struct {
	name string
	def  bool
	// fate is moot when both values come to the same here, missing when only the default is there.
	fate fate
	help string
}

// Gates as of etcd 3.7. AllAlpha and AllBeta stand for all gates of a stage, so they count as missing.
var gates = []gate{
	{"AllAlpha", false, missing, "some alpha features are not there"},
	{"AllBeta", false, moot, "beta features are fixed here"},
	{"CompactHashCheck", false, missing, noCheck},
	{"FastLeaseKeepAlive", true, moot, "a renewal never waits for anything but the leader's proof that it still leads"},
	{"InitialCorruptCheck", false, missing, noCheck},
	{"LeaseCheckpoint", false, moot, "remaining lease times are always kept through the log"},
	{"LeaseCheckpointPersist", false, moot, "remaining lease times are always kept through the log"},
	{"PriorityRequest", false, moot, "urgent messages always overtake others"},
	{"SetMemberLocalAddr", false, missing, "the local address of connections to members can't be chosen yet"},
	{"StopGRPCServiceOnDefrag", false, moot, "defragmentation does not interrupt the service"},
	{"TxnModeWriteWithSharedBuffer", true, moot, noBackend},
}

// judgeGates does for --feature-gates what judge does for flags.
func (o options) judgeGates() (warnings []string, err error) {
	for _, entry := range o.list("feature-gates") {
		name, value, found := strings.Cut(entry, "=")
		if !found {
			return warnings, fmt.Errorf("missing bool value for feature gate %s", name)
		}
		on, err := strconv.ParseBool(strings.TrimSpace(value))
		if err != nil {
			return warnings, fmt.Errorf("invalid value of %s=%s for a feature gate", name, value)
		}
		g := findGate(strings.TrimSpace(name))
		switch {
		case g == nil:
			return warnings, fmt.Errorf("unrecognized feature gate: %s", name)
		case g.fate == missing && on != g.def:
			return warnings, fmt.Errorf("--feature-gates=%s is not supported: %s", entry, g.help)
		case g.fate == moot && on != g.def:
			warnings = append(warnings, fmt.Sprintf("--feature-gates=%s has no effect: %s", entry, g.help))
		}
	}
	return warnings, nil
}

func findGate(name string) *gate {
	for i := range gates {
		if gates[i].name == name {
			return &gates[i]
		}
	}
	return nil
}
