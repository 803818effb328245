package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// ticksPerSecond is the kernel's unit of CPU time in /proc; it is 100 on every Linux Go runs on.
const ticksPerSecond = 100

// usage returns the CPU time (user and system) that a process has used and the memory it has resident, in bytes.
func usage(pid int) (cpu time.Duration, rss uint64, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	// The second field, the name in brackets, may hold anything; fields are counted after its end. proc(5).
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 22 {
		return 0, 0, fmt.Errorf("/proc/%d/stat: %q", pid, stat)
	}
	const utime, stime, resident = 14 - 3, 15 - 3, 24 - 3
	var n [3]uint64
	for i, f := range []int{utime, stime, resident} {
		if n[i], err = strconv.ParseUint(string(fields[f]), 10, 64); err != nil {
			return 0, 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
	}
	cpu = time.Duration(n[0]+n[1]) * (time.Second / ticksPerSecond)
	return cpu, n[2] * uint64(os.Getpagesize()), nil
}

// forgetPeak makes peakMemory count from now on. Not every container allows it.
func forgetPeak(pid int) error {
	const peakOfRSS = "5" // proc(5), clear_refs
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte(peakOfRSS), 0)
}

// peakMemory returns the most memory that a process has had resident since forgetPeak, in bytes.
func peakMemory(pid int) (uint64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(status, []byte("\nVmHWM:"))
	var kib uint64
	if _, err := fmt.Sscanf(string(rest), "%d kB", &kib); err != nil {
		return 0, fmt.Errorf("/proc/%d/status: VmHWM: %w", pid, err)
	}
	return kib << 10, nil
}

// endWithParent has the kernel end a server when bench itself is killed.
func endWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// loadBefore says how busy the machine is with other things: figures from a busy machine are of little worth.
func loadBefore() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := bytes.Cut(data, []byte(" "))
	return string(first)
}
