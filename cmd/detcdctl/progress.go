package main

import (
	"fmt"
	"time"
)

// patience is how long something may take before a person is told what it is.
const patience = time.Second

// progress is a line on the terminal that says what is going on, renewed each second and wiped away when it ends. Where no person looks there is
// none.
type progress struct{ quit, gone chan struct{} }

func (a *app) progress(what func() string) *progress {
	p := &progress{make(chan struct{}), make(chan struct{})}
	if !a.terminal {
		close(p.gone)
		return p
	}
	go func() {
		defer close(p.gone)
		began := time.Now()
		ticker := time.NewTicker(patience)
		defer ticker.Stop()
		for shown := false; ; {
			select {
			case <-ticker.C:
				shown = true
				fmt.Fprintf(a.stderr, "\r\x1b[K%s (%s)", what(), time.Since(began).Round(time.Second))
			case <-p.quit:
				if shown {
					fmt.Fprint(a.stderr, "\r\x1b[K")
				}
				return
			}
		}
	}()
	return p
}

// stop wipes the line away; what is printed next begins where it began.
func (p *progress) stop() {
	close(p.quit)
	<-p.gone
}
