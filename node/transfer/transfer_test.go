package transfer

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/detcd/detcd/node/port"
)

// ended fails the test unless the transfer has ended once, as told, and what was sent is closed.
func (l *leader) ended(s *sent, there bool) {
	l.t.Helper()
	if !slices.Equal(l.ends, []bool{there}) || s.closed != 1 {
		l.t.Fatalf("the leader heard %v, closed %d times; want one %v", l.ends, s.closed, there)
	}
}

func TestTransfer_ArrivesOnceOverABadNetwork(t *testing.T) {
	m := state(t, 7, 300)
	for seed := range uint64(60) {
		w := newWorld(t, seed)
		w.loss, w.repeat, w.jitter = w.rand.Float64()/3, w.rand.Float64()/3, time.Duration(1+w.rand.IntN(300))*time.Millisecond
		w.follower.work = time.Duration(1+w.rand.IntN(20)) * time.Millisecond
		s := w.leader.start(m, 3)
		w.run(10 * time.Minute)
		w.leader.ended(s, true)
		if len(w.follower.arrived) != 1 || w.follower.failed != nil {
			t.Fatalf("seed %d: %d snapshots arrived, failed: %v", seed, len(w.follower.arrived), w.follower.failed)
		}
		a := w.follower.arrived[0]
		if a.Machine.StateHash() != m.StateHash() || a.Mark.Index != 7 || a.Bytes < 300*100 {
			t.Fatalf("seed %d: what arrived is another state: entry %d, %d bytes", seed, a.Mark.Index, a.Bytes)
		}
		if pinned, _ := a.Machine.PinnedViews(); pinned != 0 {
			t.Fatalf("seed %d: %d views are pinned", seed, pinned)
		}
		if w.leader.HasBeyond(followerID, 7) || !w.leader.HasBeyond(followerID, 6) {
			t.Fatalf("seed %d: the leader does not know what the follower has", seed)
		}
	}
}

func TestTransfer_TheFirstChunkIsAloneAndTheWindowIsKept(t *testing.T) {
	w := newWorld(t, 1)
	w.follower.work = 10 * time.Millisecond
	most, under := uint32(0), uint32(0)
	answered := uint32(0)
	w.seen = func(from port.MemberID, payload []byte) {
		if from == followerID {
			return
		}
		c, err := decodeChunk(payload)
		if err != nil {
			t.Fatal(err)
		}
		if (c.sequence == 0) != (len(c.message) > 0) {
			t.Errorf("chunk %d holds %d bytes of the raft message", c.sequence, len(c.message))
		}
		if under = c.sequence + 1 - w.leader.outgoing[0].base; c.sequence > 0 && answered == 0 && w.leader.outgoing[0].base == 0 {
			t.Errorf("chunk %d leaves before the first was answered", c.sequence)
		}
		most = max(most, under)
	}
	s := w.leader.start(state(t, 7, 300), 3)
	w.run(time.Minute)
	w.leader.ended(s, true)
	if most != window {
		t.Errorf("up to %d chunks were under way, want %d", most, window)
	}
}

func TestTransfer_GivesUpWhereNobodyAnswers(t *testing.T) {
	w := newWorld(t, 1)
	w.follower.work = 50 * time.Millisecond
	s := w.leader.start(state(t, 7, 300), 3)
	w.run(120 * time.Millisecond) // it is in its midst
	w.cut = true
	w.run((GiveUpTicks - 2) * tick)
	if len(w.leader.ends) != 0 || !w.follower.Installing() {
		t.Fatal("it was given up early")
	}
	w.run(4 * tick)
	w.leader.ended(s, false)
	if w.follower.Installing() || w.follower.failed != nil {
		t.Fatalf("the follower has not given up, or failed: %v", w.follower.failed)
	}
	if names, _ := w.follower.disk.List(); len(names) != 0 {
		t.Errorf("what was given up stays on the disk: %v", names)
	}
	if indexes := w.leader.Awaited(func() map[port.MemberID]uint64 { return map[port.MemberID]uint64{followerID: 0} }); len(indexes) != 0 {
		t.Errorf("the log is kept for %v", indexes)
	}
}

func TestTransfer_AReceiverThatHasLostTheBeginningRefuses(t *testing.T) {
	w := newWorld(t, 1)
	w.follower.work = 50 * time.Millisecond
	s := w.leader.start(state(t, 7, 300), 3)
	w.run(120 * time.Millisecond)
	if w.leader.outgoing[0].base == 0 || !w.follower.Installing() {
		t.Fatal("the transfer is not in its midst")
	}
	w.newFollower() // as after a crash
	w.run(time.Second)
	w.leader.ended(s, false)
	w.leader.ends = nil
	s = w.leader.start(state(t, 8, 300), 3)
	w.run(10 * time.Second)
	w.leader.ended(s, true)
}

func TestTransfer_WaitsForAnOwnSnapshotForAsLongAsItTakes(t *testing.T) {
	w := newWorld(t, 1)
	w.follower.busy = true
	s := w.leader.start(state(t, 7, 300), 3)
	w.run(3 * GiveUpTicks * tick)
	if len(w.leader.ends) != 0 || w.follower.Installing() || !w.follower.Expecting() {
		t.Fatalf("the sender heard %v, receiving: %v", w.leader.ends, w.follower.Installing())
	}
	w.follower.busy = false
	w.run(5 * time.Second)
	w.leader.ended(s, true)
}

func TestTransfer_ReadingBackMayTakeLong(t *testing.T) {
	w := newWorld(t, 1)
	w.follower.work = 2 * GiveUpTicks * tick
	s := w.leader.start(state(t, 7, 1), 3) // one chunk: it is whole at once
	w.run(5 * GiveUpTicks * tick)
	w.leader.ended(s, true)
}

func TestTransfer_ANewerStreamReplacesAnOlderAndNeverTheOtherWay(t *testing.T) {
	w := newWorld(t, 1)
	var first [][]byte
	w.seen = func(from port.MemberID, payload []byte) {
		if c, err := decodeChunk(payload); from == leaderID && err == nil && c.sequence == 0 {
			first = append(first, payload)
		}
	}
	w.follower.work = 50 * time.Millisecond
	old := w.leader.start(state(t, 7, 300), 3)
	w.run(120 * time.Millisecond)
	s := w.leader.start(state(t, 9, 300), 3)
	if old.closed != 1 {
		t.Error("the state that is sent no more is not given back")
	}
	w.run(120 * time.Millisecond)
	if in := w.follower.incoming; in == nil || in.Mark.Index != 9 {
		t.Fatalf("the newer one is not received")
	}
	w.deliver(leaderID, followerID, first[0])
	if in := w.follower.incoming; in == nil || in.Mark.Index != 9 {
		t.Fatalf("the older one took the newer one's place")
	}
	w.run(time.Minute)
	w.leader.ended(s, true)
	if len(w.follower.arrived) != 1 || w.follower.arrived[0].Mark.Index != 9 {
		t.Errorf("%d snapshots arrived", len(w.follower.arrived))
	}
	// What comes late, when all is over, is needless.
	w.deliver(leaderID, followerID, first[0])
	w.run(time.Second)
	if w.follower.Expecting() || len(w.follower.arrived) != 1 {
		t.Error("a late first chunk begins it anew")
	}
}

func TestTransfer_WhatAFormerLeaderSendsIsNotAnswered(t *testing.T) {
	w := newWorld(t, 1)
	w.follower.verdict = Stale
	answers := 0
	w.seen = func(from port.MemberID, _ []byte) {
		if from == followerID {
			answers++
		}
	}
	s := w.leader.start(state(t, 7, 5), 3)
	w.run((GiveUpTicks + 2) * tick)
	w.leader.ended(s, false)
	if answers != 0 {
		t.Errorf("%d answers", answers)
	}
}

func TestTransfer_AFileThatHoldsAnotherStateEndsTheFollower(t *testing.T) {
	w := newWorld(t, 1)
	w.follower.work = 10 * time.Millisecond
	w.leader.start(state(t, 7, 300), 3)
	w.run(5 * time.Millisecond)
	w.follower.incoming.Mark.Index++ // what is sent is not the state as of the entry that the message names
	w.run(time.Minute)
	if err := w.follower.failed; err == nil || !strings.Contains(err.Error(), "receive a snapshot: ") || len(w.follower.arrived) != 0 {
		t.Fatalf("failed: %v, %d snapshots arrived", err, len(w.follower.arrived))
	}
}

func TestSender_AwaitsASnapshotUntilTheFollowerHasIt(t *testing.T) {
	w := newWorld(t, 1)
	match := map[port.MemberID]uint64{followerID: 2}
	awaited := func() []uint64 { return w.leader.Awaited(func() map[port.MemberID]uint64 { return match }) }
	s := w.leader.start(state(t, 7, 300), 3)
	if got := awaited(); !slices.Equal(got, []uint64{7}) {
		t.Fatalf("on its way: awaited %v", got)
	}
	w.run(time.Second)
	w.leader.ended(s, true)
	if got := awaited(); !slices.Equal(got, []uint64{7}) {
		t.Fatalf("there: awaited %v", got)
	}
	w.run(GiveUpTicks * tick)
	if got := awaited(); len(got) != 0 {
		t.Fatalf("there for long: awaited %v", got)
	}
	w.leader.start(state(t, 9, 300), 3)
	match[followerID] = 9
	if got := awaited(); len(got) != 0 {
		t.Fatalf("the follower has it: awaited %v", got)
	}
	w.leader.start(state(t, 11, 300), 3)
	delete(match, followerID)
	if got := awaited(); len(got) != 0 {
		t.Fatalf("no member any more: awaited %v", got)
	}
}

func TestSender_StopGivesAllBack(t *testing.T) {
	w := newWorld(t, 1)
	s := w.leader.start(state(t, 7, 300), 3)
	w.leader.Stop()
	if s.closed != 1 {
		t.Error("the state is not given back")
	}
	w.run(time.Minute)
	if len(w.leader.ends) != 0 {
		t.Errorf("the leader heard %v", w.leader.ends)
	}
}

func TestWire_WhatIsCutOffIsRefused(t *testing.T) {
	c := chunk{stream: 1<<40 + 2, sequence: 3, last: true, message: []byte("message"), data: []byte("data")}
	b := c.encode()
	got, err := decodeChunk(b)
	if err != nil || got.stream != c.stream || got.sequence != 3 || !got.last || string(got.message) != "message" || string(got.data) != "data" {
		t.Fatalf("%+v, %v", got, err)
	}
	for n := range chunkHeaderBytes + len(c.message) {
		if _, err := decodeChunk(b[:n]); err == nil {
			t.Errorf("%d bytes of a chunk are read", n)
		}
	}
	a := ack{stream: 1<<40 + 2, next: 9, state: refused}
	if got, err := decodeAck(a.encode()); err != nil || got != a {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := decodeAck(a.encode()[:ackBytes-1]); err == nil {
		t.Error("a part of an answer is read")
	}
}

func FuzzHandleChunk(f *testing.F) {
	c := chunk{stream: 1, message: []byte("x"), data: []byte("data")}
	f.Add(c.encode())
	f.Fuzz(func(t *testing.T, payload []byte) {
		w := newWorld(t, 1)
		_ = w.follower.HandleChunk(leaderID, payload)
		_ = w.leader.HandleAck(followerID, payload)
		w.run(time.Second)
	})
}
