//go:build !unix

package main

import "time"

var started = time.Now()

// cpuTime stands in for the processor time where there is no way to ask for it: a simulation waits for nothing.
func cpuTime() time.Duration { return time.Since(started) }
