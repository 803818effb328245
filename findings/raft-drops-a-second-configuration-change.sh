#!/usr/bin/env bash
# go.etcd.io/raft/v3 v3.7.0. Found 2026-11-29.
# A leader that is asked for a configuration change while an earlier one is not applied yet turns the second into an empty entry. ProposeConfChange
# returns nil, the entry is committed, and nothing says that the change was not made.
# What to do: remember what was proposed, and answer the caller only by what is applied: an empty entry at that index means "refused".
# Output seen:
#   first change:  error <nil>, entry 3 is EntryConfChange
#   second change: error <nil>, entry 4 is EntryNormal with 0 bytes
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
	"google.golang.org/protobuf/proto"
)

func main() {
	storage := raft.NewMemoryStorage()
	node, err := raft.NewRawNode(&raft.Config{ID: 1, ElectionTick: 10, HeartbeatTick: 1, Storage: storage, MaxSizePerMsg: 1 << 20, MaxInflightMsgs: 8,
		Logger: &raft.DefaultLogger{Logger: log.New(io.Discard, "", 0)}})
	must(err)
	must(node.Bootstrap([]raft.Peer{{ID: 1}}))
	settle(node, storage)
	must(node.Campaign())
	settle(node, storage)
	var errs []error
	for id := uint64(2); id <= 3; id++ {
		change := &raftpb.ConfChange{Type: raftpb.ConfChangeAddLearnerNode.Enum(), NodeId: new(id)}
		errs = append(errs, node.ProposeConfChange(change))
	}
	entries := node.Ready().Entries
	fmt.Printf("first change:  error %v, entry %d is %v\n", errs[0], entries[0].GetIndex(), entries[0].GetType())
	fmt.Printf("second change: error %v, entry %d is %v with %d bytes\n", errs[1], entries[1].GetIndex(), entries[1].GetType(), len(entries[1].GetData()))
	if errs[1] != nil || entries[1].GetType() != raftpb.EntryNormal || len(entries[1].GetData()) != 0 {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

// settle does what the node has ready.
func settle(node *raft.RawNode, storage *raft.MemoryStorage) {
	for node.HasReady() {
		rd := node.Ready()
		must(storage.Append(rd.Entries))
		for _, e := range rd.CommittedEntries {
			if e.GetType() == raftpb.EntryConfChange {
				change := &raftpb.ConfChange{}
				must(proto.Unmarshal(e.Data, change))
				node.ApplyConfChange(change)
			}
		}
		node.Advance(rd)
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
