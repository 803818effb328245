package node

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine"
	"github.com/detcd/detcd/statemachine/format"
)

// versions is the duty to have the cluster's format version raised (see package format), and to see to it that no member is sent what it can't read.
//
// Members say in their greetings which versions they read. A leader proposes to raise the version as soon as every member of the configuration has said
// that it reads the next one, and is there. One that is away holds the raise up: nobody knows with which build it comes back. The proposal is bound to the
// leader's term, as is what the leader has heard.
//
// From the moment at which the raise is in a member's log, that member has no dealings with one that can't read it: the network keeps them apart (see
// port.Network.SetFormats). So a member that steps back to an older build between its greeting and the raise is as one that is down, until it is
// started with a newer build again. It is told so, and ends.
type versions struct {
	idle
	*core
	raise func(to format.Version, done func(Applied, error))

	// greeted is what each member said last, in this run of this member. Looked up, never ranged over.
	greeted map[port.MemberID]port.Formats
	// asked is the version that this leader has asked for in its term; 0: none.
	asked format.Version
	// logged is the newest version that an entry of the log has which is not applied, or a received snapshot that is not installed yet, and loggedAt the
	// index of the first of that version; 0: none is newer than the cluster's.
	logged   format.Version
	loggedAt uint64
	// told is what the network was told last.
	told port.Formats
}

// begin forgets what was asked for as leader of another term. If that has come into the log, it is known from there.
func (v *versions) begin(uint64) {
	v.asked = 0
	v.tell()
}

// tick has the leader ask for a newer version, if all can read it.
func (v *versions) tick(port.Instant) {
	if !v.leads() || v.stopping || v.failed != nil || v.asked != 0 || !v.appliedOwnTerm() {
		return
	}
	to := v.readByAll()
	if to <= v.machine.Format() {
		return
	}
	v.asked = to
	v.tell() // before the proposal leaves
	v.log(port.Info, "every member reads the next format version: raising the cluster's", "from", int(v.machine.Format()), "to", int(to))
	v.raise(to, func(_ Applied, err error) {
		if err != nil {
			v.asked = 0
			v.tell() // if it is in the log, that is known from there
		}
	})
}

// readByAll is the newest version that all members of the configuration read; 0 where one of them was not heard of lately.
func (v *versions) readByAll() format.Version {
	to := v.config.KnownFormat
	v.raft.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		if port.MemberID(id) == v.config.ID {
			return
		}
		said, greeted := v.greeted[port.MemberID(id)]
		if !greeted || !pr.RecentActive {
			to = 0
			return
		}
		to = min(to, said.Reads.Known().Newest)
	})
	return to
}

// note looks at entries that come into the log.
func (v *versions) note(entries []*raftpb.Entry) {
	if len(entries) == 0 {
		return
	}
	if v.logged != 0 && entries[0].GetIndex() <= v.loggedAt {
		v.logged, v.loggedAt = 0, 0 // written over
	}
	for _, e := range entries {
		if e.GetType() != raftpb.EntryNormal {
			continue // a raise comes before anything else of its version
		}
		if n := statemachine.Needs(e.GetData()); n > max(v.machine.Format(), v.logged) {
			v.logged, v.loggedAt = n, e.GetIndex()
		}
	}
	v.tell()
}

// noteSnapshot looks at a snapshot that takes the place of the whole log.
func (v *versions) noteSnapshot(version format.Version, index uint64) {
	v.logged, v.loggedAt = 0, 0
	if version > v.machine.Format() {
		v.logged, v.loggedAt = version, index
	}
	v.tell()
}

// tell tells the network what this member reads, and what it may send.
func (v *versions) tell() {
	f := port.Formats{Reads: format.Range{Oldest: format.Oldest, Newest: v.config.KnownFormat}, Needs: max(v.machine.Format(), v.logged, v.asked)}
	if f != v.told {
		v.told = f
		v.ports.Network.SetFormats(f)
	}
}

// raised notes that the cluster's version has grown.
func (v *versions) raised() {
	v.log(port.Info, "the cluster's format version was raised; a build of detcd that does not read it can't take part any more", "to", int(v.machine.Format()))
	v.tell()
}

// Greeted takes what another member says of format versions. The network tells of it before anything else that comes from that member's run.
func (m *Member) Greeted(from port.MemberID, f port.Formats) {
	if m.failed != nil || m.writer.closing {
		return
	}
	v := &m.versions
	if v.greeted == nil {
		v.greeted = make(map[port.MemberID]port.Formats)
	}
	v.greeted[from] = f
	if f.Needs > m.config.KnownFormat {
		m.halt(m.outdatedError(fmt.Sprintf("what member %x sends", uint64(from)), f.Needs))
	}
}

// ErrOutdated is what errors.Is finds where a member can't go on because its build does not read the format version that its cluster has come to. Nothing on
// its disks is wrong.
var ErrOutdated = errors.New("this build is too old for the cluster")

// outdatedError says which format version was found, and what to do.
func (c *core) outdatedError(what string, version format.Version) error {
	return fmt.Errorf("%w: %s is of format version %d, and this build reads up to version %d. The cluster has gone on to that version, or is about to, since all of its members could read it, "+
		"and it does not go back. Start a newer build of detcd on this data directory; there is nothing wrong with it", ErrOutdated, what, version, c.config.KnownFormat)
}

// unreadable ends the member at a committed entry that it can't read: it is of a later format version. Any other reason is a bug.
func (m *Member) unreadable(index, term uint64, err error) {
	var newer *format.NewerError
	if !errors.As(err, &newer) {
		panic(fmt.Sprintf("node: committed entry %d of term %d can't be read: %v", index, term, err))
	}
	m.halt(m.outdatedError(fmt.Sprintf("entry %d", index), newer.Version))
}

// checkReadable refuses a log with entries of a version that this build does not read. Nothing was changed on the disk yet.
func (c *core) checkReadable(entries []*raftpb.Entry) error {
	for _, e := range entries {
		if n := statemachine.Needs(e.GetData()); e.GetType() == raftpb.EntryNormal && n > c.config.KnownFormat {
			return c.outdatedError(fmt.Sprintf("entry %d of the log", e.GetIndex()), n)
		}
	}
	return nil
}

// readableSnapshot makes the error of reading a snapshot that of this package, if all that is wrong is its version.
func (c *core) readableSnapshot(err error) error {
	var newer *format.NewerError
	if errors.As(err, &newer) {
		return c.outdatedError("the snapshot", newer.Version)
	}
	return err
}
