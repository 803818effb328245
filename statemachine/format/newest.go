//go:build !detcd_oldformat

package format

const newest = Envelopes
