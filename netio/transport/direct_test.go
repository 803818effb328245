package transport

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/detcd/detcd/node/port"
)

// TestDirect_KeepsTheStreamWhole has messages written by their senders and by the writer in turns, with a kernel that takes only part of
// most direct writes: every message must arrive once, whole, and in the order of its class.
func TestDirect_KeepsTheStreamWhole(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	tr := New(Config{Self: 1, Cluster: testCluster, Deliver: func(port.MemberID, []byte) {}, Logger: &logbook{}, PingInterval: time.Millisecond})
	p := newPeer(tr, port.Peer{ID: 2})
	draw := rand.New(rand.NewPCG(1, 2))
	var directs, partial int
	p.outgoing = here
	p.direct = func(b []byte) (int, error) {
		n := draw.IntN(len(b) + 1)
		directs++
		if n < len(b) {
			partial++
		}
		return here.Write(b[:n])
	}
	const messages = 3000
	var reading sync.WaitGroup
	reading.Go(func() {
		r := newFrameReader(there)
		var next [classes]uint32
		for total := 0; total < messages; {
			f, err := r.next()
			if err != nil {
				t.Errorf("after %d messages: %v", total, err)
				return
			}
			if f.kind != frameData {
				continue
			}
			total++
			if n := binary.LittleEndian.Uint32(f.payload); n != next[f.class] {
				t.Errorf("message %d of class %d came in place of %d", n, f.class, next[f.class])
				return
			}
			if want := pattern(len(f.payload)-4, int(next[f.class])); !bytes.Equal(f.payload[4:], want) {
				t.Errorf("message %d of class %d was changed", next[f.class], f.class)
			}
			next[f.class]++
		}
	})
	written := make(chan error, 1)
	go func() { written <- p.write(here, nil) }()
	var sent [classes]uint32
	for i := range messages {
		class := port.Class(i % classes)
		size := draw.IntN(200)
		if i%50 == 0 {
			size = directBytes + draw.IntN(100)
		}
		p.send(class, append(binary.LittleEndian.AppendUint32(nil, sent[class]), pattern(size, int(sent[class]))...))
		sent[class]++
		if i%3 == 0 {
			waitAsleep(p)
		}
	}
	reading.Wait()
	p.unwant()
	<-written
	p.mu.Lock()
	defer p.mu.Unlock()
	if directs == 0 || partial == 0 {
		t.Errorf("%d direct writes, %d of them in part: the test tested nothing", directs, partial)
	}
}

// waitAsleep waits until the writer sleeps.
func waitAsleep(p *peer) {
	for {
		p.mu.Lock()
		asleep := p.sleeping
		p.mu.Unlock()
		if asleep {
			return
		}
		time.Sleep(10 * time.Microsecond)
	}
}
