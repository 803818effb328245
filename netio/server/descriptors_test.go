package server

import (
	"math"
	"testing"
)

func TestShareDescriptors_LeavesTheMemberItsOwn(t *testing.T) {
	for _, c := range []struct {
		limit                       uint64
		clients, newcomers, metrics int
	}{
		{151, 1, 1, 32},
		{256, 94, 6, 32},
		{1024, 766, 54, 32},
		{65536, 64138, 128, 1024},
		{math.MaxUint64, manyDescriptors - reservedDescriptors - 2*newcomersMost - (metricsMost - metricsLeast), 128, 1024},
	} {
		d, err := shareDescriptors(c.limit)
		if err != nil || d.clients != c.clients || d.newcomers != c.newcomers || d.metrics != c.metrics {
			t.Errorf("of %d: %+v, error %v; want %d for clients, %d for newcomers, %d for metrics", c.limit, d, err, c.clients, c.newcomers, c.metrics)
		}
		if own := d.limit - d.clients - 2*d.newcomers - d.metrics; own < reservedDescriptors-metricsLeast && c.limit > 152 {
			t.Errorf("of %d, %d are left for the member's own", c.limit, own)
		}
	}
	if d, err := shareDescriptors(reservedDescriptors); err == nil {
		t.Errorf("%d descriptors were shared out as %+v", reservedDescriptors, d)
	}
}
