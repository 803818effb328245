package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// load is a lot of puts by many clients at once: the work of the command check.
type load struct {
	prefix             string
	keySize, valueSize int // bytes, the prefix aside
	clients            int
	perSecond          int // puts begun a second; 0: as many as the clients can
	puts               int // in all; 0: until the context ends
}

// loadResult says how the puts went.
type loadResult struct {
	took     []time.Duration // of each put that was answered
	lasted   time.Duration
	failures map[string]int // by error
}

// run puts until all is done or the context ends; puts that are under way then are still waited for.
func (l load) run(ctx context.Context, clients []*clientv3.Client, done func()) loadResult {
	keys := make(chan string, len(clients))
	result := loadResult{failures: map[string]int{}}
	var mu sync.Mutex
	var working sync.WaitGroup
	value := strings.Repeat("\x00", l.valueSize)
	began := time.Now()
	for _, c := range clients {
		working.Go(func() {
			for key := range keys {
				start := time.Now()
				_, err := c.Put(context.WithoutCancel(ctx), key, value)
				took := time.Since(start)
				mu.Lock()
				if err != nil {
					result.failures[err.Error()]++
				} else {
					result.took = append(result.took, took)
				}
				mu.Unlock()
				done()
			}
		})
	}
	l.begin(ctx, keys)
	working.Wait()
	result.lasted = time.Since(began)
	return result
}

// begin hands out keys at the pace that is asked for.
func (l load) begin(ctx context.Context, keys chan<- string) {
	defer close(keys)
	began := time.Now()
	for i := 0; l.puts == 0 || i < l.puts; i++ {
		var due <-chan time.Time
		if l.perSecond > 0 {
			due = time.After(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(l.perSecond))))
		} else {
			due = closed
		}
		select {
		case <-ctx.Done():
			return
		case <-due:
		}
		select {
		case <-ctx.Done():
			return
		case keys <- l.prefix + fmt.Sprintf("%0*x", l.keySize, rand.Uint64()):
		}
	}
}

// closed is always due.
var closed = func() chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}()

// rate is how many puts were answered a second.
func (r loadResult) rate() float64 { return float64(len(r.took)) / r.lasted.Seconds() }

func (r loadResult) slowest() time.Duration {
	if len(r.took) == 0 {
		return 0
	}
	return slices.Max(r.took)
}

// deviation is the standard deviation of the times.
func (r loadResult) deviation() time.Duration {
	if len(r.took) == 0 {
		return 0
	}
	mean, squares := 0.0, 0.0
	for _, d := range r.took {
		mean += d.Seconds() / float64(len(r.took))
	}
	for _, d := range r.took {
		squares += (d.Seconds() - mean) * (d.Seconds() - mean)
	}
	return time.Duration(math.Sqrt(squares/float64(len(r.took))) * float64(time.Second))
}
