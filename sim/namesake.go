package sim

import (
	"fmt"
	"time"

	"github.com/detcd/detcd/sim/world"
)

// addNamesakes adds clients that all want a lease with the same id. One of them has it, and revokes it about when it would end by itself; another
// one is granted the id right after that. What was meant for the first lease, such as its end, must not befall the second.
func (r *Run) addNamesakes() {
	for i := range 3 {
		n := &namesake{session: r.addSession(fmt.Sprintf("namesake %d", i), sessionIDs+200+i)}
		n.name = 77
		n.begin(time.Second)
	}
}

type namesake struct{ *session }

func (n *namesake) begin(within time.Duration) {
	n.run.world.After(n.chance.Duration(0, within), world.Client, func() {
		if n.run.healed || len(n.run.history) >= n.run.setup.OpsMost {
			return
		}
		asked := n.run.now()
		n.open(func(ok bool) {
			if !ok {
				if n.chance.Permille(100) {
					n.client.move()
				}
				n.begin(800 * time.Millisecond)
				return
			}
			n.abandon()
			over := asked + n.lease.TTL*int64(time.Second) - n.run.now()
			wait := max(0, over-int64(n.chance.Duration(0, 300*time.Millisecond)))
			n.run.world.After(time.Duration(wait), world.Client, func() {
				n.revoke(func() { n.begin(300 * time.Millisecond) })
			})
		})
	})
}
