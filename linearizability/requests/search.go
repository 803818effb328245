package requests

import (
	"fmt"
	"strings"

	"github.com/anishathalye/porcupine"
	"github.com/cespare/xxhash/v2"

	"github.com/detcd/detcd/linearizability"
)

// state is one state of the model within a search. Equal states are one object, so they are compared by their addresses.
type state struct {
	keys keys
	hash uint64
	// mark is the last round of the search that met this state: see nextRound.
	mark uint64
}

// stateSet is the set of states that the store may be in after some operations. There can be several, as an operation without an answer may have
// happened or not. It holds each state once, in the order in which they were found.
type stateSet []*state

// move is an operation that begins in a state. Within a window an operation has one answer, or none, so it always leads to the same states.
type move struct {
	from *state
	op   *linearizability.Operation
}

// search is the model in one search of porcupine's. It remembers the states that it has met, and where each move led: states are large and met again
// and again. Otherwise it does what porcupine.NondeterministicModel does.
type search struct {
	first    *state
	steps    int // steps taken; a move that is made again counts again
	most     int // steps allowed
	round    uint64
	known    map[string]*state // by encoding
	moves    map[move]stateSet
	encoding []byte // used again for each state
}

func newSearch(from keys, most int) *search {
	s := &search{most: most, known: make(map[string]*state), moves: make(map[move]stateSet)}
	s.first = s.intern(from)
	return s
}

// exhausted says whether the search was ended because it took too many steps.
func (s *search) exhausted() bool { return s.steps > s.most }

func (s *search) model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return stateSet{s.first} },
		Step: func(from, input, output any) (bool, any) {
			next := s.step(from.(stateSet), input.(*linearizability.Operation), output)
			return len(next) > 0, next
		},
		Equal: func(a, b any) bool { return s.equal(a.(stateSet), b.(stateSet)) },
		Hash:  func(a any) uint64 { return a.(stateSet).hash() },
		DescribeOperation: func(input, output any) string {
			o := input.(*linearizability.Operation)
			if output == nil {
				return fmt.Sprintf("%v → ?", o.Request)
			}
			return fmt.Sprintf("%v → %v", o.Request, output)
		},
		DescribeState: func(a any) string { return a.(stateSet).String() },
	}
}

// intern returns the one object for a state.
func (s *search) intern(k keys) *state {
	s.encoding = k.encode(s.encoding[:0])
	if known, ok := s.known[string(s.encoding)]; ok {
		return known
	}
	one := &state{keys: k, hash: xxhash.Sum64(s.encoding)}
	s.known[string(s.encoding)] = one
	return one
}

// step returns the states that an operation may lead to. When the search has taken too many steps it finds no more, which ends it.
func (s *search) step(from stateSet, o *linearizability.Operation, output any) stateSet {
	var next stateSet
	round := s.nextRound()
	for _, one := range from {
		if s.steps++; s.exhausted() {
			break
		}
		for _, to := range s.move(one, o, output) {
			if to.mark != round {
				to.mark = round
				next = append(next, to)
			}
		}
	}
	return next
}

func (s *search) move(from *state, o *linearizability.Operation, output any) stateSet {
	m := move{from, o}
	to, made := s.moves[m]
	if !made {
		for _, k := range step(from.keys, o, output) {
			to = append(to, s.intern(k))
		}
		s.moves[m] = to
	}
	return to
}

// nextRound returns a new mark: whatever bears it was met in this round.
func (s *search) nextRound() uint64 {
	s.round++
	return s.round
}

// equal says whether two sets hold the same states.
func (s *search) equal(a, b stateSet) bool {
	if len(a) != len(b) {
		return false
	}
	round := s.nextRound()
	for _, one := range a {
		one.mark = round
	}
	for _, one := range b {
		if one.mark != round {
			return false
		}
	}
	return true
}

// hash does not depend on the order in which the states were found.
func (a stateSet) hash() (sum uint64) {
	for _, one := range a {
		sum ^= one.hash
	}
	return sum
}

func (a stateSet) String() string {
	texts := make([]string, len(a))
	for i, one := range a {
		texts[i] = fmt.Sprint(one.keys)
	}
	return "{" + strings.Join(texts, ", ") + "}"
}
