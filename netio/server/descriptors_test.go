package server

import (
	"math"
	"testing"
)

func TestShareDescriptors_LeavesTheMemberItsOwn(t *testing.T) {
	for _, c := range []struct {
		limit              uint64
		clients, newcomers int
	}{
		{151, 1, 1},
		{256, 94, 6},
		{1024, 766, 54},
		{65536, 65130, 128},
		{math.MaxUint64, manyDescriptors - reservedDescriptors - 2*newcomersMost, 128},
	} {
		d, err := shareDescriptors(c.limit)
		if err != nil || d.clients != c.clients || d.newcomers != c.newcomers {
			t.Errorf("of %d: %+v, error %v; want %d for clients, %d for newcomers", c.limit, d, err, c.clients, c.newcomers)
		}
	}
	if d, err := shareDescriptors(reservedDescriptors); err == nil {
		t.Errorf("%d descriptors were shared out as %+v", reservedDescriptors, d)
	}
}
