// Command bench puts the same load on detcd and on stock etcd, side by side, and prints what each made of it.
//
// Both clusters run at once on loopback ports with the same flags; the load goes to one, then to the other, round after round, so that
// whatever else the machine does meets both. There are two kinds of load, chosen by -ops:
//
//   - Unary calls (put, lrange, srange): of each, bench prints requests/s, p50, p99, server CPU per request (all members together, as the
//     operating system accounts it), resident memory, and detcd's share of etcd's figures. A gRPC server that does nothing, in a process
//     of its own, shows the ceiling: what is left when the database is taken away.
//   - Workloads (workload.go), each with fresh servers and figures of its own: very many watchers of one range (watch.go), one that catches
//     up on what it missed (replay.go; also beside a server that does nothing, ceilingwatch.go), leases that are renewed (lease.go), all of many keys at once (bigrange.go), a follower that missed something (catchup.go). They check what they are sent: a server that drops an event,
//     loses a lease or leaves out a key fails the run, however fast it is.
//
// The load generator writes gRPC's HTTP/2 frames itself (rawclient.go, rawstream.go) and reads of answers only what it must (scan.go):
// generator and servers share the cores, and a stock gRPC client costs about as much as the server it asks. -client=grpc takes the stock
// client for unary calls instead.
//
// -baseline=BINARY has another build of detcd run beside, as one more contender in every load (contender.go): whoever changes detcd measures
// with the build from before, in the same run. With -etcd=none that takes less time.
//
// The folder is a Go module of its own, so that what only a benchmark needs never reaches detcd's go.mod. Stock etcd is pinned in
// etcd.mod, with the versions of its libraries that it was released with.
//
// Concurrency: one goroutine a client, or a stream; what they share is a phase and counters, all atomic.
package main
