package sim

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/sim/prng"
	"github.com/detcd/detcd/statemachine"
	"github.com/detcd/detcd/statemachine/format"
)

// build is the software that a seat's members run: which format versions it reads.
type build struct {
	known format.Version // the newest; 0: all
	// stepped: it is an older one than the seat had before. Such a member may find that its cluster has gone on meanwhile.
	stepped bool
}

// pickMixed has some clusters begin with members of two builds, of which the older one reads one format version less.
func (r *Run) pickMixed(force bool) {
	chance := prng.New(r.setup.Seed, "mixed")
	if mixed := chance.Permille(250); !mixed && !force || len(r.seats) < 2 || format.Newest == format.Oldest {
		return
	}
	r.mixed = true
	for _, s := range r.seats {
		if chance.Permille(700) {
			s.build.known = format.Newest - 1
			r.story.say("%s is of the older build", s.name)
		}
	}
}

// upgrades start members with the other build, one at a time: as a rule with the newer one, now and then with the older one again.
func (r *Run) upgrades() {
	if !r.mixed {
		return
	}
	r.addFault("upgrade", r.setup.Trouble/12, func(f *fault) {
		n, back := f.chance.Intn(len(r.seats)), f.chance.Permille(300)
		s := r.seats[n]
		if older := s.build.known != 0; s.sound() && older != back {
			s.change(back)
			s.crash(false)
			s.bootSoon()
		}
	}, r.upgradeAll)
}

// upgradeAll ends the trouble with builds: in most runs all members are of the newer one then.
func (r *Run) upgradeAll() {
	if r.world.Stream("upgrade all").Permille(300) {
		return
	}
	for _, s := range r.seats {
		if s.build.known != 0 {
			s.change(false)
			s.crash(false)
		}
	}
}

// change gives the seat another build, for its next start.
func (s *seat) change(back bool) {
	if back {
		s.run.counts.SteppedBack++
		s.build = build{known: format.Newest - 1, stepped: true}
		s.run.story.say("%s steps back to the older build", s.name)
		return
	}
	s.run.counts.Upgraded++
	s.build = build{}
	s.run.story.say("%s is upgraded", s.name)
}

// tooOld says whether a member may end like this: it was started with an older build than before, and its cluster has gone on. Its operator starts the newer
// one again.
func (s *seat) tooOld(err error) bool {
	if !errors.Is(err, node.ErrOutdated) || !s.build.stepped {
		return false
	}
	s.run.counts.TooOld++
	s.change(false)
	return true
}

// reads holds a message to the promise that nobody is sent what it can't read.
func (s *seat) reads(payload []byte) {
	if s.build.known == 0 {
		return
	}
	for _, data := range entriesIn(payload) {
		if n := statemachine.Needs(data); n > s.build.known {
			s.run.fail(&Failure{Promise: "nobody is sent what it can't read",
				Story: fmt.Sprintf("%s reads up to format version %d, and is sent a %s message with an entry of version %d", s.name, s.build.known, node.MessageKind(payload), n)})
		}
	}
}

// entriesIn returns what a message has of the log's entries, or is to become one.
func entriesIn(payload []byte) (entries [][]byte) {
	switch node.MessageKind(payload) {
	case "forward":
		return [][]byte{payload[1:]}
	case "raft":
		msg := &raftpb.Message{}
		if proto.Unmarshal(payload[1:], msg) != nil || msg.GetType() != raftpb.MsgApp {
			return nil
		}
		for _, e := range msg.GetEntries() {
			if e.GetType() == raftpb.EntryNormal {
				entries = append(entries, e.GetData())
			}
		}
	}
	return entries
}

// raised says whether the cluster's format version is the newest that all members read. Nobody knows that of members that are away.
func (r *Run) raised() bool {
	present := r.present()
	if len(present) < len(r.seats) {
		return true
	}
	to := format.Newest
	for _, s := range r.seats {
		if s.build.known != 0 {
			to = min(to, s.build.known)
		}
	}
	for _, s := range present {
		if s.now == nil || s.now.member.Status().Format < to {
			return false
		}
	}
	return true
}
