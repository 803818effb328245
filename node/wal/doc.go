// Package wal keeps a member's raft log, term, vote and snapshot marks durable, and tells a torn write from corruption. What the entries mean, when to
// take a snapshot and when to release segments is for the caller to know. DESIGN.md beside this file shows how it all fits together.
//
// Concurrency: this is plain sequential code that blocks on its Disk. It is for one caller at a time, except for the counters.
//
// # Format
//
// The WAL is a sequence of files wal-<seq as 16 hex digits>.log, called segments. A new segment is preallocated with zeroes under a temporary name and
// gets its header; it is synced and renamed, and the directory is synced. Only then it is used. It is a sequence of records, each at a
// multiple of 8, all numbers little-endian:
//
//	 0      4        8       12     13      14    16         24
//	+------+--------+-------+------+-------+-----+----------+---------+---------+
//	| CRC  | length | chain | kind | flags | sub | batch    | payload | zeroes  |
//	+------+--------+-------+------+-------+-----+----------+---------+---------+
//	  u32    u32      u32     u8     u8      u16   u64        length    up to 8n
//
//	CRC     CRC-32C of segment seq (u64), offset of the record (u64), and all that follows the CRC, padding included.
//	        It binds the record to its place: a copy of WAL bytes inside an entry is never taken for a record.
//	chain   the CRC of the record before, across segments
//	flags   1: the last record of its batch
//	batch   the batch's number, growing by one over the whole life of the WAL
//
//	kind        sub            payload
//	1 header                   "detcdWAL", version u32, flags u32 (1: hard state, 2: snapshot), then u64s: cluster, member, seq, incarnation,
//	                           term, vote, commit, last index, last term, snapshot index, snapshot term, size of the file, size of the batch
//	                           after it where that is large (both 0 in detcd 0.1.0, which did not say); then the conf state: what all
//	                           segments before amount to. Its batch and chain are those of the last complete batch before it.
//	2 entry     entry type     index u64, term u64, data
//	3 snapshot  1: log void    index u64, term u64, conf state
//	4 hardstate                term u64, vote u64, commit u64
//	5 start                    incarnation u64: a run begins, or goes on in it
//	6 settled
//
// # Torn or corrupt
//
// A batch is written with one write into one segment, and counts only if it is whole. Batch n+1 is written only after the sync of
// batch n has returned. So where reading stops, before the end of the last segment, at a record that is not intact:
//   - if an intact record of a batch later than the damaged one follows, or a further segment whose header continues from a later
//     record, then the damaged bytes had been synced: they are corrupt, and Open refuses;
//   - if a file is shorter than its header says, it was cut: corrupt;
//   - if more bytes behind the end are not zero than one write can leave there, they are corrupt. A write is one batch; one that takes more
//     than a fourth of its segment begins a segment, and the header, durable before it, says its size;
//   - if the log does not lead up to what the reach says, which was written after the sync, it is corrupt;
//   - else the last batch is torn: its sync had not returned, nobody was told of it. It is cut: zeroed, synced.
//
// A settled record is the first record of the batch after it, and carries that batch's number. It is not synced by itself. It proves that the batch
// before it was synced; if it is lost, nothing else is.
//
// # The reach
//
// What a log says of its own end is lost together with the end. So a second, small file says how far the log reaches (see Reach). It lies on the
// disk of the snapshots, which may be another one, so a log that is missing as a whole is noticed, too. The reach is written after each write of
// the log, once the log's sync has returned: it never claims what is not durable. The reach is synced when the member comes to rest, when a
// segment is begun or a snapshot marked, and else about once a second. After the end of a process it is exact. After a loss of power it may be
// behind by what came since its own sync.
//
// The settled record says the same from within the log, for one who looks at the log without the other disk, as after it was moved or copied.
//
// # What is not noticed
//
//   - Power is lost while the log is written to, and the disk also damages or loses synced bytes that were written within the second before. The
//     reach may be older than these bytes, and then the damage looks like a torn write. To notice it, the reach would have to be synced with each
//     write. That would double the price of a write, also on a disk that is in order. Members of a cluster have the entries from each other; a
//     single member loses what the disk lost.
//   - An attacker writes to the disk, and computes checksums.
//   - Both disks were replaced by older copies of the same time. They fit each other.
package wal
