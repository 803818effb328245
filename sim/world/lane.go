package world

import "time"

// Lane does a host's blocking work, one piece after the other. Each piece waits for some time, runs in one moment, and is reported then; where it
// moved many bytes it is reported later. A piece that waits when the host crashes may still be done in part: see breakOff.
type Lane struct {
	host        *Host
	epoch       uint32
	least, most time.Duration
	jobs        []job
	ran         bool // the first job has begun to run, and is yet to be reported
}

type job struct{ work, done func() }

// diskBytesPerSecond is what a disk takes when it is not slow.
const diskBytesPerSecond = 200 << 20

// laneWaitMost bounds how long a piece of work waits. A wait that was drawn while the disk was slow does not end when the disk is quick again.
const laneWaitMost = 10 * time.Second

// Run has work run after all given before, then done called in a turn.
func (l *Lane) Run(work, done func()) {
	if l.epoch != l.host.epoch || !l.host.up {
		return
	}
	l.jobs = append(l.jobs, job{work, done})
	if len(l.jobs) == 1 {
		l.begin()
	}
}

func (l *Lane) begin() {
	h := l.host
	wait := h.chance.Duration(l.least, l.most)
	if h.chance.Permille(20) {
		wait += h.chance.Duration(l.most, 10*l.most) // now and then a disk has something else to do
	}
	wait = min(wait*time.Duration(h.slowness)/100, laneWaitMost)
	h.w.schedule(h.w.now+int64(wait), event{kind: LaneWork, host: h, epoch: l.epoch, fn: l.exec})
}

func (l *Lane) exec() {
	h := l.host
	before := h.w.Counts.BytesWritten
	l.ran = true
	if h.died == nil {
		l.jobs[0].work()
	} else if after := h.died; !survives(l.jobs[0].work) {
		h.Disarm()
		after()
		return
	}
	moved := int64(h.w.Counts.BytesWritten - before)
	if cost := scale(moved, int64(time.Second), diskBytesPerSecond) * int64(h.slowness) / 100; cost > int64(time.Millisecond) {
		h.w.schedule(h.w.now+cost, event{kind: LaneDone, host: h, epoch: l.epoch, fn: l.report})
		return
	}
	l.report()
}

func (l *Lane) report() {
	done := l.jobs[0].done
	copy(l.jobs, l.jobs[1:])
	l.jobs[len(l.jobs)-1] = job{}
	l.jobs = l.jobs[:len(l.jobs)-1]
	l.ran = false
	if len(l.jobs) > 0 {
		l.begin()
	}
	done()
}

// breakOff is what a crash does to a lane: the piece that waited may be done in part, or as a whole without being reported.
func (l *Lane) breakOff() {
	if len(l.jobs) == 0 || l.ran || !l.host.chance.Permille(600) {
		return
	}
	l.host.BurnFuse(l.host.chance.Weighted([]int{3, 4, 2, 1, 1}), l.jobs[0].work)
}
