package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// gate is one of etcd's feature gates. None steers anything here yet: given another value than its default it is accepted, with one
// warning that says why it has no effect.
type gate struct {
	name string
	def  bool
	help string
}

// Gates as of etcd 3.7. AllAlpha and AllBeta stand for all gates of a stage.
var gates = []gate{
	{"AllAlpha", false, "what is behind alpha gates is fixed here, or not there yet"},
	{"AllBeta", false, "what is behind beta gates is fixed here"},
	{"CompactHashCheck", false, noCheck},
	{"FastLeaseKeepAlive", true, "a renewal never waits for anything but the leader's proof that it still leads"},
	{"InitialCorruptCheck", false, noCheck},
	{"LeaseCheckpoint", false, "remaining lease times are always kept through the log"},
	{"LeaseCheckpointPersist", false, "remaining lease times are always kept through the log"},
	{"PriorityRequest", false, "urgent messages always overtake others"},
	{"SetMemberLocalAddr", false, noLocalAddr},
	{"StopGRPCServiceOnDefrag", false, "defragmentation does not interrupt the service"},
	{"TxnModeWriteWithSharedBuffer", true, noBackend},
}

// parseGates reads Name=true|false,... Of a gate that is named twice the last value counts.
func parseGates(text string) (map[string]bool, error) {
	values := map[string]bool{}
	for entry := range strings.SplitSeq(text, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		name, value, found := strings.Cut(entry, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !found {
			return nil, fmt.Errorf("missing bool value for %s", name)
		}
		on, err := strconv.ParseBool(value)
		if err != nil {
			return nil, fmt.Errorf("invalid value of %s=%s, err: %w", name, value, err)
		}
		if findGate(name) == nil {
			return nil, fmt.Errorf("unrecognized feature gate: %s", name)
		}
		values[name] = on
	}
	return values, nil
}

// judgeGates does for --feature-gates what judge does for flags.
func (o options) judgeGates() (warnings []string, err error) {
	values, err := parseGates(o.text("feature-gates"))
	if err != nil {
		return nil, err
	}
	if values["LeaseCheckpointPersist"] && !values["LeaseCheckpoint"] && !values["AllAlpha"] {
		return nil, errors.New("enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint")
	}
	for _, g := range gates {
		if on, given := values[g.name]; given && on != g.def {
			warnings = append(warnings, fmt.Sprintf("--feature-gates=%s=%t has no effect: %s", g.name, on, g.help))
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
