package sim

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/sim/world"
)

// TestScripts runs the stories in testdata: commands to a simulated cluster, and below them what came of each. Nothing happens by chance: no fault
// but what the script asks for, messages take a millisecond, and members ask for votes in the order of their numbers: m0 first, if it can.
// At the end of each story (a file, or where the next cluster begins) all faults end, and the whole history is held to every promise that a seed is held to.
//
// After a change that is meant, `go test ./sim -run TestScripts -rewrite` writes the answers anew; read the difference before you keep it.
//
// Every line above the ---- is a command. Members are m0, m1, ...; times are in seconds since the cluster began.
//
//	cluster [members=3] [late=(m2,...)] [snapshot=ENTRIES] [catch-up=ENTRIES] [segment=BYTES] [checkpoint=DURATION] [tight]
//	                        the members start, but for those that are late. Tight disks have no room for more of the log than a member
//	                        needs itself.
//	run 500ms               time goes on
//	await leader [m1]       until there is a leader (m1) that the others who live and are not cut off follow
//
//	put m0 KEY VALUE        a client asks m0, and waits for the answer. Likewise: get m0 KEY, delete m0 KEY, compact m0 REVISION. A put with lease=NAME
//	                        attaches the key to that lease.
//	fill m0 COUNT BYTES     so many puts, one after the other
//	begin put m0 KEY VALUE  the same without waiting; the answer is told when it comes, also to the commands above
//	watch NAME m0 KEY [start=REVISION]
//	resume NAME m1          the watcher goes on at another member
//	lease NAME m0 SECONDS   a client takes a lease and keeps it alive, until: abandon NAME, which it does without a word, or revoke NAME
//	look NAME [m1]          how much is left of the lease; from now on the client asks that member
//	lock NAME               who has the lease of that name asks for the lock, and is told when it has it; unlock NAME
//
//	partition m0 | m1 m2    cut links between the groups; heal mends all
//	pause m0, wake m0       it is held still; it goes on
//	crash m1                its process ends; start m1: it starts again
//	power m1                it loses power, and what was not synced perhaps. With during-write: in the midst of its next write
//	disk m1 slow=20         its disks take twenty times as long. Or: full, failing-sync, failing-write; well: they are as before
//	damage m1 KIND          it ends, and what it finds when it starts is damaged: flip-last, flip-any, cut-short, zeroed, garbled, log-gone, log-older
//	wipe m1                 it loses its disks, and starts again soon
//
//	show                    a line for each member
//	counts                  how often snapshots, and old entries of the log, were sent to members that lagged; how many writes were torn
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	reader := rand.Reader
	defer func() { rand.Reader = reader }()
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			s := &script{}
			datadriven.RunTest(t, file, s.block)
			s.t = t
			s.end()
		})
	}
}

// script is one story under way.
type script struct {
	t       *testing.T
	r       *Run
	told    []string
	heard   int // lines of the run's story that were told
	clients []*client
	actors  map[string]*actor
	leads   map[string]bool // members that lead, as far as was told
	cut     [][2]*seat
}

// actor is a client with a name: one that watches, or one that has a lease.
type actor struct {
	watcher *watcher
	session *session
	lock    *held
}

// command is one line of a script.
type command struct {
	*script
	name    string
	words   []string // arguments without values
	options []datadriven.CmdArg
}

// block carries out the commands of one block.
func (s *script) block(t *testing.T, d *datadriven.TestData) string {
	s.t, s.told = t, nil
	lines := append([]string{d.FullCmd()}, strings.Split(strings.TrimSpace(d.Input), "\n")...)
	for _, text := range lines {
		if text == "" {
			continue
		}
		name, args, err := datadriven.ParseLine(text)
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		c := command{script: s, name: name}
		for _, a := range args {
			if len(a.Vals) > 0 {
				c.options = append(c.options, a)
			} else {
				c.words = append(c.words, a.Key)
			}
		}
		if s.r == nil && name != "cluster" {
			d.Fatalf(t, "a script begins with a cluster")
		}
		c.do()
		s.listen()
		s.mustHold()
	}
	if len(s.told) == 0 {
		return "ok"
	}
	return strings.Join(s.told, "\n") + "\n"
}

// mustHold ends the script when a promise is broken.
func (s *script) mustHold() {
	s.t.Helper()
	if f := s.r.failure; f != nil {
		s.t.Fatalf("the promise of %s is broken: %s\n%s", f.Promise, f.Story, s.r.story.tail(40))
	}
}

// end ends all faults, and holds the run to its promises: as the members are, and from what their disks hold alone.
func (s *script) end() {
	r := s.r
	if r == nil || s.t.Failed() {
		return
	}
	r.guarded(func() {
		s.mend()
		r.bootAll()
		for _, x := range r.sessions {
			x.abandon()
		}
		s.reconnect()
		r.recovers("at the end")
		for _, x := range r.seats {
			x.crash(true)
			x.bootSoon()
		}
		s.reconnect()
		r.recovers("after a loss of power of all members")
		r.checks.judge()
	})
	s.mustHold()
}

// mend takes back what the script has broken.
func (s *script) mend() {
	for _, c := range s.cut {
		s.r.world.Net().Unblock(c[0].host, c[1].host)
	}
	s.cut = nil
	for _, x := range s.r.seats {
		x.host.Disarm()
		x.well()
		x.resume(x.host.Epoch())
	}
}

// well makes a seat's disks as they were.
func (s *seat) well() {
	s.host.SetSlowness(100)
	for _, name := range diskNames {
		d := s.host.Disk(name)
		d.Drain()
		d.FailSyncs(0)
		d.FailWrites(0)
	}
	s.diskFault = false
}

// say adds a line to what is told.
func (s *script) say(format string, args ...any) {
	s.listen()
	s.told = append(s.told, at(s.r.world.Now())+fmt.Sprintf(format, args...))
}

// at writes a time. It tells tenths of seconds: what is below depends on more than a story is about.
func at(t time.Duration) string { return fmt.Sprintf("%5.1fs  ", t.Seconds()) }

// listen tells what the run's story has gained, but for logs and what the commands tell themselves.
func (s *script) listen() {
	for ; s.heard < len(s.r.story.lines); s.heard++ {
		l := s.r.story.lines[s.heard]
		if text := s.worthTelling(l.text); text != "" {
			s.told = append(s.told, at(l.at)+text)
		}
	}
}

// worthTelling is what to tell of a line of the run's story; empty: nothing. Of roles, who leads, and who does no more.
func (s *script) worthTelling(text string) string {
	for name, a := range s.actors {
		if w := a.watcher; w != nil {
			if told, is := strings.CutPrefix(text, fmt.Sprintf("watcher %d is told by ", w.id)); is {
				return name + " is told by " + told
			}
		}
	}
	who, _, _ := strings.Cut(text, " ")
	switch {
	case strings.HasPrefix(text, "op "), strings.HasPrefix(text, "watcher "), strings.Contains(text, " logs: "), strings.Contains(text, " is candidate in "):
		return ""
	case strings.Contains(text, " is leader in "):
		s.leads[who] = true
		text, _, _ = strings.Cut(text, ", leader ")
	case strings.Contains(text, " is follower in "):
		if !s.leads[who] {
			return ""
		}
		delete(s.leads, who)
		return who + " leads no more"
	case strings.Contains(text, " starts, life "):
		delete(s.leads, who)
	}
	if most := 160; len(text) > most {
		text = text[:most] + "…"
	}
	return text
}

// until lets time go on until something holds.
func (s *script) until(what string, holds func() bool) {
	s.t.Helper()
	if !s.r.advance(s.r.world.Now()+time.Minute, holds) {
		s.mustHold()
		s.t.Fatalf("within a minute, not: %s\n%s", what, s.r.story.tail(40))
	}
}

func (s *script) cluster(c command) {
	s.end() // of the story before
	setup := Setup{Seed: 1, Members: 3, Patience: 10 * time.Second, OpsMost: 1 << 20,
		Fair:      world.Weather{DelayLeast: time.Millisecond, DelayMost: time.Millisecond, DelayTail: time.Millisecond, BulkBytesPerSecond: 10 << 20},
		DiskLeast: time.Millisecond, DiskMost: time.Millisecond,
		Node: node.Config{TickInterval: 100 * time.Millisecond, ElectionTicks: 10, SegmentBytes: 64 << 10, SnapshotBytes: 1 << 20, ChunkBytes: 4 << 10,
			CatchUpEntries: 5000, RequestTimeout: 5 * time.Second, LeaseCheckpointInterval: 2 * time.Second}}
	late := make(map[string]bool)
	var entries int
	for _, a := range c.options {
		switch a.Key {
		case "members":
			a.Scan(s.t, 0, &setup.Members)
		case "late":
			for _, name := range a.Vals {
				late[name] = true
			}
		case "snapshot":
			a.Scan(s.t, 0, &entries)
			setup.Node.SnapshotEntries = uint64(entries)
		case "catch-up":
			a.Scan(s.t, 0, &entries)
			setup.Node.CatchUpEntries = uint64(entries)
		case "segment":
			a.Scan(s.t, 0, &setup.Node.SegmentBytes)
		case "checkpoint":
			setup.Node.LeaseCheckpointInterval = c.duration(a.Vals[0])
		default:
			s.t.Fatalf("unknown option %s", a.Key)
		}
	}
	setup.TightDisks = len(c.words) > 0 && c.word(0) == "tight"
	setup.Drift = make([]int64, setup.Members)
	s.r, s.actors, s.leads = newRunOf(setup, nil), make(map[string]*actor), make(map[string]bool)
	rand.Reader = ranks{s.r}
	s.r.story.telling = true
	s.r.healed = true // nothing breaks by chance
	s.r.addSeats()
	for _, x := range s.r.seats {
		if !late[x.name] {
			x.boot(false)
		}
	}
	s.heard, s.clients, s.cut = len(s.r.story.lines), nil, nil
}

// ranks is what raft draws election timeouts from: the later a member comes in the order, the longer it waits before it asks for votes.
type ranks struct{ r *Run }

// Read implements io.Reader.
func (k ranks) Read(p []byte) (int, error) {
	rank := 0
	if h := k.r.world.Acting(); h != nil {
		rank = h.Index() * (9 / max(1, len(k.r.seats)-1))
	}
	for i := range p {
		p[i] = byte(rank)
	}
	return len(p), nil
}

// show tells a line for each member.
func (s *script) show() {
	for _, x := range s.r.seats {
		switch {
		case x.now == nil && x.lives == 0:
			s.told = append(s.told, x.name+" has not started yet")
			continue
		case x.now == nil:
			s.told = append(s.told, x.name+" is down")
			continue
		}
		st := x.now.member.Status()
		v := x.now.member.AcquireView()
		line := fmt.Sprintf("%s %v, term %d, leader %s, applied %d, revision %d", x.name, st.Role, st.Term, s.r.nameOf(st.Leader), st.Applied, v.Revision())
		v.Release()
		if st.SnapshotIndex > 0 {
			line += fmt.Sprintf(", snapshot of entry %d", st.SnapshotIndex)
		}
		if x.host.Paused() {
			line += ", paused"
		}
		s.told = append(s.told, line)
	}
}

// follows says whether all who live and can be reached follow one leader; one of that name, if it is not empty.
func (s *script) follows(name string) bool {
	l := s.r.leader()
	if l == nil || name != "" && l.name != name {
		return false
	}
	for _, x := range s.r.seats {
		if x.now == nil || x.host.Paused() || s.isCut(l, x) {
			continue
		}
		if st := x.now.member.Status(); st.Leader != l.peer.ID || st.Applied < l.now.member.Status().Committed {
			return false
		}
	}
	return l.now.member.Status().Applied > 0
}

func (s *script) isCut(a, b *seat) bool {
	for _, c := range s.cut {
		if c == [2]*seat{a, b} || c == [2]*seat{b, a} {
			return true
		}
	}
	return false
}
