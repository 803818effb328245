package statemachine

import (
	"cmp"
	"encoding/binary"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// tables are the replicated sets beside the keys. A new set is a field here, its declaration in newTables and its place in all: it is then
// part of views, of the state hash, of snapshots and of the sizes.
type tables struct {
	leases    table[Lease]      // by id
	leaseKeys table[leaseKey]   // by lease, then key
	sessions  table[session]    // by proposer
	members   table[MemberInfo] // by id
	removed   table[MemberID]
	alarms    table[alarm] // by type, then member
}

func newTables(sum *tally) tables {
	return tables{
		leases: newTable(sum, rowType[Lease]{
			letter: 'L',
			before: func(a, b Lease) bool { return a.ID < b.ID },
			append: Lease.append,
			read:   (*decoder).lease,
			bytes:  func(Lease) int64 { return leaseOverhead },
		}),
		leaseKeys: newTable(sum, rowType[leaseKey]{ // which keys a lease has is in the keys' versions
			before: func(a, b leaseKey) bool { return a.lease < b.lease || a.lease == b.lease && a.key < b.key },
			bytes:  func(k leaseKey) int64 { return leaseKeyBytes + int64(len(k.key)) },
		}),
		sessions: newTable(sum, rowType[session]{
			letter: 'S',
			before: func(a, b session) bool { return a.proposer < b.proposer },
			append: session.append,
			read:   (*decoder).session,
		}),
		members: newTable(sum, rowType[MemberInfo]{
			letter: 'M',
			before: func(a, b MemberInfo) bool { return a.ID < b.ID },
			append: MemberInfo.append,
			read:   (*decoder).member,
		}),
		removed: newTable(sum, rowType[MemberID]{
			letter: 'R',
			before: func(a, b MemberID) bool { return a < b },
			append: func(id MemberID, b []byte) []byte { return binary.AppendUvarint(b, id) },
			read:   (*decoder).uvarint,
		}),
		alarms: newTable(sum, rowType[alarm]{
			letter: 'A',
			before: func(a, b alarm) bool { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.member, b.member)) < 0 },
			append: alarm.append,
			read:   (*decoder).alarm,
		}),
	}
}

// all lists the tables in the order in which snapshots hold them. A new one comes last.
func (t *tables) all() []replicated {
	return []replicated{&t.leases, &t.leaseKeys, &t.sessions, &t.members, &t.removed, &t.alarms}
}

func (l Lease) append(b []byte) []byte {
	return binary.AppendVarint(binary.AppendVarint(binary.AppendVarint(b, l.ID), l.TTL), l.Remaining)
}

func (d *decoder) lease() Lease { return Lease{ID: d.varint(), TTL: d.varint(), Remaining: d.varint()} }

func (s session) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, s.proposer)
	b = binary.LittleEndian.AppendUint64(b, s.incarnation)
	b = binary.LittleEndian.AppendUint64(b, s.floor)
	for _, word := range s.applied {
		b = binary.LittleEndian.AppendUint64(b, word)
	}
	return b
}

func (d *decoder) session() session {
	s := session{d.uint64(), &sequences{incarnation: d.uint64(), floor: d.uint64()}}
	for i := range s.applied {
		s.applied[i] = d.uint64()
	}
	return s
}

func (o MemberInfo) append(b []byte) []byte {
	b = appendString(binary.AppendUvarint(b, o.ID), o.Name)
	return appendBool(appendStrings(appendStrings(b, o.PeerURLs), o.ClientURLs), o.Learner)
}

func (d *decoder) member() MemberInfo {
	return MemberInfo{ID: d.uvarint(), Name: d.string(), PeerURLs: d.strings(), ClientURLs: d.strings(), Learner: d.bool()}
}

func (a alarm) append(b []byte) []byte {
	return binary.AppendUvarint(binary.AppendVarint(b, int64(a.kind)), a.member)
}

func (d *decoder) alarm() alarm { return alarm{kind: pb.AlarmType(d.varint()), member: d.uvarint()} }
