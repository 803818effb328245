// Package transport carries messages between members over TCP: the network port of the real world.
//
// A message travels on a connection that its sender has dialled. So each pair of members has two connections, and a member hears nothing when
// the connections to it are cut. The other way round, a connection carries only the answers to its greeting and its pings. A lost connection is
// dialled again, with jittered exponential back-off. What is queued for a peer that can't be reached is dropped: by the port's contract, a message
// may be lost.
//
// What messages mean, how lost ones are repeated and who the members are is node's business. What to do with a message that arrives
// (Config.Deliver), and where keys and certificates come from, is the caller's.
//
// # Greeting
//
// Both sides say who they are before anything else, the dialler first; numbers are little-endian:
//
//	0        8         10       12        13      14      15      16        24     32   40     44
//	| magic  | version | oldest | verdict | reads | up to | needs | cluster | from | to | zero | crc |
//
// version and oldest are the newest and the oldest version of this protocol that the sender speaks. Both sides then use the newest version that
// both speak. The verdict in the answer says whether the dialler is let in, or why not. The crc is a CRC-32C of all bytes before it.
//
// reads and up to are the oldest and the newest of the cluster's format versions (package format) that the sender reads, and needs is the newest that
// what it sends may have. All three are zero in detcd 0.1.0, which reads version 1, and which does not look there in what it is sent. Where one side
// does not read what the other needs there is no connection, in either direction: so nobody is sent what it can't read.
//
// # Frames
//
//	0      1       2       3      4        8       12    16
//	| kind | class | flags | zero | length | total | crc | payload of length bytes |
//
// A message is cut into data frames of at most 64 KiB of payload, the first and the last marked in flags, each with the message's
// total length. Frames of messages of different classes may alternate; those of one class come in order. So a heartbeat waits for one frame of a
// snapshot at most, not for the whole snapshot. A ping carries 8 bytes, and its pong repeats them. The crc is a CRC-32C of header and payload. A
// frame that is wrong in any way ends the connection.
//
// # Concurrency
//
// All methods of a Transport may be called by any goroutine, and none but Close blocks. Each peer has a goroutine that dials and writes. Each
// connection has one that reads and calls Deliver. While Deliver blocks, TCP slows the sender down.
package transport
