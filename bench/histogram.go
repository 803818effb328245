package main

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// subBuckets is how many buckets a power of two is cut into: a reading is at most 1/32 off, about 3 %.
const (
	subBits    = 5
	subBuckets = 1 << subBits
)

// histogram counts durations in buckets that grow with the value. Any goroutine may record.
type histogram struct {
	counts [(64 - subBits + 1) * subBuckets]atomic.Uint32
}

func bucketOf(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < subBuckets {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return (shift+1)<<subBits + int(v>>shift) - subBuckets
}

// bucketMiddle is the middle of the durations that fall into bucket i.
func bucketMiddle(i int) time.Duration {
	if i < subBuckets {
		return time.Duration(i)
	}
	shift := i>>subBits - 1
	low := uint64(i&(subBuckets-1)+subBuckets) << shift
	return time.Duration(low + (uint64(1)<<shift)/2)
}

func (h *histogram) record(d time.Duration) { h.counts[bucketOf(d)].Add(1) }

// add adds all that o counted to h.
func (h *histogram) add(o *histogram) {
	for i := range o.counts {
		if n := o.counts[i].Load(); n != 0 {
			h.counts[i].Add(n)
		}
	}
}

func (h *histogram) total() (n uint64) {
	for i := range h.counts {
		n += uint64(h.counts[i].Load())
	}
	return n
}

// quantile returns the duration that a share q (0 to 1) of the recorded ones does not pass; 0 when nothing was recorded.
func (h *histogram) quantile(q float64) time.Duration {
	total := h.total()
	if total == 0 {
		return 0
	}
	rank := max(uint64(q*float64(total)+0.5), 1)
	var seen uint64
	last := 0
	for i := range h.counts {
		n := uint64(h.counts[i].Load())
		if n == 0 {
			continue
		}
		seen += n
		last = i
		if seen >= rank {
			break
		}
	}
	return bucketMiddle(last)
}
