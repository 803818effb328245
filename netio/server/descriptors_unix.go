//go:build unix

package server

import "golang.org/x/sys/unix"

// descriptorLimit is how many descriptors this process may have. (Go has raised it to what the system allows.)
func descriptorLimit() (limit uint64, known bool) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, false
	}
	return uint64(r.Cur), true
}
