// Package transport carries messages between members over TCP: the network port of the real world.
//
// A message travels on a connection that its sender dialled, so each pair of members has two connections, and to cut what
// others dialled to a member cuts what it hears. On the way back on a connection go only the answer to its greeting and to its
// pings. A lost connection is dialled again, with jittered exponential back-off; what is queued for a peer that can't be
// reached is dropped: by contract, a message may be lost.
//
// It leaves to node what messages mean, how lost ones are repeated and who the members are, and to the caller what to
// do with what arrives (Config.Deliver) and where keys and certificates come from.
//
// # Greeting
//
// Both sides say who they are before anything else, the dialler first; numbers are little-endian:
//
//	0        8         10       12        13     16        24     32   40     44
//	| magic  | version | oldest | verdict | zero | cluster | from | to | zero | crc |
//
// version and oldest are the newest and oldest version of this protocol that the sender speaks; both use the newest that
// both speak. The verdict in the answer says whether the dialler is let in, or why not. The crc (CRC-32C) is that of all
// before it.
//
// # Frames
//
//	0      1       2       3      4        8       12    16
//	| kind | class | flags | zero | length | total | crc | payload of length bytes |
//
// A message is cut into data frames of at most 64 KiB of payload, the first and the last marked in flags, each with the message's
// total length. Frames of messages of different classes may alternate; those of one class come in order. So a heartbeat waits for a
// frame of a snapshot, not for the snapshot. Ping and pong frames carry 8 bytes that the pong repeats. The crc is that of header
// and payload. A frame that is wrong in any way ends the connection.
//
// # Concurrency
//
// All methods of a Transport may be called by any goroutine and none but Close blocks. Each peer has a goroutine that dials and
// writes; each connection has one that reads and calls Deliver, and while that blocks, TCP slows the sender down.
package transport
