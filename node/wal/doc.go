// Package wal keeps a member's raft log, term, vote and snapshot marks durable, and tells a torn write from corruption.
// What the entries mean, when to snapshot and when to release are its caller's business.
//
// Concurrency: plain sequential code that blocks on its Disk; one caller at a time, except for the counters.
//
// # Format
//
// The WAL is a sequence of files wal-<seq as 16 hex digits>.log, called segments. A segment is preallocated (zeroes), gets
// its header under a temporary name, is synced, renamed and the directory synced before it is used. It is a sequence of records,
// each at a multiple of 8, all numbers little-endian:
//
//	 0      4        8       12     13      14    16         24
//	+------+--------+-------+------+-------+-----+----------+---------+---------+
//	| CRC  | length | chain | kind | flags | sub | batch    | payload | zeroes  |
//	+------+--------+-------+------+-------+-----+----------+---------+---------+
//	  u32    u32      u32     u8     u8      u16   u64        length    up to 8n
//
//	CRC     CRC-32C of segment seq (u64), offset of the record (u64), and all that follows the CRC, padding included.
//	        Bound to its place, a copy of WAL bytes inside an entry never passes for a record.
//	chain   the CRC of the record before, across segments
//	flags   1: the last record of its batch
//	batch   the batch's number, growing by one over the whole life of the WAL
//
//	kind        sub            payload
//	1 header                   "detcdWAL", version u32, flags u32 (1: hard state, 2: snapshot), then u64s: cluster, member, seq, incarnation,
//	                           term, vote, commit, last index, last term, snapshot index, snapshot term, 0, 0; then the conf state:
//	                           what all segments before amount to. Its batch and chain are those of the last complete batch before it.
//	2 entry     entry type     index u64, term u64, data
//	3 snapshot  1: log void    index u64, term u64, conf state
//	4 hardstate                term u64, vote u64, commit u64
//	5 start                    incarnation u64
//	6 settled
//
// # Torn or corrupt
//
// A batch is written with one write into one segment, and counts only if it is whole. Batch n+1 is written only after the sync of
// batch n has returned. So where reading stops, before the end of the last segment, at a record that is not intact:
//   - if an intact record of a batch later than the damaged one follows, or a further segment whose header continues from a later
//     record, then the damaged bytes had been synced: they are corrupt, and Open refuses;
//   - else the last batch is torn: its sync had not returned, nobody was told of it. It is cut: zeroed, synced.
//
// A settled record carries the number of the batch after it, as that batch's first record. It is not synced by itself: it proves
// that the batch before was, and needs no proof of its own.
package wal
