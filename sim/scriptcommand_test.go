package sim

import (
	"fmt"
	"strconv"
	"time"

	"github.com/detcd/detcd/sim/prng"
)

// do carries out one command.
func (c command) do() {
	switch c.name {
	case "cluster":
		c.cluster(c)
	case "run":
		c.r.advance(c.r.world.Now()+c.duration(c.word(0)), nil)
	case "await":
		name := ""
		if len(c.words) > 1 {
			name = c.words[1]
		}
		c.until("all follow a leader", func() bool { return c.follows(name) })
	case "show":
		c.show()
	case "counts":
		n := &c.r.counts
		c.say("sent to members that lagged: snapshots %d times, old entries of the log %d times; torn writes: %d", n.SnapshotsSent, n.LogsSent,
			c.r.world.Counts.TornWrites)
	case "watch", "resume", "lease", "abandon", "revoke", "look", "lock", "unlock":
		c.act()
	case "put", "get", "delete", "compact", "fill", "begin":
		c.ask()
	default:
		c.fault()
	}
}

// fault carries out a command that breaks or mends something.
func (c command) fault() {
	switch c.name {
	case "partition":
		c.partition()
	case "heal":
		for _, cut := range c.cut {
			c.r.world.Net().Unblock(cut[0].host, cut[1].host)
		}
		c.script.cut = nil
	case "pause":
		c.seat(0).host.Pause()
	case "wake":
		x := c.seat(0)
		x.resume(x.host.Epoch())
	case "crash":
		c.seat(0).crash(false)
	case "power":
		c.power()
	case "start":
		x := c.seat(0)
		x.boot(false)
	case "disk":
		c.disk()
	case "damage":
		c.damage()
	case "wipe":
		if !c.r.wipe(c.seat(0), false) {
			c.t.Fatal("it can't be wiped: a majority must still have what was promised")
		}
	default:
		c.t.Fatalf("unknown command %s", c.name)
	}
}

// partition cuts the links between groups of members.
func (c command) partition() {
	group, groups := 0, make(map[*seat]int)
	for i, w := range c.words {
		if w == "|" {
			group++
		} else {
			groups[c.seat(i)] = group
		}
	}
	for _, a := range c.r.seats {
		for _, b := range c.r.seats {
			_, inA := groups[a]
			if _, inB := groups[b]; inA && inB && groups[a] != groups[b] {
				c.r.world.Net().Block(a.host, b.host)
				c.script.cut = append(c.script.cut, [2]*seat{a, b})
			}
		}
	}
}

// power takes a member's power: now, or in the midst of its next write.
func (c command) power() {
	x := c.seat(0)
	if len(c.words) == 1 {
		x.crash(true)
		return
	}
	x.host.ArmFuse(0, false, func() {
		x.run.story.say("%s loses power in the midst of a write", x.name)
		x.crash(true)
	})
}

func (c command) disk() {
	x := c.seat(0)
	x.diskFault = c.words[len(c.words)-1] != "well"
	if times, is := c.option("slow"); is {
		n, err := strconv.Atoi(times)
		if err != nil {
			c.t.Fatal(err)
		}
		x.host.SetSlowness(100 * n)
		return
	}
	log := x.host.Disk("wal")
	switch c.word(1) {
	case "full":
		log.Fill(0)
	case "failing-sync":
		log.FailSyncs(1)
	case "failing-write":
		log.FailWrites(1)
	case "well":
		x.well()
	default:
		c.t.Fatalf("a disk can't be %s", c.word(1))
	}
}

var harmNames = map[string]harmKind{"flip-last": flipLast, "flip-any": flipAny, "cut-short": cutShort, "zeroed": zeroed, "garbled": garbled,
	"log-gone": logGone, "log-older": logOlder, "flip-beside": flipBeside, "beside-gone": besideGone}

// damage has a member end, and find something when it starts.
func (c command) damage() {
	x := c.seat(0)
	kind, known := harmNames[c.word(1)]
	if !known {
		c.t.Fatalf("unknown damage %s", c.word(1))
	}
	x.harm = &harm{kind: kind, owed: x.summary(x.host.Disk("wal").Durable()), chance: prng.New(1, "harm")}
	x.crash(false)
}

func (c command) word(i int) string {
	c.t.Helper()
	if i >= len(c.words) {
		c.t.Fatalf("%s: something is missing", c.name)
	}
	return c.words[i]
}

func (c command) number(i int) (n int64) {
	c.t.Helper()
	if _, err := fmt.Sscan(c.word(i), &n); err != nil {
		c.t.Fatalf("%q is no number", c.word(i))
	}
	return n
}

func (c command) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		c.t.Fatal(err)
	}
	return d
}

// seat is the member that the i-th word names.
func (c command) seat(i int) *seat {
	c.t.Helper()
	for _, x := range c.r.seats {
		if x.name == c.word(i) {
			return x
		}
	}
	c.t.Fatalf("there is no member %s", c.words[i])
	return nil
}

func (c command) option(key string) (string, bool) {
	for _, a := range c.options {
		if a.Key == key {
			return a.Vals[0], true
		}
	}
	return "", false
}
