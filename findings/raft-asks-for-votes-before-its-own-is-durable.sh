#!/usr/bin/env bash
# go.etcd.io/raft/v3 v3.7.0 with AsyncStorageWrites. Found 2026-11-23.
# A candidate's requests for votes come out in the same Ready as the write of its own term and vote, and not among the Responses that wait for that
# write. A user that sends all messages at once, as the documentation of Ready allows, asks for votes before its own vote is durable. Should the
# others elect it and its machine die before the write, it wakes up in the term before, may be elected for the same term again, and then writes
# other entries where the same term has some already.
# What to do: hold MsgVote back until the MsgStorageAppend of the same Ready is done.
# Output seen:
#   the same Ready holds: MsgVote to 2, MsgVote to 3, MsgStorageAppend (term 1, vote 1)
#   messages that wait for the write: MsgVoteResp to 1
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
	"slices"
	"strings"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

func main() {
	storage := raft.NewMemoryStorage()
	must(storage.ApplySnapshot(&raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: new(uint64(1)), Term: new(uint64(0)), ConfState: &raftpb.ConfState{Voters: []uint64{1, 2, 3}}}}))
	node, err := raft.NewRawNode(&raft.Config{ID: 1, ElectionTick: 10, HeartbeatTick: 1, Storage: storage, MaxSizePerMsg: 1 << 20, MaxInflightMsgs: 8,
		AsyncStorageWrites: true, Logger: &raft.DefaultLogger{Logger: log.New(io.Discard, "", 0)}})
	must(err)
	must(node.Campaign())
	var together, waiting []string
	for _, m := range node.Ready().Messages {
		if m.GetType() == raftpb.MsgVote {
			together = append(together, fmt.Sprintf("MsgVote to %d", m.GetTo()))
		}
		if m.GetType() == raftpb.MsgStorageAppend {
			together = append(together, fmt.Sprintf("MsgStorageAppend (term %d, vote %d)", m.GetTerm(), m.GetVote()))
			for _, r := range m.GetResponses() {
				waiting = append(waiting, fmt.Sprintf("%v to %d", r.GetType(), r.GetTo()))
			}
		}
	}
	slices.SortFunc(together, func(a, b string) int { return strings.Compare(b, a) })
	slices.Reverse(together[:2])
	fmt.Println("the same Ready holds:", strings.Join(together, ", "))
	fmt.Println("messages that wait for the write:", strings.Join(waiting, ", "))
	if len(together) != 3 || slices.ContainsFunc(waiting, func(w string) bool { return strings.HasPrefix(w, "MsgVote to") }) {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
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
