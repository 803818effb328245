package driver

import (
	"time"

	"github.com/detcd/detcd/node/port"
)

// clock is the system's monotonic clock, read once a turn, and the timers of a member. It belongs to whoever
// takes turns, and before that to the goroutine that opens the member.
type clock struct {
	origin  time.Time
	now     port.Instant
	driving bool // turns have begun
	timers  []timer
	// sequence makes timers of the same instant fire in the order they were set.
	sequence uint64
	// alarm is the one timer of the runtime; it rings at ringsAt, if armed.
	alarm   *time.Timer
	armed   bool
	ringsAt port.Instant
}

type timer struct {
	at       port.Instant
	sequence uint64
	fn       func()
}

var _ port.Clock = (*clock)(nil)

func (c *clock) init() {
	c.origin = time.Now()
	c.alarm = time.NewTimer(time.Hour)
	c.alarm.Stop()
}

// Now implements port.Clock. While the member is being opened, which is one long turn, the clock is read each time.
func (c *clock) Now() port.Instant {
	if !c.driving {
		return c.read()
	}
	return c.now
}

// After implements port.Clock.
func (c *clock) After(d time.Duration, fn func()) {
	c.sequence++
	c.timers = append(c.timers, timer{at: c.Now().Add(d), sequence: c.sequence, fn: fn})
	c.up(len(c.timers) - 1)
}

// read asks the system. Time during which the whole machine sleeps may not count.
func (c *clock) read() port.Instant { return port.Instant(time.Since(c.origin)) }

func (c *clock) beginTurn() {
	c.driving = true
	c.now = c.read()
}

// fire calls what is due at the turn's time, and returns how many those were. Timers set meanwhile wait for another turn.
func (c *clock) fire() int {
	n := 0
	for last := c.sequence; len(c.timers) > 0 && c.timers[0].at <= c.now && c.timers[0].sequence <= last; n++ {
		fn := c.timers[0].fn
		c.pop()
		fn()
	}
	return n
}

// untilNext returns how long it is to the next timer, if there is one.
func (c *clock) untilNext() (time.Duration, bool) {
	if len(c.timers) == 0 {
		return 0, false
	}
	return c.timers[0].at.Sub(c.read()), true
}

// alarmIn returns a channel that delivers in d or earlier. An alarm that is set for before that is left alone: a loop that is
// woken many times between two ticks does not touch the runtime's timers.
func (c *clock) alarmIn(d time.Duration) <-chan time.Time {
	at := c.timers[0].at
	if !c.armed || c.ringsAt > at {
		c.alarm.Reset(d)
		c.armed, c.ringsAt = true, at
	}
	return c.alarm.C
}

// dueBeforeAlarm says whether there is a timer that the alarm would miss.
func (c *clock) dueBeforeAlarm() bool {
	return len(c.timers) > 0 && (!c.armed || c.timers[0].at < c.ringsAt)
}

// rang notes that the alarm has delivered.
func (c *clock) rang() { c.armed = false }

func (c *clock) before(i, j int) bool {
	a, b := &c.timers[i], &c.timers[j]
	return a.at < b.at || a.at == b.at && a.sequence < b.sequence
}

func (c *clock) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !c.before(i, parent) {
			return
		}
		c.timers[i], c.timers[parent] = c.timers[parent], c.timers[i]
		i = parent
	}
}

func (c *clock) pop() {
	last := len(c.timers) - 1
	c.timers[0] = c.timers[last]
	c.timers[last] = timer{}
	c.timers = c.timers[:last]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if c.before(child, least) {
				least = child
			}
		}
		if least == i {
			return
		}
		c.timers[i], c.timers[least] = c.timers[least], c.timers[i]
		i = least
	}
}
