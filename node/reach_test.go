package node

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/detcd/detcd/node/snapshot"
	"github.com/detcd/detcd/node/wal"
	"github.com/detcd/detcd/node/wal/crashdisk"
)

// refuse tries to open the member with its disk as it is, and returns the error. The disk must be left alone.
func (s *seat) refuse() error {
	s.c.t.Helper()
	config := s.c.config
	config.ID = s.id
	s.disk.Ops = 0
	_, err := Open(config, Ports{Clock: s, Network: s, WALDisk: s.disk, SnapshotDisk: s.disk, WALLane: s, SnapshotLane: s, ReachLane: s, Logger: s, Observer: s})
	if err == nil {
		s.c.t.Fatal("it starts")
	}
	if s.disk.Ops != 0 {
		s.c.t.Errorf("refused with %v, but after %d changes of its disk", err, s.disk.Ops)
	}
	return err
}

// dropLog removes all segments from the member's disk.
func (s *seat) dropLog() {
	for _, name := range s.names("wal-") {
		if err := s.disk.Remove(name); err != nil {
			s.c.t.Fatal(err)
		}
	}
}

func (s *seat) names(prefix string) (found []string) {
	names, err := s.disk.List()
	if err != nil {
		s.c.t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, prefix) {
			found = append(found, name)
		}
	}
	return found
}

// lone is a one-member cluster with a few keys that then does nothing for a while.
func lone(t *testing.T, change func(*Config)) *seat {
	t.Helper()
	c := newCluster(t, 1, change)
	l := c.elect(1)
	for i := range 20 {
		l.apply(put(fmt.Sprint("k", i), 0))
	}
	c.run(3 * time.Second)
	return l
}

func TestOpen_RefusesToBeginAnewWhereAMemberHasLived(t *testing.T) {
	s := lone(t, func(c *Config) { c.SnapshotEntries = 5 })
	s.kill()
	s.dropLog()
	snapshots := s.names("snap-")
	if len(snapshots) == 0 {
		t.Fatal("there is no snapshot")
	}
	if err := s.refuse(); !errors.Is(err, ErrLogMissing) || !strings.Contains(err.Error(), "entry ") {
		t.Errorf("with a reach: %v", err)
	}
	if err := s.disk.Remove(wal.ReachName); err != nil {
		t.Fatal(err)
	}
	if err := s.refuse(); !errors.Is(err, ErrLogMissing) || !strings.Contains(err.Error(), snapshots[0]) {
		t.Errorf("with a snapshot: %v", err)
	}
	for _, name := range snapshots {
		if err := s.disk.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	s.c.config.Lived = true
	if err := s.refuse(); !errors.Is(err, ErrLogMissing) {
		t.Errorf("known to have lived: %v", err)
	}
	s.c.config.Lived = false
	s.open()
	s.c.elect(1)
}

// A member that died before anything was written still founds its cluster, wherever in its first start that was.
func TestOpen_FoundsAClusterAfterACrashInTheFirstStart(t *testing.T) {
	for crashAt := 1; ; crashAt++ {
		for sample := range 6 {
			c := newCluster(t, 1, nil)
			s := c.seat(1)
			s.member, s.disk = nil, crashdisk.New()
			s.life++
			s.disk.CrashAt = crashAt
			config := c.config
			config.ID = s.id
			_, err := Open(config, Ports{Clock: s, Network: s, WALDisk: s.disk, SnapshotDisk: s.disk, WALLane: s, SnapshotLane: s, ReachLane: s, Logger: s, Observer: s})
			if err == nil {
				if crashAt < 10 {
					t.Fatalf("only %d operations", crashAt)
				}
				return
			}
			n := sample
			s.disk = s.disk.Crash(func(of int) int { n++; return n % of })
			s.open()
			c.elect(1)
			s.apply(put("a", 0))
		}
	}
}

// At rest a member is protected: whatever a crash leaves, damage to the last record is told from a torn tail. So it is for followers.
func TestMember_AtRestIsProtected(t *testing.T) {
	for _, members := range []int{1, 3} {
		c := newCluster(t, members, nil)
		l := c.elect(1)
		for i := range 20 {
			l.apply(put(fmt.Sprint("k", i), 0))
		}
		c.run(2 * time.Second)
		for _, s := range c.seats {
			if len(s.member.writer.queue) > 0 {
				t.Errorf("%d members: at rest, member %d has yet to write %d", members, s.id, len(s.member.writer.queue))
			}
			s.kill()
			var entry wal.Record
			var kinds []string
			if err := wal.Dump(s.disk, func(r wal.Record) error {
				if r.Kind == "entry" {
					entry = r
				}
				kinds = append(kinds, r.Kind)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if last := kinds[len(kinds)-1]; last != "settled" {
				t.Errorf("%d members: the log of member %d ends with %s", members, s.id, last)
			}
			for sample := range 8 {
				whole := s.disk
				n := sample
				s.disk = s.disk.Crash(func(of int) int { n++; return n * sample % of })
				s.disk.Content(entry.File)[entry.Offset+30] ^= 1
				var corrupt *wal.CorruptError
				if err := s.refuse(); !errors.As(err, &corrupt) || corrupt.File != entry.File {
					t.Errorf("%d members: member %d, crash %d: %v", members, s.id, sample, err)
				}
				s.disk = whole
			}
		}
	}
}

// While it is written to, what a loss of power leaves of the reach is about a second old at most.
func TestMember_SyncsTheReachUnderLoad(t *testing.T) {
	c := newCluster(t, 1, nil)
	l := c.elect(1)
	var writes []uint64 // the log's batches, at each tenth of a second
	for range 40 {
		for end := c.now.Add(100 * time.Millisecond); c.now < end; {
			l.apply(put("k", 0))
		}
		writes = append(writes, l.member.writer.log.Reach().Batch)
	}
	synced, err := wal.ReadReach(l.disk.Crash(func(int) int { return 0 }))
	if err != nil {
		t.Fatal(err)
	}
	if old := writes[len(writes)-13]; synced.Batch < old {
		t.Errorf("synced up to batch %d; %d were written 1.2 s ago, %d now", synced.Batch, old, writes[len(writes)-1])
	}
	if synced.Batch == writes[len(writes)-1] {
		t.Error("each write is followed by a second sync")
	}
}

// Whatever becomes of the next write: the newest note can be read, the one that is durable, and the one that is about to be.
func TestReach_ANoteIsWrittenOverNoneThatIsNeeded(t *testing.T) {
	needed := func(k *reach) map[int]string {
		slots := map[int]string{k.slot: "written last", k.durable: "synced last"}
		if k.syncing {
			slots[k.synced] = "being synced"
		}
		return slots
	}
	for slot := range wal.ReachSlots {
		for durable := range wal.ReachSlots {
			for synced := range wal.ReachSlots {
				for _, syncing := range []bool{false, true} {
					k := &reach{slot: slot, durable: durable, synced: synced, syncing: syncing}
					kept := needed(k)
					next := k.next()
					if what, taken := kept[next]; taken || next != k.slot {
						t.Errorf("the next note goes into slot %d, which was %s (%v), and %d is taken for written", next, what, kept, k.slot)
					}
				}
			}
		}
	}
}

// What the log does not point at is removed only when the log is there and fits.
func TestOpen_SweepsNothingBeforeTheLogFits(t *testing.T) {
	s := lone(t, func(c *Config) { c.SnapshotEntries = 5 })
	s.kill()
	s.disk.Put(snapshot.Name(1, 1), []byte("an older one"))
	s.disk.Put("snap-0000000000000063-0000000000000001.snap.tmp", []byte("half a one"))
	log := s.names("wal-")[0]
	s.disk.Content(log)[60] ^= 1
	if err := s.refuse(); !errors.Is(err, wal.ErrCorrupt) {
		t.Errorf("damaged log: %v", err)
	}
	s.disk.Content(log)[60] ^= 1
	snapshots := s.names("snap-0")
	newest := s.disk.Content(snapshots[len(snapshots)-2])
	newest[len(newest)/2] ^= 1
	if err := s.refuse(); !errors.Is(err, wal.ErrCorrupt) {
		t.Errorf("damaged snapshot: %v", err)
	}
	newest[len(newest)/2] ^= 1
	s.open()
	if left := s.names("snap-"); len(left) != 1 {
		t.Errorf("after the start there are %v", left)
	}
}
