package node

import (
	"fmt"
	"strings"
	"testing"
)

// A member that is killed again and again, each time before its log has grown enough for a snapshot, takes one all the same. Else its log would
// grow without end, and each start would take longer, and more memory.
func TestSnapshot_ComesAlsoWhereNoLifeIsLongEnough(t *testing.T) {
	const due, perLife = 64 << 10, 16 << 10
	c := newCluster(t, 1, func(c *Config) { c.SnapshotBytes, c.SegmentBytes = due, 256<<10 })
	s := c.seat(1)
	for life := range 3 * due / perLife {
		l := c.elect(1)
		for i := range 4 {
			l.apply(put(fmt.Sprint("k", i, strings.Repeat("x", perLife/4)), 0))
		}
		if got := s.member.Status().SnapshotIndex; got > 0 {
			if (life+1)*perLife < due {
				t.Fatalf("a snapshot in life %d, before one is due", life)
			}
			return
		}
		s.kill()
		s.open()
	}
	t.Fatalf("no snapshot, though %d bytes were written", 3*due)
}
