package sim

import (
	"errors"
	"fmt"

	"github.com/detcd/detcd/node"
	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal"
	"github.com/detcd/detcd/sim/prng"
	"github.com/detcd/detcd/sim/world"
)

// logState is what a log says of itself: whose it is, and its last batch.
type logState struct {
	id    wal.Identity
	batch uint64
}

// summary reads a log; nil where there is none that can be read.
func (s *seat) summary(d port.Disk) *logState {
	sum, err := wal.Verify(d)
	if err != nil {
		return nil
	}
	return &logState{sum.Identity, sum.Batch}
}

// inflict damages the seat's disks as planned, just before its member starts. It says whether there was something to damage.
func (s *seat) inflict(h *harm) bool {
	log, beside, chance := s.host.Disk("wal"), s.host.Disk("snap"), h.chance
	older := s.older
	s.older = log.Image()
	switch h.kind {
	case logGone:
		return log.Clear()
	case logOlder:
		if older == nil || older.Empty() {
			return log.Clear()
		}
		log.Restore(older)
		return true
	case logOthers:
		other := s.run.seats[chance.Intn(len(s.run.seats))].host.Disk("wal").Image()
		if other.Empty() {
			return log.Clear()
		}
		log.Restore(other)
		return true
	case besideGone:
		return beside.Clear()
	case flipBeside:
		names, err := beside.List()
		if err != nil || len(names) == 0 {
			return false
		}
		name := names[chance.Intn(len(names))]
		f, err := beside.Open(name)
		if err != nil {
			return false
		}
		size, err := f.Size()
		return err == nil && size > 0 && flipBit(beside, name, chance.Between(0, size-1), chance)
	}
	return h.damageLog(log)
}

// damageLog damages a place in the log that holds a record.
func (h *harm) damageLog(log *world.Disk) bool {
	var records, last []wal.Record
	_ = wal.Dump(log, func(r wal.Record) error { // after an error, the records before it will do
		records = append(records, r)
		if h.owed != nil && r.Batch == h.owed.batch && r.Kind != "header" {
			last = append(last, r)
		}
		return nil
	})
	if len(records) == 0 {
		return false
	}
	if h.kind == flipLast && len(last) > 0 || h.chance.Permille(300) && len(last) > 0 {
		records = last
	}
	r := records[h.chance.Intn(len(records))]
	at := r.Offset + h.chance.Between(0, r.Bytes-1)
	switch h.kind {
	case cutShort:
		return log.Truncate(r.File, at)
	case zeroed:
		return log.Overwrite(r.File, at, make([]byte, 1<<20))
	case garbled:
		garbage := make([]byte, h.chance.Between(1, 4<<10))
		if h.chance.Permille(500) {
			garbage = make([]byte, 1<<20)
		}
		for i := range garbage {
			garbage[i] = byte(h.chance.Intn(256))
		}
		return log.Overwrite(r.File, at, garbage)
	}
	return flipBit(log, r.File, at, h.chance)
}

func flipBit(d *world.Disk, name string, at int64, chance *prng.Source) bool {
	return d.Corrupt(name, at, 1<<chance.Intn(8))
}

// bootHarmed inflicts the harm that is planned for a seat, starts its member, and holds it to its promise: the member refuses to start and leaves
// everything as it is, or it starts and has lost nothing. A member that refuses gets its disks back as they were.
func (s *seat) bootHarmed(open func() error) (refused bool) {
	h := s.harm
	if h == nil {
		return false
	}
	s.harm = nil
	var whole []*world.Image
	for _, name := range diskNames {
		whole = append(whole, s.host.Disk(name).Image())
	}
	if !s.inflict(h) {
		return false // there was nothing to damage: it starts as always
	}
	before := s.digest()
	kept := s.summary(s.host.Disk("wal"))
	s.run.story.say("%s finds its disks damaged (%d)", s.name, h.kind)
	err := open()
	if err == nil {
		s.run.counts.Stood++
		s.judgeHarm(h, kept)
		return false
	}
	if !errors.Is(err, wal.ErrCorrupt) && !errors.Is(err, wal.ErrIdentity) && !errors.Is(err, node.ErrLogMissing) && !s.excused(err) {
		s.run.fail(&Failure{Promise: "damage is named", Story: fmt.Sprintf("%s refuses damaged disks for another reason: %v", s.name, err)})
	}
	if !s.excused(err) && s.digest() != before {
		s.run.fail(&Failure{Promise: "a refusal changes nothing", Story: fmt.Sprintf("%s refuses to start (%v), but has changed its disks", s.name, err)})
	}
	s.run.counts.Damaged++
	if h.power {
		s.run.counts.AtRest++
	}
	for i, name := range diskNames {
		s.host.Disk(name).Restore(whole[i])
	}
	s.run.story.say("%s refuses (%v), and gets its disks back as they were", s.name, err)
	return true
}

// judgeHarm judges a member that has started from damaged disks. kept is what the damaged log said of itself.
func (s *seat) judgeHarm(h *harm, kept *logState) {
	own := wal.Identity{Cluster: s.run.setup.Node.ClusterID, Member: uint64(s.peer.ID)}
	switch {
	case h.owed == nil:
	case kept == nil || kept.id != own:
		s.run.fail(&Failure{Promise: "no start with an empty or foreign log", Story: fmt.Sprintf("%s had a log of %d batches, and starts without one (damage %d)",
			s.name, h.owed.batch, h.kind)})
	case kept.batch < h.owed.batch:
		s.run.fail(&Failure{Promise: "synced damage is no torn tail", Story: fmt.Sprintf("%s had synced %d batches, and starts with %d (damage %d, at rest %v, power lost %v)",
			s.name, h.owed.batch, kept.batch, h.kind, h.rested, h.power)})
	}
}

func (s *seat) digest() (sum uint64) {
	for _, name := range diskNames {
		sum = sum*31 + s.host.Disk(name).Digest()
	}
	return sum
}
