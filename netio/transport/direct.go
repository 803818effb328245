package transport

import "github.com/detcd/detcd/node/port"

// directBytes bounds a message that the sender itself writes to the connection.
const directBytes = 16 << 10

// sendDirectly writes a message from the goroutine that sends it, and so wakes no other goroutine. On the way of a lone request through a cluster,
// such wake-ups cost more than anything but the disks. It writes only while the writer sleeps, when nothing is queued. It never waits: what the
// kernel does not take at once is left to the writer. It reports whether the message is on its way. p.mu is held.
func (p *peer) sendDirectly(class port.Class, payload []byte) bool {
	if !p.sleeping || p.direct == nil || len(payload) > directBytes {
		return false
	}
	f := frame{kind: frameData, class: class, flags: flagFirst | flagLast, total: uint32(len(payload)), payload: payload}
	p.scratch = f.append(p.scratch[:0])
	n, err := p.direct(p.scratch)
	if err != nil {
		// The message is lost with the connection.
		p.direct = nil
		_ = p.outgoing.Close()
		return true
	}
	p.stats.sentBytes.Add(uint64(n))
	p.stats.sentMessages.Add(1)
	if n < len(p.scratch) {
		p.rest = append([]byte(nil), p.scratch[n:]...)
		p.sleeping = false
		p.wake <- struct{}{}
	}
	return true
}

// takeRest appends what a direct write has left over.
func (p *peer) takeRest(b []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	b = append(b, p.rest...)
	p.rest = nil
	return b
}
