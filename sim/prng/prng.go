// Package prng is the simulator's own source of chance: integers only, the same on every platform and for all time.
//
// Each part of the simulated world draws from a stream of its own, derived from the seed and the part's name, so that a
// change to what one part draws does not shift the others.
//
// Concurrency: a Source is used by one goroutine.
package prng

import (
	"encoding/binary"
	"math/bits"
	"time"
)

// Source is a stream of pseudo-random numbers (splitmix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number
// Generators"). It is no source of secrets.
type Source struct {
	state uint64
}

const gamma = 0x9e3779b97f4a7c15

func finish(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// New returns the stream of the given name under a seed.
func New(seed uint64, name string) *Source {
	h := uint64(0xcbf29ce484222325) // FNV-1a
	for i := 0; i < len(name); i++ {
		h = (h ^ uint64(name[i])) * 0x100000001b3
	}
	return &Source{state: finish(seed+gamma) ^ finish(h)}
}

// Uint64 returns 64 random bits.
func (s *Source) Uint64() uint64 {
	s.state += gamma
	return finish(s.state)
}

// Below returns a number in [0, n). It panics if n is zero. The bias is below n/2^64, which no run can notice.
func (s *Source) Below(n uint64) uint64 {
	if n == 0 {
		panic("prng: Below(0)")
	}
	hi, _ := bits.Mul64(s.Uint64(), n)
	return hi
}

// Intn returns a number in [0, n). It panics unless n is positive.
func (s *Source) Intn(n int) int {
	if n <= 0 {
		panic("prng: Intn of a number that is not positive")
	}
	return int(s.Below(uint64(n)))
}

// Between returns a number in [lo, hi].
func (s *Source) Between(lo, hi int64) int64 {
	if hi <= lo {
		return lo
	}
	return lo + int64(s.Below(uint64(hi-lo)+1))
}

// Duration returns a duration in [lo, hi].
func (s *Source) Duration(lo, hi time.Duration) time.Duration {
	return time.Duration(s.Between(int64(lo), int64(hi)))
}

// Permille says yes with a chance of p in 1,000. It draws a number also where the answer is certain, so that changing a
// rate to or from zero does not shift the stream.
func (s *Source) Permille(p int) bool {
	return s.Below(1000) < uint64(max(p, 0))
}

// Weighted returns an index into weights, with a chance in proportion to the weight there. At least one must be positive.
func (s *Source) Weighted(weights []int) int {
	total := 0
	for _, w := range weights {
		total += w
	}
	n := s.Intn(total)
	for i, w := range weights {
		if n < w {
			return i
		}
		n -= w
	}
	panic("prng: unreachable: a draw below the sum is below some partial sum")
}

// Shuffle puts n things into a random order.
func (s *Source) Shuffle(n int, swap func(i, j int)) {
	for i := n - 1; i > 0; i-- {
		swap(i, s.Intn(i+1))
	}
}

// Read fills p with random bytes; it makes a Source an io.Reader, to stand in for crypto/rand.Reader. It never fails.
func (s *Source) Read(p []byte) (int, error) {
	var word [8]byte
	for n := 0; n < len(p); n += 8 {
		binary.LittleEndian.PutUint64(word[:], s.Uint64())
		copy(p[n:], word[:])
	}
	return len(p), nil
}
