// Package node is one member of the cluster: it orders requests with raft, keeps them in its log, applies them to the
// state machine, answers reads, and brings other members up to date. It leaves to statemachine what a request means, to node/wal
// and node/snapshot how bytes lie on a disk, and to its ports (node/port) everything outside itself.
//
// A member is a passive object: it does nothing unless one of its methods is called, and no method blocks (except Open, which
// reads the disk). Calls come one at a time; a batch of calls that ends with EndTurn is a turn. TryLinearize and AcquireView are
// the exceptions: any goroutine may call them at any time.
package node
