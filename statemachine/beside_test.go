package statemachine

import (
	"bytes"
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"pgregory.net/rapid"

	"github.com/detcd/detcd/statemachine/format"
)

// grown is a machine to which entries are appended.
type grown struct {
	t rapid.TB
	m *Machine
}

func (g *grown) apply(r *pb.InternalRaftRequest) {
	g.t.Helper()
	index, _ := g.m.Applied()
	g.m.Apply(index+1, 1, &Envelope{Origin: Origin{Proposer: 1, Incarnation: 1, Sequence: index + 1}, Requests: []*pb.InternalRaftRequest{r}}, false)
	for g.m.CompactStep(1000) {
	}
}

func (g *grown) put(key, value string) {
	g.apply(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte(key), Value: []byte(value)}})
}

func (g *grown) remove(key string) {
	g.apply(&pb.InternalRaftRequest{DeleteRange: &pb.DeleteRangeRequest{Key: []byte(key)}})
}

func (g *grown) compact(revision int64) {
	g.apply(&pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: revision}})
}

func (g *grown) snapshot() []byte {
	g.t.Helper()
	r := g.m.Publish().Snapshot()
	defer r.Close()
	var data bytes.Buffer
	if _, err := r.WriteTo(&data); err != nil {
		g.t.Fatal(err)
	}
	return data.Bytes()
}

func (g *grown) copy() *grown {
	g.t.Helper()
	m, err := Restore(bytes.NewReader(g.snapshot()))
	if err != nil {
		g.t.Fatal(err)
	}
	return &grown{t: g.t, m: m}
}

// memory tells where in memory the bytes of each version lie, and how many they are.
func (g *grown) memory() map[*byte]int {
	all := make(map[*byte]int)
	walk := g.m.Publish().Walk()
	for item, ok := walk.Next(); ok; item, ok = walk.Next() {
		if item.change != nil {
			all[&item.change.kv[0]] = len(item.change.kv)
		}
	}
	return all
}

// fresh counts the bytes of g's versions that are not in old's memory, and all of them.
func (g *grown) fresh(old *grown) (fresh, all int) {
	shared := old.memory()
	for at, n := range g.memory() {
		all += n
		if _, ok := shared[at]; !ok {
			fresh += n
		}
	}
	return fresh, all
}

// A member that takes over a snapshot keeps one copy of what it had already. That holds with small and large values, and after compactions.
func TestRestoreBeside_HoldsWhatIsThereOnce(t *testing.T) {
	for _, size := range []int{10, 100 << 10} {
		for _, compacted := range []string{"neither", "the new state", "both"} {
			leader := &grown{t: t, m: New()}
			for i := range 100 {
				leader.put(fmt.Sprint("k", i), string(bytes.Repeat([]byte{byte(i)}, size)))
			}
			if compacted == "both" {
				leader.compact(leader.m.Revision())
			}
			follower := leader.copy()
			for i := range 10 {
				leader.put(fmt.Sprint("k", 10*i), string(bytes.Repeat([]byte{byte(i + 100)}, size)))
			}
			if compacted != "neither" {
				leader.compact(leader.m.Revision())
			}
			m, err := RestoreBeside(bytes.NewReader(leader.snapshot()), follower.m.Publish(), format.Newest)
			if err != nil {
				t.Fatal(err)
			}
			fresh, all := (&grown{t: t, m: m}).fresh(follower)
			if each := all / 100; fresh == 0 || fresh > 11*each {
				t.Errorf("values of %d bytes, compacted: %s: %d bytes of %d are new, of about %d that changed", size, compacted, fresh, all, 10*each)
			}
			if m.StateHash() != leader.m.StateHash() || m.Published().ScanHistoryHash() != leader.m.Published().ScanHistoryHash() {
				t.Errorf("values of %d bytes, compacted: %s: it is another state", size, compacted)
			}
		}
	}
}

// The state beside may be an earlier one, a later one or that of another cluster: the restored machine is that of the snapshot. It stays so while
// both go on.
func TestRestoreBeside_IsRestore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		change := func(g *grown, n int) {
			for range n {
				key := fmt.Sprint("k", rapid.IntRange(0, 5).Draw(t, "key"))
				switch rapid.IntRange(0, 7).Draw(t, "what") {
				case 0:
					g.compact(rapid.Int64Range(0, g.m.Revision()).Draw(t, "revision"))
				case 1:
					g.remove(key)
				default:
					g.put(key, fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "value")))
				}
			}
		}
		beside := &grown{t: t, m: New()}
		change(beside, rapid.IntRange(0, 20).Draw(t, "before"))
		g := &grown{t: t, m: New()}
		if rapid.IntRange(0, 3).Draw(t, "foreign") > 0 {
			g = beside.copy()
			if rapid.Bool().Draw(t, "is behind") {
				change(beside, rapid.IntRange(0, 10).Draw(t, "ahead"))
			}
		}
		change(g, rapid.IntRange(0, 20).Draw(t, "after"))
		data := g.snapshot()
		view := beside.m.Publish()
		wasBeside := view.ScanHistoryHash()
		m, err := RestoreBeside(bytes.NewReader(data), view, format.Newest)
		if err != nil {
			t.Fatal(err)
		}
		restored := &grown{t: t, m: m}
		if !bytes.Equal(restored.snapshot(), data) {
			t.Fatal("its snapshot is another")
		}
		change(beside, 5)
		change(restored, 0)
		if !bytes.Equal(restored.snapshot(), data) {
			t.Fatal("what happens to the state beside changes it")
		}
		again := restored.copy()
		restored.put("k1", "x")
		restored.compact(restored.m.Revision())
		again.put("k1", "x")
		again.compact(again.m.Revision())
		if restored.m.StateHash() != again.m.StateHash() || beside.m.Publish() == nil {
			t.Fatal("it goes on otherwise than one that shares nothing")
		}
		if view.Acquire() {
			if view.ScanHistoryHash() != wasBeside {
				t.Fatal("it changes the state beside")
			}
			view.Release()
		}
	})
}
