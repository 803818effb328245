package node

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal"
)

// ErrBootstrapped is what a founding member fails with whose disk is empty though another member knows it: its data was lost, or is elsewhere.
// It has acknowledged writes and given votes that it can't remember, so it must not take part as if it were new.
var ErrBootstrapped = errors.New("has already been bootstrapped")

// newborn is a founding member of a cluster of several that found its disk empty. It can't know whether it starts for the first time, or has
// lost what it once promised. So it has no part in the cluster, writes no entry and answers nothing of raft's, until it is decided how its log
// begins (ARCHITECTURE.md, "A member that starts with an empty disk"). It asks all other founding members, again and again, and
//
//   - ends where one of them knows it;
//   - founds the cluster with the others where so many never heard of an election that there can't have been a leader;
//   - else goes on where a leader vouches for it.
type newborn struct {
	*core
	writer *writer
	// alive is called when the log has begun: this member is no newborn any more.
	alive func(*raftpb.HardState)
	// told is the newest answer of each other founding member to a question of this run.
	told map[port.MemberID]newbornAnswer
	// written: somebody has told of entries beyond those that found the cluster. Once that is so, only a leader can let this member in.
	written bool
	// enough is since when a majority, this member included, allows to found the cluster; zero: it does not.
	enough port.Instant
	// asked: the first questions are out. ticks counts those since the member was opened.
	asked bool
	ticks int
	// deciding: the beginning of the log is being written.
	deciding bool
}

// firstTerm is raft's term of the entries that found a cluster. All later entries, and all elections, have higher terms.
const firstTerm = 1

// newbornWarnTimeouts is after how many election timeouts a newborn first says what it waits for; it says so again after twice that time, and so on.
const newbornWarnTimeouts = 5

// newNewborn makes a newborn. It begins to ask at the end of its first turn.
func newNewborn(c *core, w *writer, alive func(*raftpb.HardState)) *newborn {
	n := &newborn{core: c, writer: w, alive: alive, told: make(map[port.MemberID]newbornAnswer)}
	n.log(port.Info, "the disk is empty: asking the other members whether their cluster lives already", "members", len(n.config.Bootstrap))
	return n
}

// endTurn is the end of a newborn's turn.
func (n *newborn) endTurn() {
	if !n.asked {
		n.asked = true
		n.askAll()
	}
	n.decide()
	n.writer.start()
}

// tick asks again.
func (n *newborn) tick() {
	n.ticks++
	if n.deciding {
		return
	}
	n.askAll()
	if every := newbornWarnTimeouts * n.config.ElectionTicks; n.ticks%every == 0 && isPowerOfTwo(n.ticks/every) {
		n.log(port.Warn, "the disk is empty, and it is not clear yet whether this member is new: it waits "+n.awaitedAnswer(), "answers", len(n.told),
			"members", len(n.config.Bootstrap))
	}
}

func isPowerOfTwo(n int) bool { return n > 0 && n&(n-1) == 0 }

// awaitedAnswer says what a newborn waits for.
func (n *newborn) awaitedAnswer() string {
	if n.written {
		return "for a leader of the cluster, which lives already, to let it in"
	}
	return "for more of the other members to answer; are they running, and can they be reached?"
}

// askAll asks all other founding members.
func (n *newborn) askAll() {
	for _, p := range sortedPeers(n.config.Bootstrap) {
		n.ask(p.ID)
	}
}

func (n *newborn) ask(id port.MemberID) {
	if id != n.config.ID {
		n.ports.Network.Send(id, port.Urgent, newbornQuestion{life: n.config.Life}.encode())
	}
}

// heardFrom asks a member that has just asked: it is there to answer.
func (n *newborn) heardFrom(founder port.MemberID) {
	if _, told := n.told[founder]; !told && !n.deciding {
		n.ask(founder)
	}
}

// hear takes what another founding member says.
func (n *newborn) hear(from port.MemberID, payload []byte) error {
	a, err := decodeNewbornAnswer(payload)
	if err != nil {
		return err
	}
	if n.deciding || a.life != n.config.Life {
		return nil // late, or to a question of an earlier run
	}
	switch {
	case a.knows:
		n.refuse(from)
		return nil
	case a.vouched != 0:
		n.log(port.Info, "the cluster lives already, and does not know this member: it joins late", "leader", from, "term", a.term, "entry", a.vouched)
		n.begin(a.term, a.vouched)
		return nil
	}
	if _, told := n.told[from]; !told && a.written {
		n.log(port.Info, "the cluster lives already: waiting for its leader", "told-by", from)
	}
	n.told[from], n.written = a, n.written || a.written
	return nil
}

// refuse ends a member whose data was lost.
func (n *newborn) refuse(by port.MemberID) {
	n.halt(fmt.Errorf("member %x %w: its disk is empty, but member %x knows it as a member of cluster %x that has taken part. Its data is elsewhere, or lost, and "+
		"without it this member could go back on what it has promised to the others. Put its data directory back (mount the disk, look at --data-dir and "+
		"--wal-dir) and start it again. Where the data is lost: to remove the member and to add it as a new one, as with etcd, is not in this version yet; the "+
		"other members go on without it as long as they are a majority, and `detcdctl make-mirror` copies the keys to a new cluster",
		uint64(n.config.ID), ErrBootstrapped, uint64(by), n.config.ClusterID))
}

// decide founds the cluster if it is certain enough that there is none.
func (n *newborn) decide() {
	if n.deciding || n.written || n.stopping {
		return
	}
	size := len(n.config.Bootstrap)
	majority := size/2 + 1
	answered, untouched, term := 1, 1, uint64(firstTerm)
	for _, a := range n.config.Bootstrap {
		told, ok := n.told[a.ID]
		if !ok {
			continue
		}
		answered++
		if told.term <= firstTerm {
			untouched++
		}
		term = max(term, told.term)
	}
	// Those who have heard of an election, together with those who did not answer, must be too few to have elected anybody.
	if answered < majority || untouched <= size-majority {
		n.enough = 0
		return
	}
	if n.enough == 0 {
		n.enough = n.now()
	}
	// The others get some time: whoever is not there when the cluster is founded is let in by a leader, which takes longer.
	if answered < size && n.now().Sub(n.enough) < n.electionTimeout() {
		return
	}
	n.log(port.Info, "no member knows of a cluster: founding it", "answers", answered, "members", size)
	n.begin(term, 0)
}

// begin writes the beginning of the log: the entries that found the cluster, in the given term, in which this member gives no vote any more.
// vouched is the index of the entry by which a leader vouches for it; 0: it founds the cluster. From then on it is as any member that
// starts again with a short log.
func (n *newborn) begin(term, vouched uint64) {
	n.deciding = true
	entries, err := foundingEntries(n.config.Bootstrap)
	if err != nil {
		n.halt(err)
		return
	}
	hs := &raftpb.HardState{Term: &term, Vote: new(uint64), Commit: new(uint64(len(entries)))}
	if term > firstTerm {
		hs.Vote = new(uint64(n.config.ID))
	}
	batch := wal.Batch{Entries: entries, HardState: hs}
	if vouched > n.incarnation {
		// A number that no earlier life of this member can have reached, should it have forgotten any: what of theirs is still under way is
		// not taken for this one's.
		batch.Incarnation = vouched
		n.incarnation = vouched
	}
	n.writer.hardState = hs
	n.writer.note(entries)
	n.writer.queue = append(n.writer.queue, appendRequest{batch: batch, done: func() { n.alive(hs) }})
}

// foundingEntries are the first entries of the log, the same on every founding member: the changes that make the members those of the cluster.
func foundingEntries(members []Peer) ([]*raftpb.Entry, error) {
	peers := bootstrapPeers(members)
	entries := make([]*raftpb.Entry, len(peers))
	for i, p := range peers {
		data, err := proto.Marshal(&raftpb.ConfChange{Type: raftpb.ConfChangeAddNode.Enum(), NodeId: new(p.ID), Context: p.Context})
		if err != nil {
			return nil, fmt.Errorf("encode founding member %x: %w", p.ID, err)
		}
		entries[i] = &raftpb.Entry{Type: raftpb.EntryConfChange.Enum(), Term: new(uint64(firstTerm)), Index: new(uint64(i + 1)), Data: data}
	}
	return entries, nil
}
