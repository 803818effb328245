// Package watch tells clients what changed, in order, once, and without leaving anything out.
//
// A watcher is a range of keys and a cursor in the event log of the state machine. It has no queue of events: what it has yet to be told
// is what the log holds from its cursor on. So a slow watcher costs nobody anything. One whose cursor a compaction has overtaken is
// cancelled with the compacted revision, as by etcd. DESIGN.md beside this file shows how it all fits together.
//
// The parts:
//
//   - A Hub belongs to the member. After each publication of a view it walks the new events once and marks the Interests (ranges) that
//     they match. An event costs nothing for ranges that it does not concern.
//   - A Stream is one client's stream with all its watchers. It has one Interest per distinct range. When woken, it takes the marks,
//     reads the log of a view from the marked revision on, and makes responses. Watchers of one range with the same filters and prev_kv
//     form a cohort: their events are encoded once, and they share the bytes.
//   - A watcher that starts in the past catches up in a cohort of its own until it reaches the head of a view, then it joins the others.
//
// What is left to others: connections, headers, authorization, and deciding when a stream must end (package netio/door/services); what an event is
// and how long it is kept (package statemachine).
//
// No event is missed, as everybody keeps to one order. The member first publishes a view, and then calls Hub.Publish. A stream first takes
// the marks, and then acquires a view. So the view that a stream reads holds all that it was marked for. And no event is told twice, however
// often its range is marked, as each watcher knows the next revision that it is to be told.
//
// Concurrency: a Hub is called within turns of its member. A Stream belongs to one caller at a time, on any goroutine. They meet in the
// Interest only, in atomic words.
package watch
