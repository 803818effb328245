package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// notYet is what a server says of calls that it does not have.
const notYet = "code = Unimplemented"

// looser is what detcd may answer otherwise than etcd: when a watch is cancelled because of compaction, etcd leaves the header's revision out.
var looser = []mask{{regexp.MustCompile(`"revision":\d+,("raft_term":\d+\},"Events":null,"CompactRevision":\d+,"Canceled":true)`), "$1"}}

// TestServer_AnswersAsStockEtcdDid runs the script with detcdctl against detcd and compares with the tape: what stock etcdctl printed of stock
// etcd. Commands after one that detcd has no call for find another state and are not compared.
func TestServer_AnswersAsStockEtcdDid(t *testing.T) {
	skipWithoutSignals(t)
	if testing.Short() {
		t.Skip("starts a server")
	}
	text, err := os.ReadFile(tapePath)
	if err != nil {
		t.Fatal(err)
	}
	var tape []recorded
	if err := json.Unmarshal(text, &tape); err != nil {
		t.Fatal(err)
	}
	steps := readScript(t)
	outcomes := play(t, ourTool(t), startServer(t, serverBinary(t), ""), steps, func(step, outcome) {})
	compared := 0
	for i, s := range steps {
		if s.live {
			continue
		}
		if strings.Contains(outcomes[i].Stderr, notYet) {
			break
		}
		want := tape[0].Outcome
		tape = tape[1:]
		want.Stdout = strings.ReplaceAll(withLeaseID(offTape(t, want.Stdout)), "127.0.0.1:"+portMark, "ADDRESS")
		want.Stderr = strings.ReplaceAll(want.Stderr, "127.0.0.1:"+portMark, "ADDRESS")
		compared++
		t.Run(fmt.Sprintf("%d %s", s.line, strings.Join(s.Args, " ")), func(t *testing.T) { compare(t, loosely(outcomes[i]), loosely(want)) })
	}
	t.Logf("%d of %d commands compared", compared, len(steps))
	if compared < 200 {
		t.Errorf("only %d commands compared: has a service gone?", compared)
	}
}

func loosely(o outcome) outcome {
	o = masked(o)
	o.Stdout = replaced(o.Stdout, looser)
	return o
}
