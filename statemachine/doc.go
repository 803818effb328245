// Package statemachine is what the replicated log means: etcd's key-value store with its revisions, transactions
// and compaction, leases, alarms, cluster members and the record of which proposals have been applied already.
//
// A Machine is a pure function of the log: every effect of an Apply method depends on the entries applied so far and on
// nothing else, no time, no randomness, no map order. Two machines that applied the same entries have the same
// StateHash and write the same snapshot bytes.
//
// It leaves to others: agreement and durability (node), validation that needs no state before a request is proposed
// (the Check functions here are for the caller to use), lease clocks (expiry is proposed as a LeaseRevoke), watching
// (watchers walk a view's Events), the quota's decision (node raises the alarm by a proposal), auth.
//
// # How keys are kept
//
//	live tree: key -> chain      exactly the keys that exist at the head, so counts are differences of ranks
//	dead tree: key -> chain      keys deleted at the head of which older versions are still retained
//	chain: newest -> older -> …  immutable versions, the newest published atomically
//	event log: every retained version from the compacted revision on, in revision order
//
// An update of an existing key pushes onto its chain and touches no tree. A version keeps its mvccpb.KeyValue already
// encoded. Trees are copied on write, so that a View of them costs O(1).
//
// # Concurrency
//
// All methods of a Machine are called by one goroutine at a time. A View may be read by any number of goroutines while
// the machine goes on, provided that the reader holds a pin on it (View.Acquire, View.Release). Nothing here locks or
// starts a goroutine. Byte slices that views and results hand out are shared and must not be changed.
package statemachine
