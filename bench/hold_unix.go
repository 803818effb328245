//go:build !windows

package main

import (
	"sync"
	"syscall"
)

// hold stops a member's process where it is; resume lets it go on, once.
func (c *cluster) hold(i int) (resume func(), err error) {
	p := c.procs[i].Process
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() { _ = p.Signal(syscall.SIGCONT) }), nil // one that has ended is reported by who asks it
}
