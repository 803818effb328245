#!/usr/bin/env bash
# github.com/anishathalye/porcupine v1.3.1. Found 2026-11-23.
# A history of events in which a client never heard the outcome of a call has a call event and no return event. CheckEvents says of such a history that it
# is not linearizable, without an error, even where the call may be left out. A checker that feeds it what was recorded reports a bug that is none.
# What to do: give each call without a return one at the end of the history, with an output that the model lets pass as "unknown".
# Output seen:
#   write without a return, then a read of the old value: false
#   the same with a return at the end:                    true
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

	"github.com/anishathalye/porcupine"
)

func main() {
	// A register that holds 0. An input of -1 reads, another one writes it.
	register := porcupine.Model{
		Init: func() any { return 0 },
		Step: func(state, input, output any) (bool, any) {
			if in := input.(int); in >= 0 {
				return true, in
			}
			return output.(int) == state.(int), state
		},
	}
	pending := []porcupine.Event{
		{ClientId: 0, Kind: porcupine.CallEvent, Value: 7, Id: 0},
		{ClientId: 1, Kind: porcupine.CallEvent, Value: -1, Id: 1},
		{ClientId: 1, Kind: porcupine.ReturnEvent, Value: 0, Id: 1},
	}
	without := porcupine.CheckEvents(register, pending)
	with := porcupine.CheckEvents(register, append(pending, porcupine.Event{ClientId: 0, Kind: porcupine.ReturnEvent, Value: nil, Id: 0}))
	fmt.Println("write without a return, then a read of the old value:", without)
	fmt.Println("the same with a return at the end:                   ", with)
	if without || !with {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}
GO
go get github.com/anishathalye/porcupine@v1.3.1 2>/dev/null
go mod tidy 2>/dev/null
go run .
