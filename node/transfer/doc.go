// Package transfer brings a snapshot from a leader to a follower, in chunks.
//
// A Sender reads the state from a pinned view and keeps a few chunks under way to each follower. A Receiver takes the chunks in order only, and
// answers each with the number of the next one that it wants; a lost chunk, or a lost answer, makes the sender go back to that number when
// nothing moves (go-back-N). The answers are the flow control, too: a chunk is answered when it is on the follower's disk. When all chunks are
// there, the file is made durable and read back, and only then the member hears of it (Follower.Arrived).
//
// The first chunk travels alone. It holds the raft message that the snapshot belongs to, and no second chunk leaves before it is answered.
// So a receiver that gets a later chunk of a stream that it does not know has lost the beginning, and refuses the stream.
//
// What raft makes of a snapshot, and when one is sent, is left to the member (node/transfers.go).
//
// The messages, numbers little-endian:
//
//	chunk  KindChunk | stream uint64 | sequence uint32 | last uint8 | length uint32 of the raftpb.Message (first chunk only, else 0) | that message | data
//	ack    KindAck | stream uint64 | next uint32 | state uint8
//
// Concurrency: a Sender and a Receiver belong to one member, and are called in its turns only. The disk is touched in a lane.
package transfer
