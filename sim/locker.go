package sim

import (
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"

	"github.com/detcd/detcd/linearizability"
	"github.com/detcd/detcd/linearizability/leases"
	"github.com/detcd/detcd/linearizability/locks"
	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/call"
	"github.com/detcd/detcd/sim/world"
)

// lockGroup is the group of the keys of locks and of what they guard.
const lockGroup = "k"

// lockName is the lock that all want, and guardedKey what it guards.
var (
	lockName   = []byte(lockGroup + "/lock")
	guardedKey = []byte(lockGroup + "/guarded")
)

// addLockers adds clients that take one lock from each other, write what it guards, and give it up in good order or not.
func (r *Run) addLockers() {
	for i := range r.setup.Lockers {
		l := &locker{session: r.addSession(fmt.Sprintf("locker %d", i), sessionIDs+100+i)}
		l.begin()
	}
}

type locker struct {
	*session
	values int
}

func (l *locker) begin() {
	l.run.world.After(l.chance.Duration(0, 3*time.Second), world.Client, func() {
		if l.over() {
			return
		}
		l.open(func(ok bool) {
			if !ok {
				l.client.move()
				l.begin()
				return
			}
			l.lock()
		})
	})
}

func (l *locker) over() bool { return l.run.healed || len(l.run.history) >= l.run.setup.OpsMost }

// lock takes the lock. Where no answer comes the locker begins anew with another lease: a second call with the same lease would find the first
// one's place in the queue, which the first call may be about to give up.
func (l *locker) lock() {
	r := l.run
	rec := &locks.Record{Client: l.client.id, Name: lockName, Lease: l.lease, Call: r.stamp(), Return: linearizability.Never,
		Until: leases.Forever}
	r.locks = append(r.locks, rec)
	r.story.say("locker %d asks %s for the lock with lease %x", l.client.id, l.calls.at.name, l.lease.ID)
	if l.chance.Permille(300) {
		l.calls.move()
	}
	l.calls.visit(l.chance.Duration(time.Second, 25*time.Second), func(m *node.Member, done func(any, uint64)) func() {
		return call.Lock(r.gate, m, call.Caller{}, &v3lockpb.LockRequest{Name: rec.Name, Lease: rec.Lease.ID}, func(resp *v3lockpb.LockResponse, err error) { answered(done, resp, err) })
	}, func(p reply) {
		resp, ok := p.value.(*v3lockpb.LockResponse)
		if !ok {
			r.story.say("locker %d did not get the lock: %v", l.client.id, p.value)
			l.leave()
			return
		}
		r.counts.Locked++
		rec.Outcome, rec.Key, rec.From, rec.Return = linearizability.Answered, resp.GetKey(), r.now(), r.stamp()
		r.story.say("locker %d has the lock: %q", l.client.id, rec.Key)
		l.hold(rec, l.chance.Intn(3))
	})
}

// hold writes under the lock, and then gives it up.
func (l *locker) hold(rec *locks.Record, writes int) {
	r := l.run
	wait := l.chance.Duration(0, 500*time.Millisecond)
	if l.chance.Permille(200) {
		wait = l.chance.Duration(0, 15*time.Second) // perhaps longer than it keeps the lease alive
		if l.chance.Permille(300) {
			l.abandon()
		}
	}
	r.world.After(wait, world.Client, func() {
		if writes > 0 {
			l.values++
			l.ask(lockGroup, l.fencedWrite(rec.Key), func(_ int, ok bool) {
				if !ok {
					// It may still be under way. With another lease the key that it compares is another one.
					l.leave()
					return
				}
				l.hold(rec, writes-1)
			})
			return
		}
		if l.chance.Permille(250) {
			l.leave() // without a word: the lease is to end it
			return
		}
		rec.Until = r.now()
		l.calls.visit(2*time.Second, func(m *node.Member, done func(any, uint64)) func() {
			call.Unlock(r.gate, m, call.Caller{}, &v3lockpb.UnlockRequest{Key: rec.Key}, func(resp *v3lockpb.UnlockResponse, err error) { answered(done, resp, err) })
			return nil
		}, func(p reply) {
			if _, ok := p.value.(*v3lockpb.UnlockResponse); ok && !l.gone && !l.over() && l.chance.Permille(600) {
				l.lock()
				return
			}
			l.leave()
		})
	})
}

// fencedWrite writes what the lock guards only while the lock's key is there.
func (l *locker) fencedWrite(key []byte) *pb.TxnRequest {
	return &pb.TxnRequest{
		Compare: []*pb.Compare{{Key: key, Target: pb.Compare_CREATE, Result: pb.Compare_GREATER, TargetUnion: &pb.Compare_CreateRevision{}}},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{
			Key: guardedKey, Value: fmt.Appendf(nil, "locker %d.%d", l.client.id, l.values)}}}},
	}
}

// leave gives the session up, and begins another.
func (l *locker) leave() {
	if l.chance.Permille(500) || l.gone || l.over() {
		l.abandon()
		l.begin()
		return
	}
	l.revoke(l.begin)
}
