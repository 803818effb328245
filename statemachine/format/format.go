// Package format is the one table of format versions: of what a cluster's members share, and of what a member keeps for itself.
//
// Members share a log and a state, so they must all be able to read what one of them writes. How it is written is a matter of the cluster's
// format version, which is part of the replicated state. It begins with Oldest, only grows, and grows by an entry of the log: the leader
// proposes that entry when every member of the configuration can read the next version. So the members of a cluster can be upgraded one at a
// time, and any of them can step back to the build before as long as the version was not raised.
//
// A new version is a new constant, a new row of the table, and a new value of newest (newest.go). HACKING.md says what else.
package format

import "fmt"

// Version is a cluster's format version.
type Version uint8

// The versions. Each says what it allows.
const (
	// Batches is what detcd 0.1.0 writes and reads. An entry is a batch of requests, or a change of raft's configuration that names a founding
	// member in JSON. All of it is in statemachine/legacy.go, which goes when no build has to read this version any more.
	Batches Version = 1 + iota
	// Envelopes has everything that is proposed in one envelope: with its origin, whoever asked for it, a trace, and a body that is a batch, a
	// change of the membership or an act of administration. The state holds the format version itself.
	Envelopes
)

const (
	// Oldest is the oldest version that this build reads, and the one in which it founds a cluster.
	Oldest = Batches
	// Newest is the newest version that this build reads. A build with the tag detcd_oldformat knows one version less, for
	// clusters of two builds made by hand. Tests and the simulator use node.Config.KnownFormat for that.
	Newest = newest
)

// Parts are the formats that belong to a version. Each has the number of the version that brought it.
type Parts struct {
	Envelope Version // statemachine: envelope.go, and legacy.go for 1; an entry of the log begins with this number
	State    Version // statemachine: snapshot.go; the stream that a snapshot holds
}

// table has a row for each version.
var table = [...]Parts{
	Batches:   {Envelope: Batches, State: Batches},
	Envelopes: {Envelope: Envelopes, State: Envelopes},
}

// Parts returns the formats that belong to v, which must be a version that this package names.
func (v Version) Parts() Parts {
	if v < Oldest || int(v) >= len(table) {
		panic(fmt.Sprintf("format: there is no version %d", v))
	}
	return table[v]
}

// The formats that concern one member, or two of them, and not the cluster. A start reads what it finds, so these may change with a build. One
// who wants to step back needs a build that reads them all the same: a new number is written only once the cluster's version says so.
const (
	Log      = 1 // node/wal: the headers of segments
	Reach    = 1 // node/wal: the file that says how far the log reaches
	Snapshot = 1 // node/snapshot: the file around the stream

	// Wire and WireOldest are the newest and the oldest protocol between members that this build speaks: frames, kinds of messages. Two members
	// use the newest that both speak.
	Wire       = 1
	WireOldest = 1
)

// Range is what a build reads: all versions from Oldest to Newest. The zero Range is that of a build that says nothing of it: see Known.
type Range struct{ Oldest, Newest Version }

// Known returns r, or what detcd 0.1.0 reads, which says nothing of format versions.
func (r Range) Known() Range {
	if r.Newest == 0 {
		return Range{Batches, Batches}
	}
	return r
}

// Reads says whether v is one of the range.
func (r Range) Reads(v Version) bool { return r.Oldest <= v && v <= r.Newest }

// String is "format version 2", or "format versions 1 to 2".
func (r Range) String() string {
	if r.Oldest == r.Newest {
		return fmt.Sprintf("format version %d", r.Newest)
	}
	return fmt.Sprintf("format versions %d to %d", r.Oldest, r.Newest)
}

// NewerError is about something that is written in a version that the reader does not know.
type NewerError struct {
	What    string // that is written so
	Version Version
	Known   Version // the newest that the reader knows
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("%s is of format version %d; this build reads up to version %d", e.What, e.Version, e.Known)
}
