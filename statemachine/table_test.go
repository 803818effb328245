package statemachine

import (
	"bytes"
	"reflect"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// A table that is declared but not listed would be in no snapshot and in no hash. The rows of two tables with one letter would be mixed up.
func TestTables_AreAllListedOnce(t *testing.T) {
	set := New().tables
	listed := map[any]bool{}
	letters := map[byte]bool{0: true, headItem: true, baseItem: true, eventItem: true, trailerRecord: true}
	for _, one := range set.all() {
		listed[one] = true
		if kind := one.kind(); kind != 0 && letters[kind] {
			t.Errorf("the letter %q is taken", kind)
		} else if kind != 0 {
			letters[kind] = true
		}
	}
	fields := reflect.ValueOf(&set).Elem()
	if fields.NumField() != len(listed) {
		t.Errorf("%d tables are declared, %d are listed by all", fields.NumField(), len(listed))
	}
}

// walked is a machine with something in every table.
func walked(t *testing.T) *grown {
	g := &grown{t: t, m: New()}
	for id := range uint64(3) {
		g.change(MemberChange{Kind: AddVoter, Member: MemberInfo{ID: id + 1, PeerURLs: []string{string(rune('a' + id))}}})
	}
	g.change(MemberChange{Kind: Remove, Member: MemberInfo{ID: 3}})
	g.apply(&pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: 7, TTL: 60}})
	g.apply(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte("k"), Lease: 7}})
	g.apply(&pb.InternalRaftRequest{Alarm: &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: 1, Alarm: pb.AlarmType_NOSPACE}})
	return g
}

func (g *grown) change(c MemberChange) {
	g.t.Helper()
	index, _ := g.m.Applied()
	if results, fresh := g.m.Apply(index+1, 1, &Envelope{Change: &c}, true); !fresh || results[0].Err != nil {
		g.t.Fatal(fresh, results)
	}
}

// A builder makes the same state of what a walk tells, without a snapshot in between.
func TestBuilder_MakesWhatAWalkFound(t *testing.T) {
	g := walked(t)
	for i := range 2000 {
		g.put(string(rune('a'+i%20)), "value")
	}
	g.compact(1500)
	b := NewBuilder(nil)
	walk := g.m.Publish().Walk()
	for item, ok := walk.Next(); ok; item, ok = walk.Next() {
		if err := b.Add(item); err != nil {
			t.Fatal(err)
		}
	}
	m, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	built := &grown{t: t, m: m}
	if !bytes.Equal(built.snapshot(), g.snapshot()) || m.StateHash() != g.m.StateHash() || m.Recount() != m.bytes || m.bytes != g.m.Recount() {
		t.Error("it is another state")
	}
	was := g.m.Published().ScanHistoryHash()
	built.put("a", "changed")
	built.compact(m.Revision())
	if g.m.Published().ScanHistoryHash() != was || g.m.Recount() != g.m.bytes {
		t.Error("the two states share what changes")
	}
}

func TestBuilder_RefusesWhatDoesNotFit(t *testing.T) {
	g := walked(t)
	g.put("a", "1")
	g.put("b", "1")
	g.compact(g.m.Revision())
	g.put("c", "1")
	var items []Item
	walk := g.m.Publish().Walk()
	for item, ok := walk.Next(); ok; item, ok = walk.Next() {
		item.row = bytes.Clone(item.row)
		items = append(items, item)
	}
	refused := func(order ...int) (refused bool) {
		b := NewBuilder(nil)
		for _, i := range order {
			if err := b.Add(items[i]); err != nil {
				return true
			}
		}
		_, err := b.Build()
		return err != nil
	}
	if !refused() || !refused(1) || !refused(len(items)-1) {
		t.Error("built without a head")
	}
	var order []int
	for i := range items {
		order = append(order, i)
	}
	if refused(order...) {
		t.Fatal("the walk itself is refused")
	}
	for i := 1; i < len(items); i++ {
		if !refused(0, i, i) {
			t.Errorf("item %d of kind %q is taken twice", i, items[i].kind)
		}
	}
	if !refused(0, 0) {
		t.Error("two heads are taken")
	}
	if last := len(items) - 1; items[last].kind != 'A' {
		t.Errorf("the last item is of kind %q", items[last].kind)
	}
	for _, strange := range []Item{{kind: 'Z', row: []byte{'Z'}}, {kind: 0, row: []byte{0}}, {kind: 'L', row: []byte{'L'}}, {kind: 'R', row: []byte{'R', 1, 1}}} {
		b := NewBuilder(nil)
		if b.Add(items[0]) != nil || b.Add(strange) == nil {
			t.Errorf("an item of kind %q is taken", strange.kind)
		}
	}
}

// Each change of a table is in the tally and in the next view, and not in the one before.
func TestTable_KeepsTheBooks(t *testing.T) {
	g := walked(t)
	for name, change := range map[string]func(){
		"a lease more": func() { g.apply(&pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: 8, TTL: 60}}) },
		"a lease less": func() { g.apply(&pb.InternalRaftRequest{LeaseRevoke: &pb.LeaseRevokeRequest{ID: 7}}) },
		"a member moves": func() {
			g.change(MemberChange{Kind: UpdatePeerURLs, Member: MemberInfo{ID: 1, PeerURLs: []string{"z"}}})
		},
		"a member less": func() { g.change(MemberChange{Kind: Remove, Member: MemberInfo{ID: 2}}) },
		"an alarm less": func() {
			g.apply(&pb.InternalRaftRequest{Alarm: &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: 1, Alarm: pb.AlarmType_NOSPACE}})
		},
	} {
		before := g.m.Publish()
		if !before.Acquire() {
			t.Fatal("the published view is not in use")
		}
		hash := before.StateHash()
		change()
		after := g.m.Publish()
		if before.ScanStateHash() != hash || after.ScanStateHash() != after.StateHash() || after.StateHash() == hash {
			t.Errorf("%s: hashes before %x and %x, after %x and %x", name, hash, before.ScanStateHash(), after.StateHash(), after.ScanStateHash())
		}
		if g.m.Recount() != g.m.bytes {
			t.Errorf("%s: %d bytes, %d by recount", name, g.m.bytes, g.m.Recount())
		}
		before.Release()
	}
}
