package replicas

import (
	"github.com/detcd/detcd/linearizability"
)

// Durability holds two promises of consensus (Raft thesis, section 3.2). What was committed stays committed, and is the same on every member and after
// every restart. And a term has one leader at most.
type Durability struct {
	entries map[uint64]committed
	leaders map[uint64]elected
	newest  uint64 // index of the last entry that any member has committed
}

type committed struct{ member, term, hash uint64 }

// elected is a member in one run of it.
type elected struct{ member, incarnation uint64 }

// Committed notes that a member takes the entry at index for committed; hash is of its data.
func (d *Durability) Committed(member, index, term, hash uint64) *linearizability.Violation {
	if d.entries == nil {
		d.entries = make(map[uint64]committed)
	}
	d.newest = max(d.newest, index)
	first, known := d.entries[index]
	if !known {
		if before, ok := d.entries[index-1]; ok && before.term > term {
			return linearizability.Broken("durability", nil, "entry %d is committed with term %d on member %x, the one before it with term %d on member %x",
				index, term, member, before.term, before.member)
		}
		if after, ok := d.entries[index+1]; ok && after.term < term {
			return linearizability.Broken("durability", nil, "entry %d is committed with term %d on member %x, the one after it with term %d on member %x",
				index, term, member, after.term, after.member)
		}
		d.entries[index] = committed{member, term, hash}
		return nil
	}
	if first.term != term || first.hash != hash {
		return linearizability.Broken("durability", nil, "entry %d is committed with term %d and data %016x on member %x, with term %d and data %016x on member %x",
			index, first.term, first.hash, first.member, term, hash, member)
	}
	return nil
}

// Recovered wants a member to have everything that was ever committed. The member has recovered, and a quorum with it. This finds entries that all
// members have lost.
func (d *Durability) Recovered(member, commit uint64) *linearizability.Violation {
	if commit < d.newest {
		return linearizability.Broken("durability", nil, "entry %d was committed, member %x has recovered only %d", d.newest, member, commit)
	}
	return nil
}

// Leader notes that a run of a member leads in a term. A later run of the same member counts as another leader: it can only come to lead in the same
// term if its earlier run had led before the vote for itself was durable.
func (d *Durability) Leader(member, incarnation, term uint64) *linearizability.Violation {
	if d.leaders == nil {
		d.leaders = make(map[uint64]elected)
	}
	now := elected{member, incarnation}
	if first, known := d.leaders[term]; known && first != now {
		return linearizability.Broken("one leader a term", nil, "in term %d both member %x in its run %d and member %x in its run %d lead",
			term, first.member, first.incarnation, member, incarnation)
	}
	d.leaders[term] = now
	return nil
}
