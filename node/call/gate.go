package call

import (
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/statemachine"
)

// Caller is who makes a call. The zero value is nobody: while authentication is off, everybody is nobody.
type Caller struct {
	User string
	// AuthRevision is that of the users and roles when the caller proved who it is.
	AuthRevision uint64
	// RequiresLeader says that the client wants no answer from a member that knows of no leader.
	RequiresLeader bool
	// Gone says that the client waits no longer, as the call comes: ErrClientGone or ErrClientLate. Nil: it waits.
	Gone error
	// known: it is one that has passed the gate already.
	known bool
}

// inside is the caller of the calls that a call makes on its way. The client's condition was checked as the first one entered, and who the caller is, too.
func (c Caller) inside() Caller {
	c.RequiresLeader, c.Gone, c.known = false, nil, true
	return c
}

// Local is what a call can have of its member at once. Any goroutine may call it, where the member is not within its turns.
type Local interface {
	// AcquireView returns a pinned view of the newest state at hand, which may be old. The caller releases it.
	AcquireView() *statemachine.View
	// Status returns what the member said of itself last.
	Status() node.Status
}

// Gate is where every call of the API enters, whatever it came through: gRPC, JSON, the services for locks and elections, or a simulated client. It
// decides, in one order, whether the call may go on. There are three kinds of calls, and each kind takes the same steps:
//
//   - a Unary is one request and one answer (Pending);
//   - a call that waits for others begins as a function of its own: Lock, Campaign, Observe and their like. The requests that it makes on its way are
//     Unary calls, with the same caller;
//   - a Stream is admitted before its first message (Open). What its messages ask for is a Unary where it needs more than a view.
//
// The steps, and why they come in this order:
//
//  1. The client's condition (requiresLeader). It comes with the call, not with the request: a stream has no request yet. etcd looks at it first, too.
//  2. Shape (Unary.Begin): a request that no member would take is refused before anything is looked up for it, and certainly had no effect.
//     Where the client waits no longer (Caller.Gone), the call ends here, too.
//  3. Who (Authenticate): what follows may depend on it, and costs more.
//  4. What this member can do now (able, overQuota). A learner has no say in the cluster, so it serves what it knows itself. The quota comes after that, as a
//     learner raises no alarm. Two refusals are not the gate's: the member counts what waits in it, and answers "too many requests" as a request reaches it;
//     and what is stored while an alarm is up is refused at its place in the log, where all members see the same alarms (statemachine/alarm.go).
//  5. May the caller (Authorize): it may have to read the request and a view. What goes through the log is to be judged again there, as rights may
//     have changed on the way.
//  6. The way (Step, Need): through the log, by a linearized read, by asking the leader, or from what is at hand.
//  7. The answer (Unary.Finish), with its header: made last, from the state that the way has led to.
//
// A Gate must not be changed once calls pass it.
type Gate struct {
	Limits Limits
	// Log is told when the quota is used up. Nil: nobody is.
	Log port.Logger
	// Entered is told of every call as it comes, before anything is decided on it. Nil: nobody is.
	Entered func(who Caller, method string)
	// Authenticate says who the caller is. Nil: nobody, whoever it is.
	Authenticate func(who Caller, at Local) (Caller, error)
	// Authorize refuses what the caller may not do; request is nil where a stream opens. Nil: everybody may do everything.
	Authorize func(who Caller, at Local, method string, request any) error
}

// enter is the first step.
func (g *Gate) enter(who Caller, at Local, method string) error {
	if g.Entered != nil {
		g.Entered(who, method)
	}
	if who.RequiresLeader && at.Status().Leader == 0 {
		return rpctypes.ErrGRPCNoLeader
	}
	return nil
}

// know is the third step.
func (g *Gate) know(who *Caller, at Local) (err error) {
	if g.Authenticate != nil && !who.known {
		*who, err = g.Authenticate(*who, at)
	}
	return err
}

// able is the fourth step, for a call that needs more than a learner has.
func (g *Gate) able(s *node.Status) error {
	if s.Learner {
		return rpctypes.ErrGRPCNotSupportedForLearner
	}
	return nil
}

// may is the fifth step.
func (g *Gate) may(who Caller, at Local, method string, request any) error {
	if g.Authorize != nil {
		return g.Authorize(who, at, method, request)
	}
	return nil
}

// pass is steps three to five for a call that is no Unary. It returns the caller of the calls that this one makes on its way.
func (g *Gate) pass(who Caller, at Local, method string, request any) (Caller, error) {
	if err := g.know(&who, at); err != nil {
		return who, err
	}
	s := at.Status()
	if err := g.able(&s); err != nil {
		return who, err
	}
	return who.inside(), g.may(who, at, method, request)
}

// admit takes a call that waits for others through the gate. What its request may look like, those calls judge that it makes on its way. It returns the caller of these.
func (g *Gate) admit(who Caller, at Local, method string, request any) (Caller, error) {
	if err := g.enter(who, at, method); err != nil {
		return who, err
	}
	return g.pass(who, at, method, request)
}

// Stream is a kind of stream that goes on for as long as its client likes.
type Stream struct {
	// Method is its full name in gRPC.
	Method string
	// Refused is with what each ends at once; nil: it goes on.
	Refused error
}

// Open admits a stream. It returns the caller of what the stream's messages ask for.
func (g *Gate) Open(who Caller, at Local, s *Stream) (Caller, error) {
	who, err := g.admit(who, at, s.Method, nil)
	if err == nil {
		err = s.Refused
	}
	return who, err
}

// The end of a client's patience, as whoever waits for a call reports it (Result.Err). What the client is told depends on what was waited for.
var (
	ErrClientGone = errors.New("the client has cancelled its call")
	ErrClientLate = errors.New("the client's deadline has passed")
)

// Impatient is what a client is told that waited no longer; other errors are told as they are. Where the log was waited for, etcd has errors of its own: nobody
// knows whether the request was applied.
func Impatient(err error, way Way) error {
	gone, late := errors.Is(err, ErrClientGone), errors.Is(err, ErrClientLate)
	switch {
	case gone && way == Proposed:
		return rpctypes.ErrGRPCCanceled
	case late && way == Proposed:
		return rpctypes.ErrGRPCTimeout
	case gone:
		return status.Error(codes.Canceled, "context canceled")
	case late:
		return status.Error(codes.DeadlineExceeded, "context deadline exceeded")
	}
	return err
}

// ImpatientForOthers is Impatient for a call that waits for other clients. The client's clock and the member's run beside each other there: whichever is first, it is
// the same word.
func ImpatientForOthers(err error) error {
	if errors.Is(err, ErrClientLate) {
		return Impatient(err, Linearized)
	}
	return Impatient(err, Proposed)
}
