package node

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// One member's data is put back from an old copy while all are down, so that no leader remembers what it had. What its former run has proposed must
// not answer what this run proposes: the member finds out, and ends.
func TestMember_EndsWhereItsDataIsAnOldCopy(t *testing.T) {
	for name, x := range map[string]struct {
		change func(*Config)
		former int    // requests of the run that the copy lacks
		ask    string // the key that is asked for after, with a number at its end
	}{
		"the others send the log":    {nil, 10, "after"},
		"the others send a snapshot": {keepLittle, 60, "after"},
		"it has proposed more":       {nil, 1, "after"},
		"it asks for the same again": {nil, 10, "former"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 3, x.change)
			l, s := c.elect(1), c.seat(2)
			l.apply(put("before", 0))
			c.run(time.Second)
			s.kill()
			old := s.disk.Clone()
			s.open()
			for i := range x.former {
				s.apply(put(fmt.Sprint("former", i), 0))
			}
			c.run(time.Second)
			for _, seat := range c.seats {
				seat.kill()
			}
			s.disk = old
			s.open()
			// Asked before it hears of any leader, so that what was in the log before can be taken for the answer.
			asked := []*outcome[Applied]{s.propose(put(x.ask+"0", 0)), s.propose(put(x.ask+"1", 0))}
			for _, seat := range c.seats {
				if seat != s {
					seat.open()
				}
			}
			c.elect(1)
			c.run(5 * time.Second)
			if !errors.Is(s.failed, ErrDataLost) || !strings.Contains(s.failed.Error(), "old copy") || !strings.Contains(s.failed.Error(), "put the right data directory back") {
				t.Errorf("failed with %v", s.failed)
			}
			for i, o := range asked {
				if o.come() && o.err == nil {
					t.Errorf("request %d was answered by entry %d, which is not its own", i, o.value.Index)
				}
			}
			c.seat(1).apply(put("others go on", 0))
		})
	}
}
