// Package statemachine is what the replicated log means: etcd's key-value store with its revisions, transactions
// and compaction, leases, alarms, cluster members, and the record of which proposals were applied already. DESIGN.md shows how the parts fit.
//
// A Machine is a pure function of the log. What an entry does depends on the entries before it and on nothing else: no time, no
// randomness, no order of a map. Two machines that applied the same entries have the same StateHash and write the same snapshot.
//
// Others do the rest:
//   - node sees to agreement and durability, and proposes the alarm of a full store;
//   - node/call calls the Check functions here before it proposes: they need no state;
//   - node/lessor knows when a lease ends, and node proposes a LeaseRevoke then;
//   - node/watch walks a view's Events for the watchers.
//
// # How keys are kept
//
//	live tree: key -> chain      exactly the keys that exist at the head, so counts are differences of ranks
//	dead tree: key -> chain      keys that are deleted at the head, but have versions that can still be read
//	chain: newest -> older -> …  immutable versions; the newest is published atomically
//	event log: every version from the compacted revision on, in revision order
//
// An update of an existing key adds to its chain and touches no tree. A version keeps its mvccpb.KeyValue already encoded. Trees are copied
// on write, so a View of them costs O(1).
//
// # Concurrency
//
// One goroutine at a time calls the methods of a Machine. Any number of goroutines may read a View while the machine goes on; a reader holds a
// pin on it (View.Acquire, View.Release). Nothing here locks or starts a goroutine. The byte slices of views and results are shared: nobody
// may change them.
package statemachine
