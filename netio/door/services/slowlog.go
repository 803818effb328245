package services

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// slowLines is how many slow requests are logged one by one within slowSpan. A load that is too much makes all requests slow: the lines
	// then say the same again and again, and writing them makes it worse.
	slowLines = 10
	slowSpan  = time.Minute
)

// slowLog thins out the warnings of slow requests. The first ones of a span are logged in full. Of the others one line says how many they were.
type slowLog struct {
	log *zap.Logger

	mu      sync.Mutex
	end     *time.Timer // of the span; nil between spans
	said    int
	left    int
	slowest time.Duration // of those left out
}

// take says whether a slow request gets a line of its own.
func (l *slowLog) take(took time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.end == nil {
		l.end = time.AfterFunc(slowSpan, l.sum)
	}
	if l.said < slowLines {
		l.said++
		return true
	}
	l.left++
	l.slowest = max(l.slowest, took)
	return false
}

// sum ends a span, and says what was left out in it.
func (l *slowLog) sum() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.end == nil {
		return
	}
	l.end.Stop()
	if l.left > 0 {
		l.log.Warn("more slow requests were not logged one by one", zap.Int("left-out", l.left), zap.Duration("slowest", l.slowest),
			zap.Duration("within", slowSpan))
	}
	l.end, l.said, l.left, l.slowest = nil, 0, 0, 0
}
