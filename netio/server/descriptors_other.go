//go:build !unix

package server

// descriptorLimit is not known on this system.
func descriptorLimit() (limit uint64, known bool) { return 0, false }
