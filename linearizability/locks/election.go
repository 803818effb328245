package locks

import (
	"bytes"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/detcd/detcd/linearizability"
)

// ElectionKind is a method of the election service that answers once.
type ElectionKind uint8

// The methods.
const (
	Campaign ElectionKind = iota + 1
	Proclaim
	Resign
	Leader
)

func (k ElectionKind) String() string {
	return [...]string{"", "campaign", "proclaim", "resign", "leader"}[k]
}

// ElectionRecord is one call of the election service.
type ElectionRecord struct {
	Kind         ElectionKind
	Client       int
	Name         []byte
	Call, Return uint64 // stamps
	// Outcome is Refused where the answer was that the client does not lead (Proclaim), or that nobody does (Leader). It is Unknown for a call without an
	// answer, and for one that was refused for another reason: nothing is promised of these.
	Outcome linearizability.Outcome
	// Key and Revision name the leadership: of Campaign's answer, of Proclaim's and Resign's request.
	Key      []byte
	Revision int64
	Value    []byte           // proclaimed
	KV       *mvccpb.KeyValue // Leader's answer
}

// ObserveRecord is one Observe, as its client saw it.
type ObserveRecord struct {
	Client int
	Name   []byte
	Call   uint64
	Told   []LeaderTold
	Live   bool // the stream still stood when the run ended
}

// LeaderTold is one answer of Observe.
type LeaderTold struct {
	Stamp uint64
	KV    *mvccpb.KeyValue
}

// CheckElections holds elections to their promises. The leader is whoever has the oldest key under the election's name, so there is one at a time.
//
//   - A client that is told that it leads does so at some time between call and answer.
//   - The leader can proclaim, and nobody else.
//   - What is said of the leader is true at some time between call and answer.
//   - Observers are told of leaders and their values in order, of each once, and of nothing else.
func CheckElections(t *linearizability.Truth, calls []*ElectionRecord, observed []*ObserveRecord) *linearizability.Violation {
	queues := make(map[string]*queue)
	queueOf := func(name []byte) *queue {
		q := queues[string(name)]
		if q == nil {
			q = queueOf(t, name)
			queues[string(name)] = q
		}
		return q
	}
	for _, c := range calls {
		if story := c.untrue(queueOf(c.Name), t.Known(c.Call), t.Known(c.Return)); story != "" {
			return linearizability.Broken("election", nil, "%s: %s", c, story)
		}
	}
	for _, o := range observed {
		if story := o.untrue(t, queueOf(o.Name)); story != "" {
			return linearizability.Broken("election: observe", nil, "%s: %s", o, story)
		}
	}
	return nil
}

// CheckObserversCaughtUp holds the promise that every observer whose stream stands has been told of the last leader and its value. It is for the end of
// a run: the caller has waited long enough since the trouble was over.
func CheckObserversCaughtUp(t *linearizability.Truth, observed []*ObserveRecord) *linearizability.Violation {
	for _, o := range observed {
		q := queueOf(t, o.Name)
		n := len(q.reigns)
		if !o.Live || n == 0 || q.reigns[n-1].to != linearizability.Nowhere {
			continue
		}
		if want := q.reigns[n-1].kv; len(o.Told) == 0 || !proto.Equal(o.Told[len(o.Told)-1].KV, want) {
			return linearizability.Broken("election: observe", nil, "%s: it is not told of the last leader: %s", o, linearizability.Text(want))
		}
	}
	return nil
}

// untrue says what is wrong with an answer; empty if nothing is. The answer may be true of any state from one to another.
func (c *ElectionRecord) untrue(q *queue, from, to int) string {
	switch {
	case c.Outcome == linearizability.Unknown:
	case c.Kind == Campaign && c.Outcome == linearizability.Answered:
		if !q.reigned(c.Key, c.Revision, from, to) {
			return "its key did not lead at any time between call and answer"
		}
	case c.Kind == Proclaim && c.Outcome == linearizability.Answered:
		for _, r := range q.reigns {
			if r.from > from && r.from <= to && c.names(r.kv) && bytes.Equal(r.kv.GetValue(), c.Value) {
				return ""
			}
		}
		return "no leader's value became that between call and answer"
	case c.Kind == Proclaim && !q.absent(c.Key, c.Revision, from, to):
		return "it was refused, but its key was there all the time"
	case c.Kind == Resign && c.Outcome == linearizability.Answered && !q.absent(c.Key, c.Revision, from, to):
		return "its key was there all the time"
	case c.Kind == Leader && c.Outcome == linearizability.Answered:
		for _, r := range q.reigns {
			if r.within(from, to) && proto.Equal(r.kv, c.KV) {
				return ""
			}
		}
		return "this was the leader at no time between call and answer"
	case c.Kind == Leader && !q.empty(from, to):
		return "there was a leader all the time"
	}
	return ""
}

func (c *ElectionRecord) names(kv *mvccpb.KeyValue) bool {
	return bytes.Equal(kv.GetKey(), c.Key) && kv.GetCreateRevision() == c.Revision
}

// untrue says what is wrong with what an observer was told; empty if nothing is. It must be told of the leaders since its call, in order. It may
// miss one only where a compaction came before it could be told.
func (o *ObserveRecord) untrue(t *linearizability.Truth, q *queue) string {
	next, first := 0, t.Known(o.Call)
	for next < len(q.reigns) && q.reigns[next].to <= first {
		next++
	}
	for i, told := range o.Told {
		at := next
		for at < len(q.reigns) && !proto.Equal(q.reigns[at].kv, told.KV) {
			at++
		}
		if at == len(q.reigns) || q.reigns[at].from > t.Known(told.Stamp) {
			return fmt.Sprintf("answer %d at %d is not what came to be true since the one before: %s", i, told.Stamp, linearizability.Text(told.KV))
		}
		if i > 0 && at > next && !t.CompactedBy(o.Told[i-1].KV.GetModRevision()+1, told.Stamp) {
			return fmt.Sprintf("answer %d at %d leaves out what came before: %s", i, told.Stamp, linearizability.Text(q.reigns[next].kv))
		}
		next = at + 1
	}
	return ""
}

func (c *ElectionRecord) String() string {
	return fmt.Sprintf("%v of client %d in %q, from %d to %d, key %q of revision %d, value %q, leader {%s}, %v",
		c.Kind, c.Client, c.Name, c.Call, c.Return, c.Key, c.Revision, c.Value, linearizability.Text(c.KV), c.Outcome)
}

func (o *ObserveRecord) String() string {
	return fmt.Sprintf("observer of client %d in %q, from %d", o.Client, o.Name, o.Call)
}
