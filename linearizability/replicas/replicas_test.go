package replicas_test

import (
	"testing"

	. "github.com/detcd/detcd/linearizability/replicas"
)

func TestReplicasAndDurability(t *testing.T) {
	var r Equality
	if r.Observe(1, 5, 77) != nil || r.Observe(2, 5, 77) != nil || r.Observe(2, 6, 78) != nil {
		t.Error("equal states are taken for different ones")
	}
	if r.Observe(3, 6, 79) == nil {
		t.Error("different states are taken for equal ones")
	}
	var falling Durability
	if falling.Committed(1, 5, 2, 10) != nil || falling.Committed(1, 4, 3, 10) == nil || falling.Committed(1, 6, 1, 10) == nil {
		t.Error("terms that fall along the log go unnoticed")
	}
	var d Durability
	if d.Committed(1, 5, 2, 10) != nil || d.Committed(2, 5, 2, 10) != nil {
		t.Error("one entry on two members is taken for two")
	}
	if d.Committed(3, 5, 3, 10) == nil || d.Committed(3, 5, 2, 11) == nil {
		t.Error("another entry at a committed index goes unnoticed")
	}
	if d.Recovered(1, 5) != nil || d.Recovered(1, 9) != nil {
		t.Error("a member with all that was committed is taken for one without")
	}
	if d.Recovered(1, 4) == nil {
		t.Error("a committed entry that is gone goes unnoticed")
	}
	for _, l := range []struct{ member, term uint64 }{{1, 2}, {1, 2}, {2, 3}} {
		if d.Leader(l.member, 1, l.term) != nil {
			t.Error("leaders of terms of their own are refused")
		}
	}
	if d.Leader(1, 2, 2) == nil {
		t.Error("a member that leads one term in two of its runs goes unnoticed")
	}
	if d.Leader(2, 1, 2) == nil {
		t.Error("two leaders in one term go unnoticed")
	}
}
