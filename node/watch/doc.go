// Package watch tells clients what changed, in order, once, and without leaving anything out.
//
// A watcher is a cursor in the event log of the state machine plus a range of keys: there is no queue of events per watcher. What a
// watcher has yet to be told is what lies in the log behind its cursor, so one that is slow costs nobody anything, and one whose cursor
// a compaction has overtaken is cancelled with the compacted revision, as etcd does it.
//
// The parts:
//
//   - A Hub belongs to the member. After each publication of a view it walks the new events once and marks the Interests (ranges) that
//     they match; the price of an event does not grow with ranges that it does not concern.
//   - A Stream is one client's stream with all its watchers. It has one Interest per distinct range. When woken, it takes the marks,
//     reads the log of a view from the marked revision on, and makes responses. Watchers of one range with the same filters and prev_kv
//     form a cohort: their events are encoded once, and they share the bytes.
//   - A watcher that starts in the past catches up in a cohort of its own until it reaches the head of a view, then it joins the others.
//
// What is left to others: connections, headers, authorization, and deciding when a stream must end (package netio/door/services); what an event is
// and how long it is kept (package statemachine).
//
// Nothing is missed because of one order of doing things: the member publishes a view first and calls Hub.Publish then; a stream takes
// the marks first and acquires a view then. So a view that a stream reads holds all that it was marked for. A watcher's own next revision
// makes sure that nothing is told twice, however often its range is marked.
//
// Concurrency: a Hub is called within turns of its member. A Stream belongs to one caller at a time, on any goroutine. They meet in the
// Interest only, in atomic words.
package watch
