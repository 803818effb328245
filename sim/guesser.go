package sim

import (
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/detcd/detcd/sim/prng"
	"github.com/detcd/detcd/sim/world"
)

// guesser is a group of clients whose requests reach one member in one turn. All but the last put. The last one compacts to a revision that it
// guesses one of these puts will have. So one entry of the log holds changes and the compaction that hides them.
type guesser struct {
	run     *Run
	chance  *prng.Source
	clients []*client
	waiting int // requests that are not over yet
}

// guessersMost is how many clients of a guesser put, at most.
const guessersMost = 4

// addGuessers adds one to some of the runs that have watchers, whom this is about.
func (r *Run) addGuessers() {
	s := r.world.Stream("guesser")
	if r.setup.Watchers == 0 || !s.Permille(600) {
		return
	}
	g := &guesser{run: r, chance: s}
	for range guessersMost + 1 {
		c := r.addClient()
		c.done = func(bool) { g.over() }
		g.clients = append(g.clients, c)
	}
	g.think()
}

func (g *guesser) think() {
	g.run.world.After(g.chance.Duration(100*time.Millisecond, 8*time.Second), world.Client, func() {
		if r := g.run; r.healed || r.quiet || len(r.history)+len(g.clients) > r.setup.OpsMost {
			return
		}
		g.speak()
	})
}

// speak sends the requests. The compaction's revision is chosen as they arrive, when the member's revision is known.
func (g *guesser) speak() {
	puts := 2 + g.chance.Intn(guessersMost-1)
	at := g.run.seats[g.chance.Intn(len(g.run.seats))]
	var all []*errand
	for _, c := range g.clients[:puts] {
		c.at = at
		put := c.make.Put()
		all = append(all, c.ask(put.Message, put.Group))
	}
	last := g.clients[puts]
	last.at = at
	guess, ahead := &pb.CompactionRequest{Revision: 1}, g.chance.Between(1, int64(puts))
	all = append(all, last.ask(guess, ""))
	g.waiting = len(all)
	first := all[0]
	first.lostThere = false // all go the first one's way; answers may still be lost
	first.travel(func() {
		if first.to.now == nil {
			return
		}
		v := first.to.now.member.AcquireView()
		guess.Revision = v.Revision() + ahead
		v.Release()
		for _, e := range all {
			e.arrive()
		}
	}, func() {
		for _, e := range all {
			e.refuse()
		}
	})
}

// over goes on when all requests have an end.
func (g *guesser) over() {
	if g.waiting--; g.waiting == 0 {
		g.think()
	}
}
