package sim

import (
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/sim/prng"
	"github.com/detcd/detcd/sim/world"
)

// leaseGroup is the group of the keys that holders attach to leases.
const leaseGroup = "l"

// addHolders adds clients that hold leases: they attach keys, move them from one lease to another, renew for a while, and then let the
// lease end or end it.
func (r *Run) addHolders() {
	for i := range r.setup.Holders {
		s := r.addSession(fmt.Sprintf("holder %d", i), sessionIDs+i)
		h := &holder{session: s}
		h.begin()
	}
	if prng.New(r.setup.Seed, "namesakes").Permille(150) {
		r.addNamesakes()
	}
}

type holder struct {
	*session
	values int
}

func (h *holder) begin() {
	h.run.world.After(h.chance.Duration(0, 4*time.Second), world.Client, func() {
		if h.run.healed || len(h.run.history) >= h.run.setup.OpsMost {
			return
		}
		if h.chance.Permille(300) {
			h.client.move()
		}
		h.open(func(ok bool) {
			if !ok {
				h.client.move()
				h.begin()
				return
			}
			if h.run.setup.LongLeases && h.chance.Permille(600) {
				h.abandon() // an unanswered renewal leaves open for long when the lease has to end
			}
			h.use(h.chance.Intn(4))
		})
	})
}

// use attaches keys to the lease, some more times, and then lets it go.
func (h *holder) use(more int) {
	h.run.world.After(h.chance.Duration(0, 2*time.Second), world.Client, func() {
		switch {
		case more > 0 && !h.gone && !h.run.healed:
			h.values++
			if h.chance.Permille(300) {
				h.look()
			}
			key := fmt.Appendf(nil, "%s/%d", leaseGroup, h.chance.Intn(4))
			put := &pb.PutRequest{Key: key, Value: fmt.Appendf(nil, "holder %d.%d", h.client.id, h.values), Lease: h.lease.ID, PrevKv: h.chance.Permille(300)}
			if h.chance.Permille(150) {
				put.Lease = 0 // away from whatever lease it was on
			}
			h.ask(leaseGroup, put, func(int, bool) { h.use(more - 1) })
		case h.gone || h.run.healed || h.chance.Permille(600):
			// Kept for a while, and then for no longer.
			h.run.world.After(h.chance.Duration(0, 20*time.Second), world.Client, func() {
				h.abandon()
				h.begin()
			})
		default:
			h.revoke(h.begin)
		}
	})
}
