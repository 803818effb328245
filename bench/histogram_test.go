package main

import (
	"math"
	"testing"
	"time"
)

func TestHistogram_ReadsBackWithinOneBucket(t *testing.T) {
	for _, d := range []time.Duration{0, 1, 31, 32, 33, 63, 64, 1000, 12345, time.Millisecond, 7 * time.Second, time.Hour, math.MaxInt64} {
		got := bucketMiddle(bucketOf(d))
		if off := math.Abs(float64(got - d)); off > float64(d)/subBuckets {
			t.Errorf("%d is read back as %d", d, got)
		}
	}
}

func TestHistogram_BucketsGrow(t *testing.T) {
	for i := 1; i < bucketOf(math.MaxInt64); i++ {
		if bucketMiddle(i) <= bucketMiddle(i-1) || bucketOf(bucketMiddle(i)) != i {
			t.Fatalf("bucket %d: middle %d, before it %d", i, bucketMiddle(i), bucketMiddle(i-1))
		}
	}
}

func TestHistogram_Quantiles(t *testing.T) {
	var a, b histogram
	for i := range 1000 {
		h := &a
		if i%2 == 0 {
			h = &b
		}
		h.record(time.Duration(i+1) * time.Microsecond)
	}
	a.add(&b)
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 500, 0.99: 990, 1: 1000} {
		want *= time.Microsecond
		if got := a.quantile(q); math.Abs(float64(got-want)) > float64(want)/subBuckets {
			t.Errorf("quantile %v is %v, want about %v", q, got, want)
		}
	}
	if a.total() != 1000 {
		t.Errorf("total is %d", a.total())
	}
}
