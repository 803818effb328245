package wire

import (
	"google.golang.org/grpc/mem"

	"github.com/detcd/detcd/statemachine"
)

// Answers of up to wholeMax bytes are put together in one piece of memory. Larger ones go out in parts: a buffer of many megabytes would be
// allocated anew for each, and stay until the last byte is sent.
const (
	wholeMax  = 128 << 10
	pieceSize = 32 << 10 // a size that gRPC's pool keeps
	// shareLeast is the mean size of a key-value from which on the stored bytes are sent as they are. Smaller ones are copied, which is cheaper than to keep account of
	// many parts.
	shareLeast = 512
)

// inParts is an answer of about size bytes: what stands before the key-values, these, and what stands after them.
func inParts(before []byte, r *statemachine.RangeResult, size int, after []byte) *Encoded {
	if n := r.Len(); n > 0 {
		if _, stored := r.EncodedKV(0); stored && size/n >= shareLeast {
			return shared(before, r, after)
		}
	}
	return inPieces(before, r, size, after)
}

// headMax bounds the tag and length of a key-value.
const headMax = 6

// shared sends the stored bytes themselves, which never change.
func shared(before []byte, r *statemachine.RangeResult, after []byte) *Encoded {
	n := r.Len()
	parts := make(mem.BufferSlice, 0, 2*n+1)
	heads := make([]byte, 0, len(before)+headMax*n)
	heads = append(heads, before...)
	start := 0
	for i := range n {
		heads = r.AppendKVHead(heads, i)
		kv, _ := r.EncodedKV(i)
		parts = append(parts, mem.SliceBuffer(heads[start:len(heads):len(heads)]), mem.SliceBuffer(kv))
		start = len(heads)
	}
	if len(after) > 0 {
		parts = append(parts, mem.SliceBuffer(after))
	}
	return &Encoded{parts}
}

// inPieces copies the key-values into pieces of memory that are used again, each as soon as it is sent.
func inPieces(before []byte, r *statemachine.RangeResult, size int, after []byte) *Encoded {
	pool := mem.DefaultBufferPool()
	parts := make(mem.BufferSlice, 0, size/pieceSize+2)
	piece := pool.Get(pieceSize)
	*piece = (*piece)[:0]
	put := func(b []byte) {
		for len(b) > 0 {
			if len(*piece) == pieceSize {
				parts = append(parts, mem.NewBuffer(piece, pool))
				piece = pool.Get(pieceSize)
				*piece = (*piece)[:0]
			}
			n := min(len(b), pieceSize-len(*piece))
			*piece = append(*piece, b[:n]...)
			b = b[n:]
		}
	}
	put(before)
	var one []byte
	for i := range r.Len() {
		one = r.AppendKV(one[:0], i)
		put(one)
	}
	put(after)
	return &Encoded{append(parts, mem.NewBuffer(piece, pool))}
}
