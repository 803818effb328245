package watch

import "github.com/cespare/xxhash/v2"

// tree finds the ranges that contain a key. It is a search tree, ordered by start and then by end. Each node knows how far the ranges of its
// subtree reach. The tree is a treap: its priorities are hashes of the ranges, so its shape depends on nothing but the ranges in it.
type tree struct {
	root *node
	len  int
}

type node struct {
	audience    *audience
	priority    uint64
	reach       span // of the subtree, the span that ends last
	left, right *node
}

// appendContaining appends the audiences of all ranges that contain the key, in the order of ranges.
func (t *tree) appendContaining(to []*audience, key []byte) []*audience {
	return t.root.appendContaining(to, key)
}

func (n *node) appendContaining(to []*audience, key []byte) []*audience {
	for n != nil && (n.reach.open || string(key) < n.reach.end) {
		to = n.left.appendContaining(to, key)
		if string(key) < n.audience.span.start {
			return to // what is to the right starts later still
		}
		if n.audience.span.contains(key) {
			to = append(to, n.audience)
		}
		n = n.right
	}
	return to
}

// get returns the audience of a range, a new one if there is none yet.
func (t *tree) get(s span) *audience {
	n := t.root
	for n != nil {
		c := compareSpans(s, n.audience.span)
		if c == 0 {
			return n.audience
		}
		if c < 0 {
			n = n.left
		} else {
			n = n.right
		}
	}
	a := newAudience(s)
	t.root = t.root.insert(&node{audience: a, priority: priorityOf(s), reach: s})
	t.len++
	return a
}

func priorityOf(s span) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(s.start)
	_, _ = d.WriteString("\x00")
	_, _ = d.WriteString(s.end)
	return d.Sum64()
}

func (n *node) insert(added *node) *node {
	if n == nil {
		return added
	}
	if added.priority > n.priority {
		added.left, added.right = n.split(added.audience.span)
		added.update()
		return added
	}
	if compareSpans(added.audience.span, n.audience.span) < 0 {
		n.left = n.left.insert(added)
	} else {
		n.right = n.right.insert(added)
	}
	n.update()
	return n
}

// split parts a subtree into what lies before s and what lies after it; s itself is not in it.
func (n *node) split(s span) (before, after *node) {
	if n == nil {
		return nil, nil
	}
	if compareSpans(n.audience.span, s) < 0 {
		n.right, after = n.right.split(s)
		before = n
	} else {
		before, n.left = n.left.split(s)
		after = n
	}
	n.update()
	return before, after
}

// remove takes a range out, which must be there.
func (t *tree) remove(s span) {
	t.root = t.root.remove(s)
	t.len--
}

func (n *node) remove(s span) *node {
	switch c := compareSpans(s, n.audience.span); {
	case c < 0:
		n.left = n.left.remove(s)
	case c > 0:
		n.right = n.right.remove(s)
	default:
		return join(n.left, n.right)
	}
	n.update()
	return n
}

// join makes one subtree of two, all of the first before all of the second.
func join(a, b *node) *node {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.priority > b.priority:
		a.right = join(a.right, b)
		a.update()
		return a
	}
	b.left = join(a, b.left)
	b.update()
	return b
}

func (n *node) update() {
	n.reach = n.audience.span
	for _, child := range [...]*node{n.left, n.right} {
		if child != nil && compareEnds(child.reach, n.reach) > 0 {
			n.reach = child.reach
		}
	}
}
