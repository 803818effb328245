package node

import (
	"bytes"
	"fmt"

	"github.com/detcd/detcd/statemachine"
)

// A member whose data was put back from an old copy lives a part of its life twice: its incarnation, and the numbers of its requests, are those of
// the run that came after the copy. What that run has proposed may be in the log of the others still. It must not be taken for what this run has
// proposed: a client would be told that its request was applied, where it was another one. A leader that was there all the time finds such a
// member out (see contradicts). Where all have started again, the member itself does.

// foreign says of an envelope in an entry of that term that it names this run of this member, or a later one, but is not what this run has proposed. Two
// runs may ask for the same with the same number: then the term tells them apart, as all have started again since the former.
func (p *proposals) foreign(b *statemachine.Envelope, term uint64, encoded []byte) bool {
	if b.Proposer != uint64(p.config.ID) || b.Incarnation < p.incarnation {
		return false
	}
	if b.Incarnation > p.incarnation || b.Sequence > p.window.Newest() {
		return true
	}
	f := p.window.Find(b.Sequence)
	return f != nil && (!f.Load.left || term < f.Load.since || !bytes.Equal(f.Load.encoded, encoded))
}

// seenBeyond says whether the state has batches of this run, or of a later one, that this run has not proposed.
func (p *proposals) seenBeyond() bool {
	return p.machine.Seen(uint64(p.config.ID), p.incarnation, p.window.Newest()+1)
}

// endAsOldCopy ends the member, whose data is not its newest.
func (p *proposals) endAsOldCopy(seen string) {
	p.halt(fmt.Errorf("%w: %s that it has not made in this run (incarnation %d, up to number %d): its data directory is an old copy. %s", ErrDataLost, seen,
		p.incarnation, p.window.Newest(), dataLostAdvice))
}
