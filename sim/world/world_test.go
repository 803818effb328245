package world

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/sim/prng"
)

// pinger is a member that does a little of everything: it sends, sets timers, writes and syncs.
type pinger struct {
	host  *Host
	clock *Clock
	net   *Door
	lane  *Lane
	disk  *Disk
	file  port.File
	got   []byte
	dues  int
	turns int
	early time.Duration
}

func startPinger(t testing.TB, h *Host, peers []port.Peer) *pinger {
	t.Helper()
	h.Begin()
	p := &pinger{host: h, clock: h.Clock(), net: h.Network(), disk: h.Disk("data"),
		lane: h.Lane(time.Millisecond, 3*time.Millisecond)}
	p.net.SetPeers(peers)
	f, err := p.disk.Open("log")
	if err != nil {
		if f, err = p.disk.Create("log", 4096); err != nil {
			t.Fatal(err)
		}
	}
	p.file = f
	h.Attach(p)
	p.beat(0)
	return p
}

// Greeted implements Member.
func (p *pinger) Greeted(port.MemberID, port.Formats) {}

func (p *pinger) beat(n byte) {
	due := p.clock.Now().Add(50 * time.Millisecond)
	for _, peer := range p.host.peers {
		p.net.Send(peer.ID, port.Normal, []byte{n, byte(p.host.id)})
	}
	p.lane.Run(func() {
		p.file.WriteAt([]byte{n}, int64(n)*100)
		p.file.Sync()
	}, func() { p.dues++ })
	p.clock.After(50*time.Millisecond, func() {
		p.early = max(p.early, due.Sub(p.clock.Now()))
		p.beat(n + 1)
	})
}

func (p *pinger) Receive(from port.MemberID, payload []byte) { p.got = append(p.got, payload...) }
func (p *pinger) EndTurn()                                   { p.turns++ }

var fair = Weather{DelayLeast: 200 * time.Microsecond, DelayMost: 2 * time.Millisecond, DelayTail: 100 * time.Millisecond}

func twoPingers(t testing.TB, seed uint64, tr *Tracer, wt Weather) (*World, []*pinger) {
	w := New(seed, tr)
	a, b := w.AddHost(1, 0), w.AddHost(2, 100_000)
	w.Net().SetWeather(wt)
	peers := []port.Peer{{ID: 1}, {ID: 2}}
	return w, []*pinger{startPinger(t, a, peers), startPinger(t, b, peers)}
}

func run(w *World, until time.Duration) {
	for w.Step(until) {
	}
}

func TestWorld_OneSeedOneFingerprint(t *testing.T) {
	foul := Weather{Loss: 100, Repeat: 100, Reorder: 300, Tail: 50,
		DelayLeast: time.Millisecond, DelayMost: 9 * time.Millisecond, DelayTail: 200 * time.Millisecond}
	life := func(seed uint64) (string, uint64) {
		var trace bytes.Buffer
		tr := NewTracer(&trace)
		w, ps := twoPingers(t, seed, tr, foul)
		w.After(time.Second, Fault, func() { ps[0].host.Crash(true) })
		w.After(2*time.Second, Fault, func() { startPinger(t, ps[0].host, []port.Peer{{ID: 1}, {ID: 2}}) })
		run(w, 5*time.Second)
		if err := tr.Flush(); err != nil {
			t.Fatal(err)
		}
		return trace.String(), w.Fingerprint()
	}
	one, first := life(5)
	two, second := life(5)
	if one != two || first != second {
		t.Fatalf("two runs of one seed part: %x and %x", first, second)
	}
	if _, other := life(6); other == first {
		t.Fatal("two seeds have one fingerprint")
	}
	if !strings.Contains(one, " message 2 1 ") || !strings.Contains(one, " disk-sync ") || !strings.Contains(one, " crash 1 ") {
		t.Fatalf("the trace lacks kinds of events:\n%.2000s", one)
	}
}

func TestClock_RunsAtItsRateAndIsNeverEarly(t *testing.T) {
	w, ps := twoPingers(t, 1, nil, fair)
	a, b := ps[0].clock.Now(), ps[1].clock.Now()
	run(w, 10*time.Second)
	if d := ps[0].clock.Now().Sub(a); d != 10*time.Second {
		t.Errorf("a clock without drift made %v of 10s", d)
	}
	if d := ps[1].clock.Now().Sub(b); d != 11*time.Second {
		t.Errorf("a clock 10%% fast made %v of 10s", d)
	}
	if ps[0].early > 0 || ps[1].early > 0 {
		t.Errorf("timers were early by %v and %v", ps[0].early, ps[1].early)
	}
	if n := ps[1].dues - ps[0].dues; n < 15 || n > 25 {
		t.Errorf("the fast clock beat %d times more than the true one's %d, want about a tenth", n, ps[0].dues)
	}
}

func TestNetwork_InFairWeatherKeepsOrderAndLosesNothing(t *testing.T) {
	w, ps := twoPingers(t, 2, nil, fair)
	run(w, 5*time.Second)
	got := ps[0].got
	if len(got) < 2*100 {
		t.Fatalf("only %d bytes came in 5s of a message each 50ms", len(got))
	}
	for i := 0; i < len(got); i += 2 {
		if got[i] != byte(i/2) || got[i+1] != 2 {
			t.Fatalf("message %d is %v", i/2, got[i:i+2])
		}
	}
}

func TestNetwork_BlockCutsOneDirectionOnly(t *testing.T) {
	w, ps := twoPingers(t, 3, nil, fair)
	w.Net().Block(ps[0].host, ps[1].host)
	run(w, time.Second)
	if len(ps[1].got) != 0 || len(ps[0].got) == 0 {
		t.Fatalf("with 1 to 2 cut, 2 got %d bytes and 1 got %d", len(ps[1].got), len(ps[0].got))
	}
	w.Net().Unblock(ps[0].host, ps[1].host)
	run(w, 2*time.Second)
	if len(ps[1].got) == 0 {
		t.Fatal("nothing came after the link was mended")
	}
}

func TestNetwork_StrangersAreNotListenedTo(t *testing.T) {
	w, ps := twoPingers(t, 3, nil, fair)
	run(w, time.Second)
	ps[0].net.SetPeers([]port.Peer{{ID: 1}})
	got, sent := len(ps[0].got), len(ps[1].got)
	run(w, 2*time.Second)
	if len(ps[0].got) != got || len(ps[1].got) > sent+2 { // one may have been under way
		t.Fatalf("a member without peers got %d bytes and sent %d", len(ps[0].got)-got, len(ps[1].got)-sent)
	}
}

func TestNetwork_AChangedMessageIsNoticed(t *testing.T) {
	w, ps := twoPingers(t, 3, nil, fair)
	p := []byte("mine no more")
	ps[0].net.Send(2, port.Urgent, p)
	p[0] = 'M'
	defer func() {
		if recover() == nil {
			t.Fatal("a message changed after Send was delivered")
		}
	}()
	run(w, time.Second)
}

func TestHost_PauseHoldsAllEventsInOrder(t *testing.T) {
	w, ps := twoPingers(t, 4, nil, fair)
	run(w, time.Second)
	ps[0].host.Pause()
	got, turns := len(ps[0].got), ps[0].turns
	run(w, 2*time.Second)
	if ps[0].turns != turns {
		t.Fatalf("a paused host took %d turns", ps[0].turns-turns)
	}
	ps[0].host.Resume()
	run(w, 2*time.Second+time.Microsecond)
	if n := len(ps[0].got) - got; n < 2*18 {
		t.Fatalf("%d bytes came at once when the host went on, want a second's worth", n)
	}
	for i := 0; i < len(ps[0].got); i += 2 {
		if ps[0].got[i] != byte(i/2) {
			t.Fatalf("message %d is %v", i/2, ps[0].got[i:i+2])
		}
	}
}

func TestHost_JoinsCallsToTurns(t *testing.T) {
	w, ps := twoPingers(t, 4, nil, fair)
	ps[0].host.JoinTurns(500)
	run(w, 10*time.Second)
	// Each of the two has had as many calls.
	if a, b, joined := ps[0].turns, ps[1].turns, int(w.Counts.JoinedTurns); joined < 50 || a > b-joined/2 {
		t.Fatalf("%d turns with %d calls joined to them, and %d where each call is a turn", a, joined, b)
	}
	ps[0].host.Crash(false)
	run(w, 11*time.Second)
	again := startPinger(t, ps[0].host, []port.Peer{{ID: 1}, {ID: 2}})
	run(w, 12*time.Second)
	if again.turns == 0 {
		t.Error("the turn of one life stays open in the next")
	}
}

func TestHost_NothingOfALifeOutlastsIt(t *testing.T) {
	w, ps := twoPingers(t, 4, nil, fair)
	run(w, time.Second)
	old := ps[0]
	old.host.Crash(false)
	dues, got := old.dues, len(old.got)
	startPinger(t, old.host, []port.Peer{{ID: 1}, {ID: 2}})
	old.lane.Run(func() { t.Error("work of a dead lane ran") }, nil)
	old.net.Send(2, port.Normal, []byte("from the dead"))
	old.clock.After(0, func() { t.Error("a dead clock called") })
	run(w, 2*time.Second)
	if old.dues != dues || len(old.got) != got {
		t.Fatal("a member took part after its life")
	}
	if _, err := old.file.WriteAt([]byte("x"), 0); err == nil {
		t.Fatal("a file of an earlier life took a write")
	}
}

func TestHost_VisitorsOfADownHostAreRefused(t *testing.T) {
	w, ps := twoPingers(t, 4, nil, fair)
	h := ps[0].host
	var came, refused int
	visit := func(d time.Duration) { h.Visit(d, Request, func() { came++ }, func() { refused++ }) }
	visit(0)
	run(w, time.Millisecond)
	h.Pause()
	visit(0)
	run(w, 2*time.Millisecond)
	h.Crash(false)
	visit(0)
	run(w, 3*time.Millisecond)
	if came != 1 || refused != 2 {
		t.Fatalf("%d came and %d were refused, want 1 and 2", came, refused)
	}
}

// The queue must order any schedule as sorting would.
func TestQueue_ByTimeThenByOrderOfScheduling(t *testing.T) {
	var q queue
	s := prng.New(1, "queue")
	var now int64
	var seq uint64
	ranks := map[uint64]uint64{}
	for range 2000 {
		for range s.Intn(5) {
			seq++
			at := now + s.Between(0, 20)
			ranks[seq] = uint64(at)
			q.push(at, event{from: seq})
		}
		if at, ok := q.next(); ok {
			e := q.pop()
			if ranks[e.from] != uint64(at) || at < now {
				t.Fatalf("event %d of time %d came at %d, after %d", e.from, ranks[e.from], at, now)
			}
			for other, when := range ranks {
				if when < uint64(at) || when == uint64(at) && other < e.from {
					t.Fatalf("event %d came before %d", e.from, other)
				}
			}
			delete(ranks, e.from)
			now = at
		}
	}
}
