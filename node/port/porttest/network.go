package porttest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine/format"
)

// Message is one that has arrived, or, with Formats, what a member was told that another one says of format versions.
type Message struct {
	From    port.MemberID
	Payload []byte
	Formats *port.Formats
}

// Stations are members 1 to n on a network under test, who know nobody yet.
type Stations struct {
	// Networks holds the ports of the members, that of member 1 first.
	Networks []port.Network
	// URLs returns where a member is.
	URLs func(id port.MemberID) []string
	// Arrived returns what has arrived at a member so far, and what it was told of format versions, in the order in which it heard of it.
	Arrived func(id port.MemberID) []Message
	// Advance lets a little time pass.
	Advance func()
}

// patience is how often a suite lets time pass before it gives up on something that must happen.
const patience = 10000

// TestNetwork holds a port.Network to its contract. join returns n members on a network that loses nothing for good: of a
// message that is sent again and again, one arrives.
func TestNetwork(t *testing.T, join func(t *testing.T, n int) Stations) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s Stations)
	}{
		{"MessagesArriveAsSent", messagesArrive},
		{"UnknownMembersAreLostMessages", unknownIsLost},
		{"NobodyIsHeardBeforeSetPeers", nobodyBefore},
		{"WhoIsLeftOutIsNotHeard", leftOut},
		{"WhoDoesNotReadWhatIsNeededIsNotHeard", outdated},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, join(t, 3)) })
	}
}

// introduce tells members who is in the cluster.
func (s Stations) introduce(members []port.MemberID, to ...port.MemberID) {
	var peers []port.Peer
	for _, id := range members {
		peers = append(peers, port.Peer{ID: id, URLs: s.URLs(id)})
	}
	for _, id := range to {
		s.Networks[id-1].SetPeers(peers)
	}
}

// arrived tells whether a payload has come from a member to another.
func (s Stations) arrived(from, to port.MemberID, payload []byte) bool {
	for _, m := range s.Arrived(to) {
		if m.From == from && m.Formats == nil && bytes.Equal(m.Payload, payload) {
			return true
		}
	}
	return false
}

// reach sends until the payload arrives.
func (s Stations) reach(t *testing.T, from, to port.MemberID, class port.Class, payload []byte) {
	t.Helper()
	for range patience {
		s.Networks[from-1].Send(to, class, bytes.Clone(payload))
		s.Advance()
		if s.arrived(from, to, payload) {
			return
		}
	}
	t.Fatalf("of %d messages of %d bytes and class %d from %d to %d none arrived", patience, len(payload), class, from, to)
}

var everybody = []port.MemberID{1, 2, 3}

func messagesArrive(t *testing.T, s Stations) {
	s.introduce(everybody, everybody...)
	sent := map[string]bool{}
	for _, from := range everybody {
		for _, to := range everybody {
			if from == to {
				continue
			}
			for class := port.Urgent; class <= port.Bulk; class++ {
				for _, n := range []int{0, 1, 100_000} {
					payload := append(fmt.Appendf(nil, "%d to %d, class %d, %d bytes", from, to, class, n), make([]byte, n)...)
					sent[string(payload)] = true
					s.reach(t, from, to, class, payload)
				}
			}
		}
	}
	for _, to := range everybody {
		for _, m := range s.Arrived(to) {
			if m.Formats != nil {
				continue
			}
			if !sent[string(m.Payload)] || !bytes.HasPrefix(m.Payload, fmt.Appendf(nil, "%d to %d,", m.From, to)) {
				t.Errorf("%.40q came to %d from %d, which never sent it there", m.Payload, to, m.From)
			}
		}
	}
}

func unknownIsLost(t *testing.T, s Stations) {
	s.introduce(everybody, everybody...)
	s.Networks[0].Send(99, port.Normal, []byte("to nobody"))
	s.Networks[0].Send(0, port.Normal, []byte("to nobody"))
	s.reach(t, 1, 2, port.Normal, []byte("to somebody"))
	for _, id := range everybody {
		for _, from := range everybody {
			if s.arrived(from, id, []byte("to nobody")) {
				t.Errorf("a message to nobody came to %d", id)
			}
		}
	}
}

func nobodyBefore(t *testing.T, s Stations) {
	s.introduce(everybody, 1, 3)
	for range 20 {
		s.Networks[0].Send(2, port.Urgent, []byte("early"))
		s.Advance()
	}
	if s.arrived(1, 2, []byte("early")) {
		t.Error("a member that knows nobody was delivered a message")
	}
	s.reach(t, 1, 3, port.Urgent, []byte("in time"))
	s.introduce(everybody, 2)
	s.reach(t, 1, 2, port.Urgent, []byte("in time"))
}

// leftOut leaves member 3 out of the list of member 1 alone: neither hears the other, and 2 goes on with both.
func leftOut(t *testing.T, s Stations) {
	s.introduce(everybody, everybody...)
	s.reach(t, 1, 3, port.Normal, []byte("before"))
	s.reach(t, 3, 1, port.Normal, []byte("before"))
	s.introduce([]port.MemberID{1, 2}, 1)
	for i := range 20 {
		s.Networks[0].Send(3, port.Normal, []byte("left out"))
		s.Networks[2].Send(1, port.Normal, []byte("left out"))
		note := fmt.Appendf(nil, "note %d", i)
		s.reach(t, 1, 2, port.Normal, note)
		s.reach(t, 2, 3, port.Normal, note)
		s.reach(t, 3, 2, port.Normal, note)
	}
	if s.arrived(1, 3, []byte("left out")) {
		t.Error("member 1 sent to one that it was told is no peer")
	}
	if s.arrived(3, 1, []byte("left out")) {
		t.Error("member 1 listened to one that it was told is no peer")
	}
	s.introduce(everybody, 1)
	s.reach(t, 1, 3, port.Normal, []byte("after"))
	s.reach(t, 3, 1, port.Normal, []byte("after"))
}

var (
	older   = port.Formats{Reads: format.Range{Oldest: 1, Newest: 1}, Needs: 1}
	newer   = port.Formats{Reads: format.Range{Oldest: 1, Newest: 2}, Needs: 1}
	goneOn  = port.Formats{Reads: format.Range{Oldest: 1, Newest: 2}, Needs: 2}
	formats = []port.Formats{newer, newer, older}
)

// outdated has member 1 go on to a format version that member 3 does not read: neither hears the other, and 2 goes on with both. Then 3 is upgraded.
func outdated(t *testing.T, s Stations) {
	for i, f := range formats {
		s.Networks[i].SetFormats(f)
	}
	s.introduce(everybody, everybody...)
	for _, from := range everybody {
		for _, to := range everybody {
			if from != to {
				s.reach(t, from, to, port.Normal, []byte("before"))
				s.checkTold(t, from, to, []byte("before"), formats[from-1])
			}
		}
	}
	s.Networks[0].SetFormats(goneOn)
	for i := range 20 {
		s.Networks[0].Send(3, port.Normal, []byte("outdated"))
		s.Networks[2].Send(1, port.Normal, []byte("outdated"))
		note := fmt.Appendf(nil, "note %d", i)
		s.reach(t, 1, 2, port.Normal, note)
		s.reach(t, 2, 1, port.Normal, note)
		s.reach(t, 2, 3, port.Normal, note)
		s.reach(t, 3, 2, port.Normal, note)
	}
	if s.arrived(1, 3, []byte("outdated")) {
		t.Error("member 1 sent to one that does not read what it needs")
	}
	if s.arrived(3, 1, []byte("outdated")) {
		t.Error("member 1 listened to one that does not read what it needs")
	}
	s.awaitTold(t, 1, 3, goneOn)
	s.Networks[2].SetFormats(newer)
	for _, p := range [][2]port.MemberID{{1, 3}, {3, 1}} {
		s.reach(t, p[0], p[1], port.Normal, []byte("after"))
	}
	s.checkTold(t, 3, 1, []byte("after"), newer)
}

// checkTold checks what a member was told last of another one's format versions before it heard a payload from it.
func (s Stations) checkTold(t *testing.T, from, to port.MemberID, payload []byte, want port.Formats) {
	t.Helper()
	var told *port.Formats
	for _, m := range s.Arrived(to) {
		switch {
		case m.From != from:
		case m.Formats != nil:
			told = m.Formats
		case bytes.Equal(m.Payload, payload):
			if told == nil || *told != want {
				t.Errorf("before %d heard %q from %d it was told %+v, want %+v", to, payload, from, told, want)
			}
			return
		}
	}
}

// awaitTold lets time pass until a member was told of another one's format versions.
func (s Stations) awaitTold(t *testing.T, from, to port.MemberID, want port.Formats) {
	t.Helper()
	for range patience {
		for _, m := range s.Arrived(to) {
			if m.From == from && m.Formats != nil && *m.Formats == want {
				return
			}
		}
		s.Advance()
	}
	t.Fatalf("%d was not told that %d says %+v", to, from, want)
}
