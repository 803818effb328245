// Package port declares everything a member touches outside itself: time, the network, a disk, and a way to run
// blocking work elsewhere. netio implements the ports for the real world, sim for the simulated one; no other door
// leads out of a member.
//
// Concurrency: a member is called by one caller at a time (a turn). Every callback that a port promises is made in a
// turn of that member, never from inside the call that asked for it.
package port

import (
	"errors"
	"time"

	"github.com/detcd/detcd/statemachine/format"
)

// MemberID names a member of the cluster; it is etcd's member id and raft's node id. Zero is nobody.
type MemberID uint64

// Instant is a point on one member's monotonic clock, in nanoseconds since an origin of that clock's own choosing. Instants of
// different members, or of two runs of one member, can't be compared.
type Instant int64

// Add returns the instant d after i.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d) }

// Sub returns the time from o to i.
func (i Instant) Sub(o Instant) time.Duration { return time.Duration(i - o) }

// Clock is the time, and a call back later.
type Clock interface {
	// Now returns the time of the current turn. It does not block.
	Now() Instant
	// After has fn called in a turn of its own once d has passed, or a little later. It can't be cancelled: fn must
	// check whether it is still wanted. It does not block.
	After(d time.Duration, fn func())
}

// Class orders messages that wait for one and the same peer.
type Class uint8

const (
	// Urgent messages are small and keep the cluster alive (heartbeats, votes, acknowledgements): they overtake others.
	Urgent Class = iota
	// Normal messages carry log entries and forwarded requests.
	Normal
	// Bulk messages carry snapshot chunks: everything else goes before them.
	Bulk
)

// MaxMessageBytes bounds one message given to Network.Send.
const MaxMessageBytes = 512 << 20

// Network sends messages to other members, best effort.
type Network interface {
	// Send sends one message to a member. It may be lost, delayed, repeated or overtaken. The payload belongs to the network
	// from this call on: neither side changes it any more. Send does not block and reports no error; an unknown or unreachable
	// peer is a lost message.
	Send(to MemberID, class Class, payload []byte)
	// SetPeers tells the network which members there are and where (peer URLs), each time that changes. Members that are not
	// in the list are no longer sent to nor listened to. It does not block.
	SetPeers(peers []Peer)
	// SetFormats tells the network what this member says of format versions when it greets another, each time that changes. A member that does not
	// read f.Needs is neither sent to nor listened to from this call on. What others say is told to this member (node.Member.Greeted) before
	// anything that they have sent afterwards. It does not block.
	SetFormats(f Formats)
}

// Formats is what a member says of format versions.
type Formats struct {
	// Reads are the versions that it reads; zero: it does not say, as members of detcd 0.1.0 do not.
	Reads format.Range
	// Needs is the newest version that anything may have which it sends: whoever hears it has to read that. Zero: it does not say.
	Needs format.Version
}

// Peer is a member as the network sees it.
type Peer struct {
	ID   MemberID
	URLs []string
}

// Disk is the files of one directory. Its calls block, so they are made in a lane, or while a member is being opened.
// Names are plain file names without separators.
type Disk interface {
	// Create makes a new file of size zero bytes of content preallocated (reads as zeroes), replacing none: it is an error
	// (ErrExist) if the name is taken. The file's name is durable only after SyncDir, its content and size after File.Sync.
	Create(name string, size int64) (File, error)
	// Open opens an existing file for reading and writing; ErrNotExist when there is none.
	Open(name string) (File, error)
	// Rename gives a file a new name, replacing a file that has it. Durable after SyncDir.
	Rename(from, to string) error
	// Remove removes a file. Durable after SyncDir.
	Remove(name string) error
	// List returns the names of all files, sorted.
	List() ([]string, error)
	// SyncDir makes all creations, renames and removals so far durable.
	SyncDir() error
	// Room returns how many more bytes this directory's files may take, as far as the disk knows: others may take them first. An error
	// says that the disk can't tell.
	Room() (int64, error)
}

// File is one open file of a Disk.
type File interface {
	// ReadAt is io.ReaderAt's.
	ReadAt(p []byte, off int64) (n int, err error)
	// WriteAt is io.WriterAt's; it grows the file where needed. What was written survives a crash for certain only after Sync;
	// before that any part of it may.
	WriteAt(p []byte, off int64) (n int, err error)
	// Size returns the size in bytes.
	Size() (int64, error)
	// Sync makes content and size durable. After a failed Sync nothing is known of what is on disk: the member must stop.
	Sync() error
	// Close closes the file. It makes nothing durable.
	Close() error
}

// Errors that every Disk returns (wrapped or not) for these conditions.
var (
	ErrNotExist = errors.New("file does not exist")
	ErrExist    = errors.New("file already exists")
	ErrNoSpace  = errors.New("no space left on device")
)

// Lane runs blocking work off the member, one piece after the other, in the order given.
type Lane interface {
	// Run has work run off the member's turns, after all work given to this lane before, and then done called in a turn.
	// work must touch nothing that the member's turns touch. Run does not block.
	Run(work func(), done func())
}

// Level is the weight of a log line.
type Level int8

// Levels of log lines, as etcd uses them. In normal work no line is Error.
const (
	Debug Level = iota - 1
	Info
	Warn
	Error
)

// Logger takes log lines. Keys and values alternate in kv; values are strings, integers, booleans, errors or Stringers.
type Logger interface {
	Log(level Level, msg string, kv ...any)
}
