//go:build !linux

package main

import (
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage returns the CPU time (user and system) that a process has used and the memory it has resident, in bytes, as ps tells them.
func usage(pid int) (cpu time.Duration, rss uint64, err error) {
	out, err := exec.Command("ps", "-o", "time=,rss=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return 0, 0, fmt.Errorf("ps: %w", err)
	}
	fields := strings.Fields(string(out))
	if len(fields) != 2 {
		return 0, 0, fmt.Errorf("ps printed %q", out)
	}
	var seconds float64
	for part := range strings.SplitSeq(fields[0], ":") {
		n, err := strconv.ParseFloat(part, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("ps printed %q", out)
		}
		seconds = seconds*60 + n
	}
	kib, err := strconv.ParseUint(fields[1], 10, 64)
	return time.Duration(seconds * float64(time.Second)), kib << 10, err
}

// forgetPeak: only Linux keeps a peak that can be begun anew; elsewhere there are samples.
func forgetPeak(int) error { return errors.ErrUnsupported }

func peakMemory(int) (uint64, error) { return 0, errors.ErrUnsupported }

// endWithParent: only Linux has a way.
func endWithParent() *syscall.SysProcAttr { return nil }

// loadBefore says how busy the machine is with other things; only Linux tells simply.
func loadBefore() string { return "unknown" }
