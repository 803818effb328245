#!/usr/bin/env bash
# go.etcd.io/raft/v3 v3.7.0. Found 2026-11-23.
# ReadIndex of a leader that has not committed an entry of its own term waits until it has: only then does it know how far the log was committed. For a
# cluster with one voter that rule is skipped: the answer is whatever commit index was on the disk. With entries beyond that index, which may have
# been acknowledged (a commit index is often written late, and raft asks for no sync for it), a read at the answered index misses them.
# What to do: after a restart apply an entry of the new term before the first ReadIndex, also with one voter.
# Output seen:
#   on the disk: entries up to 3, commit index 1; elected, and nothing of the new term is committed
#   ReadIndex answers at once: 1
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
printf 'module finding\ngo 1.26.0\n' >go.mod
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"log"
	"os"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

func main() {
	storage := raft.NewMemoryStorage()
	must(storage.ApplySnapshot(&raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: new(uint64(1)), Term: new(uint64(1)), ConfState: &raftpb.ConfState{Voters: []uint64{1}}}}))
	must(storage.SetHardState(&raftpb.HardState{Term: new(uint64(1)), Vote: new(uint64(1)), Commit: new(uint64(1))}))
	must(storage.Append([]*raftpb.Entry{
		{Index: new(uint64(2)), Term: new(uint64(1)), Data: []byte("a")}, {Index: new(uint64(3)), Term: new(uint64(1)), Data: []byte("b")}}))
	// Writes are asynchronous, so that the entry of the new term is not durable yet, and so not committed, when the read comes.
	node, err := raft.NewRawNode(&raft.Config{ID: 1, ElectionTick: 10, HeartbeatTick: 1, Storage: storage, Applied: 1, MaxSizePerMsg: 1 << 20, MaxInflightMsgs: 8,
		AsyncStorageWrites: true, Logger: &raft.DefaultLogger{Logger: log.New(io.Discard, "", 0)}})
	must(err)
	must(node.Campaign())
	for node.HasReady() && node.BasicStatus().RaftState != raft.StateLeader {
		for _, m := range node.Ready().Messages {
			for _, r := range m.GetResponses() {
				if r.GetTo() == 1 {
					must(node.Step(r)) // the own vote is durable
				}
			}
		}
	}
	if node.BasicStatus().RaftState != raft.StateLeader {
		panic("not elected")
	}
	fmt.Printf("on the disk: entries up to 3, commit index 1; elected, and nothing of the new term is committed\n")
	node.ReadIndex([]byte("read"))
	states := node.Ready().ReadStates
	if len(states) != 1 || states[0].Index >= 3 {
		fmt.Println("CHANGED: the answer waits, or holds all entries:", states)
		os.Exit(1)
	}
	fmt.Println("ReadIndex answers at once:", states[0].Index)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
GO
go get go.etcd.io/raft/v3@v3.7.0 2>/dev/null
go mod tidy 2>/dev/null
go run .
