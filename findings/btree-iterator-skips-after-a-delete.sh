#!/usr/bin/env bash
# github.com/tidwall/btree v1.8.2. Found 2026-11-23.
# A Map's iterator stays usable while the map is changed, and says nothing. When the item under it is deleted, Next moves one item too far: the
# item after the deleted one is never visited. A sweep that deletes as it walks leaves every second item.
# What to do: collect the keys first, or seek to the deleted key again, which finds the next one.
# Output seen:
#   delete while walking 0..9: left [1 3 5 7 9]
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
printf 'module finding\ngo 1.26.0\n' >go.mod
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/tidwall/btree"
)

func main() {
	var m btree.Map[int, string]
	for i := range 10 {
		m.Set(i, "")
	}
	it := m.Iter()
	for ok := it.First(); ok; ok = it.Next() {
		m.Delete(it.Key())
	}
	fmt.Println("delete while walking 0..9: left", m.Keys())
	if m.Len() == 0 {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}
GO
go get github.com/tidwall/btree@v1.8.2 2>/dev/null
go mod tidy 2>/dev/null
go run .
