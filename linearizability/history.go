// Package linearizability holds what happened in a run, and what its clients saw of it. The folders beside it hold detcd's promises, one
// family each, one promise a file: what clients saw must agree with what happened.
//
// What happened is the committed log: see Truth. What clients saw of their requests is a History; watches, leases, locks and elections have
// records of their own, each in the folder of its promises. Package model says what a request means.
//
//	requests   reads and writes: linearizability, revisions
//	watches    watches
//	leases     leases: none ends early, none late
//	locks      locks and elections
//	replicas   what members say of themselves while a run goes on: equal states, nothing lost
//
// All of it knows the API's types and nothing of the members.
//
// Concurrency: checkers are used by one caller at a time. Only porcupine starts goroutines of its own, and ends them.
package linearizability

import (
	"bytes"
	"fmt"
	"math"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// Outcome is what a client knows of its request.
type Outcome uint8

const (
	// Unknown requests may have happened, may happen yet, or never will.
	Unknown Outcome = iota
	// Answered requests happened.
	Answered
	// Refused requests certainly had no effect.
	Refused
)

func (o Outcome) String() string { return [...]string{"unknown", "answered", "refused"}[o] }

// Never is the Return of a request that was not answered.
const Never = math.MaxUint64

// Operation is one request of one client. Call and Return number events in the order in which they happened; they are not times.
type Operation struct {
	Client       int
	Call, Return uint64
	Request      proto.Message // the API's request
	Response     proto.Message // with Answered
	Err          error
	Outcome      Outcome
	// Index and Position say where in the log the member that answered says the request took effect: a write's entry and place in it;
	// for a read, Index is the last entry that the state it read had applied. Index 0: the member did not get that far.
	Index    uint64
	Position uint32
	// Member answered, in the run of it that Incarnation numbers.
	Member, Incarnation uint64
}

// History is all requests of a run, in the order of their calls.
type History []Operation

// Applied is one request in the committed log.
type Applied struct {
	Index    uint64
	Position uint32
	Request  *pb.InternalRaftRequest
}

// Violation is a promise that was broken.
type Violation struct {
	Promise string
	Story   string
	Ops     []int // in the history
}

func (v *Violation) Error() string { return v.Promise + ": " + v.Story }

// Broken makes a Violation.
func Broken(promise string, ops []int, format string, args ...any) *Violation {
	return &Violation{Promise: promise, Story: fmt.Sprintf(format, args...), Ops: ops}
}

// Text is a message's content. Protobuf varies the spaces in its own text from build to build; here they are always the same.
func Text(m proto.Message) string { return strings.Join(strings.Fields(fmt.Sprint(m)), " ") }

// InSpan says whether a key is in a range, as the API has it: [from, end); without an end it is from alone, and the end "\x00" is none.
func InSpan(key, from, end []byte) bool {
	switch {
	case len(end) == 0:
		return bytes.Equal(key, from)
	case len(end) == 1 && end[0] == 0:
		return bytes.Compare(key, from) >= 0
	}
	return bytes.Compare(key, from) >= 0 && bytes.Compare(key, end) < 0
}
