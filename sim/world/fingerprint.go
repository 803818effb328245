package world

import "math/bits"

// fingerprint is a rolling hash over everything that happens, in order. It need not withstand malice, only never miss a
// difference by more than chance.
type fingerprint struct {
	sum uint64
}

func (f *fingerprint) mix(x uint64) {
	h := (f.sum ^ x) * 0x9e3779b97f4a7c15
	f.sum = (bits.RotateLeft64(h, 29) ^ h>>32) * 0xbf58476d1ce4e5b9
}
