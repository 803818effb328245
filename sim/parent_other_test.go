//go:build !linux

package sim_test

import "os"

// commandOutput: see the file for Linux. Elsewhere the line is seen with -v.
func commandOutput() *os.File { return nil }
