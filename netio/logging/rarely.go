package logging

import (
	"errors"
	"net"
	"sync"
	"time"
)

const (
	// maxRare bounds how many kinds of lines a Rarely tells apart at a time.
	maxRare = 1024
	// failureBytes is how much of a failure's text tells kinds apart: the rest may be what a stranger made up.
	failureBytes = 64
	// clipBytes is how much of a stranger's word a line shows: more than the longest name of a host.
	clipBytes = 256
)

// Rarely thins out lines that strangers can cause as often as they like. It may be used by several goroutines.
type Rarely struct {
	interval time.Duration

	mu   sync.Mutex
	told map[string]rare
}

// rare is one kind of line: when it may come again, and how many were left out since the last one.
type rare struct {
	again time.Time
	left  int
}

// NewRarely lets one line of each kind through in an interval.
func NewRarely(interval time.Duration) *Rarely {
	return &Rarely{interval: interval, told: map[string]rare{}}
}

// AllowFailure is Allow for lines about connections that failed: what failed alike, from the same host, is of one kind, whatever its port.
func (r *Rarely) AllowFailure(conn net.Conn, err error) (leftOut int, ok bool) {
	return r.Allow(failureKind(conn.RemoteAddr(), err))
}

func failureKind(remote net.Addr, err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err // without the addresses: each connection has a port of its own
	}
	text := err.Error()
	return HostOf(remote) + " " + text[:min(len(text), failureBytes)]
}

// HostOf is an address without the port.
func HostOf(a net.Addr) string {
	if host, _, err := net.SplitHostPort(a.String()); err == nil {
		return host
	}
	return a.String()
}

// Clip is what a line shows of a stranger's word.
func Clip(word string) string { return word[:min(len(word), clipBytes)] }

// Allow says whether a line of that kind is due, and how many of that kind were left out since the last one.
func (r *Rarely) Allow(kind string) (leftOut int, ok bool) { return r.allow(kind, time.Now()) }

func (r *Rarely) allow(kind string, now time.Time) (leftOut int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, known := r.told[kind]
	if known && now.Before(k.again) {
		k.left++
		r.told[kind] = k
		return 0, false
	}
	if !known && len(r.told) >= maxRare {
		for old, k := range r.told {
			if !now.Before(k.again) {
				delete(r.told, old)
			}
		}
		if len(r.told) >= maxRare { // so many kinds at once are themselves too many lines
			return 0, false
		}
	}
	r.told[kind] = rare{again: now.Add(r.interval)}
	return k.left, true
}
