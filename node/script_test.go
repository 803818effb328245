package node

import (
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal/crashdisk"
	"github.com/detcd/detcd/statemachine"
	"github.com/detcd/detcd/statemachine/format"
)

// TestScripts runs the protocol scripts in testdata: commands to the members of a small cluster, and below each what came of it. A change of what
// members do shows as a change of a story that a person can read. After one that is meant, `go test ./node -run TestScripts -rewrite`
// writes the answers anew; read the difference before you keep it.
//
// Commands. A member is named by its number; times are since the script began.
//
//	cluster members=3 [older=3] [down=3] [catch-up=ENTRIES] [snapshot=ENTRIES] [retain=BYTES] [segment=BYTES] [checkpoint=DURATION]
//	                     members listed as down are not started
//	elect 2              have this member lead, and wait until it does
//	put 1 KEY VALUE      ask member 1; wait for the answer. Likewise: delete 1 KEY, compact 1 REVISION, get 1 KEY (linearizable), peek 1 KEY
//	                     (serializable), grant 1 LEASE TTL, revoke 1 LEASE, renew 1 LEASE, time 1 LEASE. A put with lease=N attaches it.
//	fill 1 COUNT BYTES   ask member 1 for so many puts of values of that size, one after the other
//	begin put 1 KEY …    the same without waiting; what comes of it is told when it comes
//	run 3s               let time pass
//	cut 1, join 1        take a member off the network, and put it back
//	lose 1 2 append      lose messages of this kind from 1 to 2 from now on; lose none: none any more
//	pause 1, resume 1    a member does nothing; what comes to it waits
//	kill 1, start 1      end its process; start it again from its disk
//	power 1              end it by a loss of power: what was not synced is gone
//	wipe 1               end it and empty its disk; restore 1 puts the disk back that it had
//	upgrade 1, older 1   end it, and start it with the newest build, or with one that reads one format version less
//	versions             the format version of each member's state
//	stop 1               end it in good order
//	messages append,…    tell of messages of these kinds from now on; messages none: of none
//	status               a line for each member
//	leases 1             what this member has counted of leases, and how many deadlines it keeps
//	log 1                the committed entries that this member applied in this life
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			s := &script{t: t}
			datadriven.RunTest(t, file, func(sub *testing.T, d *datadriven.TestData) string {
				if s.c != nil {
					s.c.t = sub
				}
				return s.do(sub, d)
			})
		})
	}
}

// script is one script under way.
type script struct {
	t *testing.T // of the whole script
	c *cluster
	// begun is when the script's time began.
	begun port.Instant
	told  []string
	// tellOf are the kinds of messages to be told of; losses are what is lost.
	tellOf map[string]bool
	losses []loss
	// kept are the disks that members had before they were wiped.
	kept map[port.MemberID]*crashdisk.Disk
}

type loss struct {
	from, to port.MemberID
	kind     string
}

// say adds a line to what the present command is answered.
func (s *script) say(format string, args ...any) {
	at := ""
	if s.c != nil {
		at = fmt.Sprintf("%6dms  ", s.c.now.Sub(s.begun).Milliseconds())
	}
	s.told = append(s.told, at+fmt.Sprintf(format, args...))
}

// do carries out one command.
func (s *script) do(t *testing.T, d *datadriven.TestData) string {
	s.told = nil
	words := make([]string, 0, len(d.CmdArgs))
	for _, a := range d.CmdArgs {
		if len(a.Vals) == 0 {
			words = append(words, a.Key)
		}
	}
	if d.Cmd == "cluster" {
		s.cluster(t, d)
	} else if s.c == nil {
		d.Fatalf(t, "the script must begin with a cluster")
	} else {
		s.command(t, d, words)
	}
	if len(s.told) == 0 {
		return "ok"
	}
	return strings.Join(s.told, "\n") + "\n"
}

func (s *script) cluster(t *testing.T, d *datadriven.TestData) {
	n, catchUp, snapshot, retain, segment := 3, 0, 0, 0, 0
	checkpoint := ""
	down, older := make(map[port.MemberID]bool), make(map[port.MemberID]bool)
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "members":
			a.Scan(t, 0, &n)
		case "catch-up":
			a.Scan(t, 0, &catchUp)
		case "snapshot":
			a.Scan(t, 0, &snapshot)
		case "retain":
			a.Scan(t, 0, &retain)
		case "segment":
			a.Scan(t, 0, &segment)
		case "older":
			for _, id := range a.Vals {
				older[memberID(t, id)] = true
			}
		case "down":
			for _, id := range a.Vals {
				down[memberID(t, id)] = true
			}
		case "checkpoint":
			checkpoint = a.Vals[0]
		default:
			d.Fatalf(t, "unknown option %s", a.Key)
		}
	}
	s.c = newSeats(s.t, n, func(c *Config) {
		if catchUp != 0 {
			c.CatchUpEntries, c.CatchUpBytes = uint64(catchUp), 1
		}
		c.SnapshotEntries, c.RetainBytes = uint64(snapshot), int64(retain)
		if segment != 0 {
			c.SegmentBytes = int64(segment)
		}
		if checkpoint != "" {
			c.LeaseCheckpointInterval = duration(t, checkpoint)
		}
	})
	s.c.t, s.begun, s.kept = t, s.c.now, make(map[port.MemberID]*crashdisk.Disk)
	s.c.tell = func(m *seat, line string) { s.say("%d %s", m.id, line) }
	s.c.lose = s.passes
	for _, m := range s.c.seats {
		if older[m.id] {
			m.known = format.Newest - 1
		}
		if !down[m.id] {
			m.open()
		}
	}
}

// command carries out a command of a cluster that is there.
func (s *script) command(t *testing.T, d *datadriven.TestData, words []string) {
	c := s.c
	member := func(i int) *seat {
		if i >= len(words) {
			d.Fatalf(t, "%s wants a member", d.Cmd)
		}
		return c.seat(memberID(t, words[i]))
	}
	switch d.Cmd {
	case "elect":
		c.elect(member(0).id)
	case "run":
		c.run(duration(t, words[0]))
	case "begin":
		s.begin(t, d, words)
	case "fill":
		m := member(0)
		for i := range number(t, words[1]) {
			r := put(fmt.Sprint("filled", i), 0)
			r.Put.Value = make([]byte, number(t, words[2]))
			m.apply(r)
		}
	case "cut":
		member(0).cut = true
	case "join":
		member(0).cut = false
	case "lose":
		s.losses = nil
		if words[0] != "none" {
			s.losses = append(s.losses, loss{memberID(t, words[0]), memberID(t, words[1]), words[2]})
		}
	case "pause":
		member(0).paused = true
	case "resume":
		member(0).resume()
	case "kill":
		member(0).kill()
	case "power":
		m := member(0)
		m.kill()
		m.disk = m.disk.Crash(func(int) int { return 0 })
	case "wipe":
		m := member(0)
		s.kept[m.id] = m.wipe()
	case "restore":
		m := member(0)
		m.kill()
		m.disk = s.kept[m.id]
	case "start":
		m := member(0)
		m.entries = nil
		m.open()
	case "upgrade", "older":
		m := member(0)
		if m.known = 0; d.Cmd == "older" {
			m.known = format.Newest - 1
		}
		m.kill()
		m.entries = nil
		if err := m.tryOpen(); err != nil {
			s.say("%d can't start: %v", m.id, err)
		}
	case "versions":
		for _, m := range c.seats {
			if m.member == nil {
				s.told = append(s.told, fmt.Sprintf("%d is down", m.id))
				continue
			}
			s.told = append(s.told, fmt.Sprintf("%d is at format version %d and reads up to %d", m.id, m.member.machine.Format(), m.member.config.KnownFormat))
		}
	case "stop":
		m, done := member(0), false
		m.turn(func() { m.member.Stop(func() { done = true }) })
		c.until("the member has stopped", func() bool { return done })
		s.say("%d has stopped", m.id)
		m.kill()
	case "messages":
		s.tellOf = make(map[string]bool)
		for _, kind := range strings.Split(words[0], ",") {
			s.tellOf[kind] = true
		}
	case "status":
		s.status()
	case "leases":
		st := member(0).member.Status()
		n := st.Leases
		s.say("granted %d, renewed %d, revoked %d, of these expired %d; keeps the deadlines of %d", n.Granted, n.Renewed, n.Revoked, n.Expired, st.LeasesHeld)
	case "log":
		for _, e := range member(0).entries {
			s.told = append(s.told, fmt.Sprintf("%d/%d %s", e.index, e.term, e))
		}
	default:
		come := s.ask(t, d, d.Cmd, words)
		c.until("there is an answer", come)
	}
}

// begin asks without waiting.
func (s *script) begin(t *testing.T, d *datadriven.TestData, words []string) {
	if len(words) < 2 {
		d.Fatalf(t, "begin what?")
	}
	s.ask(t, d, words[0], words[1:])
}

// ask asks a member something; what comes of it is told when it comes. come says whether it has.
func (s *script) ask(t *testing.T, d *datadriven.TestData, what string, words []string) (come func() bool) {
	if len(words) == 0 {
		d.Fatalf(t, "%s whom?", what)
	}
	m, text := s.c.seat(memberID(t, words[0])), what+" "+strings.Join(words, " ")
	answered := false
	tell := func(format string, args ...any) {
		answered = true
		s.say("%s: %s", text, fmt.Sprintf(format, args...))
	}
	if r := request(t, d, what, words[1:]); r != nil {
		m.turn(func() { m.member.Propose(r, func(a Applied, err error) { tell("%s", appliedText(a, err)) }) })
	} else if !m.askView(t, what, words[1:], tell) && !m.askLeader(t, what, words[1:], tell) {
		d.Fatalf(t, "unknown command %s", what)
	}
	return func() bool { return answered }
}

// request is what a command proposes, nil if it does not.
func request(t *testing.T, d *datadriven.TestData, what string, words []string) *pb.InternalRaftRequest {
	switch what {
	case "put":
		r := put(words[0], 0)
		if len(words) > 1 {
			r.Put.Value = []byte(words[1])
		}
		if d.HasArg("lease") {
			d.ScanArgs(t, "lease", &r.Put.Lease)
		}
		return r
	case "delete":
		return &pb.InternalRaftRequest{DeleteRange: &pb.DeleteRangeRequest{Key: []byte(words[0])}}
	case "compact":
		return &pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: number(t, words[0])}}
	case "grant":
		return grant(number(t, words[0]), number(t, words[1]))
	case "revoke":
		return revoke(number(t, words[0]))
	}
	return nil
}

func appliedText(a Applied, err error) string {
	switch {
	case err != nil && a.Index == 0:
		return fmt.Sprintf("%v (it is not known whether it was applied)", err)
	case err != nil:
		return fmt.Sprintf("refused by entry %d: %v", a.Index, err)
	}
	h, ok := a.Response.(interface{ GetHeader() *pb.ResponseHeader })
	if !ok {
		return fmt.Sprintf("applied by entry %d", a.Index)
	}
	return fmt.Sprintf("applied by entry %d, revision %d", a.Index, h.GetHeader().GetRevision())
}

// askView reads a key.
func (s *seat) askView(t *testing.T, what string, words []string, tell func(string, ...any)) bool {
	read := func(v *statemachine.View, err error) {
		if err != nil {
			tell("%v", err)
			return
		}
		defer v.Release()
		r, err := v.Range(&pb.RangeRequest{Key: []byte(words[0])})
		switch {
		case err != nil:
			tell("%v", err)
		case r.Len() == 0:
			tell("none at revision %d", v.Revision())
		default:
			tell("%s at revision %d", r.KeyValue(0).GetValue(), v.Revision())
		}
	}
	switch what {
	case "get":
		s.turn(func() { s.member.Linearize(read) })
	case "peek":
		read(s.member.AcquireView(), nil)
	default:
		return false
	}
	return true
}

// askLeader asks about a lease.
func (s *seat) askLeader(t *testing.T, what string, words []string, tell func(string, ...any)) bool {
	switch what {
	case "renew":
		s.turn(func() {
			s.member.Renew(number(t, words[0]), func(ttl int64, err error) {
				if err != nil {
					tell("%v", err)
					return
				}
				tell("TTL %d", ttl)
			})
		})
	case "time":
		s.turn(func() {
			s.member.TimeToLive(number(t, words[0]), func(l LeaseTTL, err error) {
				if err != nil {
					tell("%v", err)
					return
				}
				tell("%d of %d s left, found: %v", l.Remaining, l.Granted, l.Found)
			})
		})
	default:
		return false
	}
	return true
}

// status tells a line for each member.
func (s *script) status() {
	for _, m := range s.c.seats {
		if m.member == nil {
			s.told = append(s.told, fmt.Sprintf("%d is down", m.id))
			continue
		}
		st := m.member.Status()
		leader := "no leader"
		if st.Leader != 0 {
			leader = fmt.Sprintf("leader %d", st.Leader)
		}
		line := fmt.Sprintf("%d %v, term %d, %s, committed %d, applied %d, revision %d", m.id, st.Role, st.Term, leader, st.Committed, st.Applied,
			m.member.served.Load().view.Revision())
		if st.SnapshotIndex > 0 {
			line += fmt.Sprintf(", snapshot of entry %d", st.SnapshotIndex)
		}
		if m.cut {
			line += ", cut off"
		}
		if m.paused {
			line += ", paused"
		}
		s.told = append(s.told, line)
	}
}

// passes is told of each message. It tells of those that the script asked for, and says whether one is lost.
func (s *script) passes(from, to port.MemberID, payload []byte) (lost bool) {
	kind, text := messageText(payload)
	for _, l := range s.losses {
		lost = lost || l.from == from && l.to == to && l.kind == kind
	}
	if s.tellOf[kind] {
		fate := ""
		if lost || s.c.seat(from).cut || s.c.seat(to).cut {
			fate = ", which is lost"
		}
		s.say("%d to %d: %s%s", from, to, text, fate)
	}
	return lost
}

// messageText returns the kind of a message as scripts name it, and what it says.
func messageText(payload []byte) (kind, text string) {
	msg := &raftpb.Message{}
	if payload[0] != kindRaft || proto.Unmarshal(payload[1:], msg) != nil {
		return MessageKind(payload), MessageKind(payload)
	}
	kind = strings.ToLower(strings.TrimPrefix(msg.GetType().String(), "Msg"))
	switch msg.GetType() {
	case raftpb.MsgApp:
		kind = "append"
		text = fmt.Sprintf("append after %d/%d", msg.GetIndex(), msg.GetLogTerm())
		if es := msg.GetEntries(); len(es) > 0 {
			text += fmt.Sprintf(" entries %d to %d", es[0].GetIndex(), es[len(es)-1].GetIndex())
		}
		text += fmt.Sprintf(", commit %d", msg.GetCommit())
	case raftpb.MsgAppResp:
		kind = "appended"
		if text = fmt.Sprintf("has entries to %d", msg.GetIndex()); msg.GetReject() {
			text = fmt.Sprintf("has no entry %d of that term; try %d", msg.GetIndex(), msg.GetRejectHint())
		}
	case raftpb.MsgVote, raftpb.MsgPreVote:
		text = fmt.Sprintf("%s in term %d? my log ends with %d/%d", kind, msg.GetTerm(), msg.GetIndex(), msg.GetLogTerm())
	case raftpb.MsgVoteResp, raftpb.MsgPreVoteResp:
		text = fmt.Sprintf("%s for term %d: %v", kind, msg.GetTerm(), !msg.GetReject())
	default:
		text = fmt.Sprintf("%s, term %d", kind, msg.GetTerm())
	}
	return kind, text
}

// String says what an entry asks for.
func (e entry) String() string {
	if e.batch == nil {
		return "of raft's"
	}
	if e.batch.Raise != 0 {
		return fmt.Sprintf("from %d: raise to format version %d", e.batch.Proposer, e.batch.Raise)
	}
	parts := make([]string, 0, len(e.batch.Requests))
	for _, r := range e.batch.Requests {
		parts = append(parts, requestText(r))
	}
	return fmt.Sprintf("from %d: %s", e.batch.Proposer, strings.Join(parts, "; "))
}

func requestText(r *pb.InternalRaftRequest) string {
	switch {
	case r.GetPut() != nil:
		return fmt.Sprintf("put %s", r.GetPut().GetKey())
	case r.GetDeleteRange() != nil:
		return fmt.Sprintf("delete %s", r.GetDeleteRange().GetKey())
	case r.GetCompaction() != nil:
		return fmt.Sprintf("compact %d", r.GetCompaction().GetRevision())
	case r.GetLeaseGrant() != nil:
		return fmt.Sprintf("grant %d for %d s", r.GetLeaseGrant().GetID(), r.GetLeaseGrant().GetTTL())
	case r.GetLeaseRevoke() != nil:
		return fmt.Sprintf("revoke %d", r.GetLeaseRevoke().GetID())
	case r.GetLeaseCheckpoint() != nil:
		rests := make([]string, 0, len(r.GetLeaseCheckpoint().GetCheckpoints()))
		for _, p := range r.GetLeaseCheckpoint().GetCheckpoints() {
			rests = append(rests, fmt.Sprintf("%d has %d s", p.GetID(), p.GetRemaining_TTL()))
		}
		sort.Strings(rests)
		return "checkpoint " + strings.Join(rests, ", ")
	case r.GetClusterVersionSet() != nil:
		return "cluster version " + r.GetClusterVersionSet().GetVer()
	}
	return "something else"
}

func memberID(t *testing.T, word string) port.MemberID { return port.MemberID(number(t, word)) }

func number(t *testing.T, word string) (n int64) {
	t.Helper()
	if _, err := fmt.Sscan(word, &n); err != nil {
		t.Fatalf("%q is no number", word)
	}
	return n
}

func duration(t *testing.T, word string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(word)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
