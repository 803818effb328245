package node

import (
	"flag"
	"os"
	"strings"
	"testing"
)

// DESIGN.md shows the steps of a turn's end, and why each stands where it stands.
func TestTurn_ThePageShowsTheTable(t *testing.T) {
	var want strings.Builder
	for _, s := range endOfTurn {
		if s.why == "" {
			t.Errorf("step %q: why does it stand there?", s.name)
		}
		want.WriteString("| " + s.name + " | " + s.why + " |\n")
	}
	page, err := os.ReadFile("DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	const head = "| step | why there |\n|---|---|\n"
	before, after, found := strings.Cut(string(page), head)
	end := strings.Index(after, "\n\n") + 1
	if !found || end == 0 {
		t.Fatalf("DESIGN.md has no table that begins with %q and ends with an empty line", head)
	}
	if after[:end] == want.String() {
		return
	}
	if flag.Lookup("rewrite").Value.String() != "true" { // the scripts' flag
		t.Fatalf("DESIGN.md shows another table; `go test ./node -run TestTurn -rewrite` writes it anew")
	}
	if err := os.WriteFile("DESIGN.md", []byte(before+head+want.String()+after[end:]), 0o644); err != nil {
		t.Fatal(err)
	}
}
