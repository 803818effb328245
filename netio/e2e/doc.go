// Package e2e tests detcd as its users meet it: real processes on loopback ports, stock clients (Go's clientv3 and etcdctl), real
// signals and real files. It holds tests only.
//
// What the tests demand of a server was proved on stock etcd: DETCD_E2E_SERVER=/path/to/etcd runs the suite against that binary
// (tests about detcd's own files are skipped then), and together with -rewrite writes the expected answers anew in testdata. They
// are etcd's answers, never detcd's.
//
// DETCD_E2E_OLD=/path/to/detcd names an earlier build of detcd, of which a cluster is upgraded then. Its format versions must be older than this one's.
//
// DETCD_E2E_LOGS=/a/directory keeps what all members printed.
//
// DETCD_E2E=full runs the long forms and holds detcd to the times it promises; otherwise those get some slack, since the tests
// of other packages run on the same cores. -short leaves the crash tests out.
//
// Concurrency: a test that holds detcd to a time, or kills under a storm of writes, has the machine to itself. The others, which mostly wait
// (for elections, for leases to run out), are parallel: they run together after those. Every test has clusters of its own.
package e2e
