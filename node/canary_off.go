//go:build !canary

package node

// canaryStaleReads is true only in builds with the tag canary: linearizable reads are then answered from whatever this member knows. Such a
// build exists to be caught: a simulator run that passes with it checks nothing.
const canaryStaleReads = false
