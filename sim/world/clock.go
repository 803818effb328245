package world

import (
	"math/bits"
	"time"

	"github.com/detcd/detcd/node/port"
)

// Clock is a host's monotonic clock in one life: it has a rate and an origin of its own.
type Clock struct {
	host   *Host
	epoch  uint32
	origin int64 // what it showed when the life began
	born   int64 // true time of that
}

func newClock(h *Host) *Clock {
	return &Clock{host: h, epoch: h.epoch, origin: h.chance.Between(0, int64(1000*time.Hour)), born: h.w.now}
}

const million = 1_000_000

// Now returns what the clock shows.
func (c *Clock) Now() port.Instant {
	passed := c.host.w.now - c.born
	return port.Instant(c.origin + passed + scale(passed, c.host.drift, million))
}

// After has fn called when the clock has gone on by d, or a little later, as real timers are.
func (c *Clock) After(d time.Duration, fn func()) {
	h := c.host
	if h.epoch != c.epoch {
		return
	}
	d = max(d, 0)
	// The least true time in which the clock gains d. Rounded up: a timer never comes early.
	wait := scale(int64(d), million, million+h.drift) + 1
	late := h.chance.Between(0, int64(200*time.Microsecond))
	h.w.schedule(h.w.now+wait+late, event{kind: Timer, host: h, epoch: c.epoch, fn: fn})
}

// scale returns x*num/den without overflow in between, rounded to zero. den must be positive.
func scale(x, num, den int64) int64 {
	neg := (x < 0) != (num < 0)
	hi, lo := bits.Mul64(magnitude(x), magnitude(num))
	q, _ := bits.Div64(hi, lo, uint64(den))
	if neg {
		return -int64(q)
	}
	return int64(q)
}

func magnitude(x int64) uint64 {
	if x < 0 {
		return uint64(-x)
	}
	return uint64(x)
}
