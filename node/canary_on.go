//go:build canary

package node

// canaryStaleReads: see the file without the tag.
const canaryStaleReads = true
