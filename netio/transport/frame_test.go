package transport

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/detcd/detcd/node/port"
)

// wire returns the frames of messages as one peer would write them.
func wire(p *peer) []byte {
	var b []byte
	for {
		frames := p.cut(nil, 1, true)
		if len(frames) == 0 {
			return b
		}
		for i := range frames {
			b = frames[i].append(b)
		}
	}
}

func pattern(n, seed int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8 + seed)
	}
	return b
}

func TestFrames_CarryMessagesOfAllSizes(t *testing.T) {
	for _, n := range []int{0, 1, 15, fragmentBytes - 1, fragmentBytes, fragmentBytes + 1, 2 * fragmentBytes, 2*trustedBytes + 3} {
		p := &peer{}
		want := pattern(n, n)
		p.send(port.Normal, want)
		r := newFrameReader(bytes.NewReader(wire(p)))
		f, err := r.next()
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if f.class != port.Normal || !bytes.Equal(f.payload, want) {
			t.Errorf("%d bytes: %d bytes of class %d arrived, or others", n, len(f.payload), f.class)
		}
		if len(f.payload) > trustedBytes && cap(f.payload) > n {
			t.Errorf("%d bytes: %d were allocated", n, cap(f.payload))
		}
		if _, err := r.next(); err != io.EOF {
			t.Errorf("%d bytes: error %v at the end, want io.EOF", n, err)
		}
	}
}

// An urgent message that comes while a large one is on its way goes before the rest of that.
func TestFrames_UrgentOvertakes(t *testing.T) {
	p := &peer{}
	bulk, normal := pattern(5*fragmentBytes, 1), pattern(3*fragmentBytes, 2)
	var stream []byte
	step := func() {
		frames := p.cut(nil, 1, true)
		for i := range frames {
			stream = frames[i].append(stream)
		}
	}
	p.send(port.Bulk, bulk)
	step()
	p.send(port.Normal, normal)
	step()
	p.send(port.Urgent, []byte("heartbeat"))
	p.send(port.Urgent, []byte("vote"))
	p.send(port.Normal, []byte("after"))
	stream = append(stream, wire(p)...)
	r := newFrameReader(bytes.NewReader(stream))
	for _, want := range [][]byte{[]byte("heartbeat"), []byte("vote"), normal, []byte("after"), bulk} {
		f, err := r.next()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(f.payload, want) {
			t.Errorf("%d bytes %.20q arrived, want %d bytes %.20q", len(f.payload), f.payload, len(want), want)
		}
	}
}

func TestFrames_DamageIsSeen(t *testing.T) {
	p := &peer{}
	want := []byte("a message")
	p.send(port.Normal, want)
	whole := wire(p)
	for i := range whole {
		for bit := range 8 {
			damaged := slices.Clone(whole)
			damaged[i] ^= 1 << bit
			if f, err := newFrameReader(bytes.NewReader(damaged)).next(); err == nil {
				t.Fatalf("bit %d of byte %d: %q arrived without an error", bit, i, f.payload)
			}
		}
	}
	for n := 1; n < len(whole); n++ {
		if _, err := newFrameReader(bytes.NewReader(whole[:n])).next(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("error %v after %d of %d bytes, want io.ErrUnexpectedEOF", err, n, len(whole))
		}
	}
}

func TestFrames_OutOfTurnAreRefused(t *testing.T) {
	data := func(class port.Class, flags byte, total uint32, n int) frame {
		return frame{kind: frameData, class: class, flags: flags, total: total, payload: make([]byte, n)}
	}
	for name, frames := range map[string][]frame{
		"goes on without a first":    {data(0, 0, 10, 5)},
		"first twice":                {data(0, flagFirst, 10, 5), data(0, flagFirst, 10, 5)},
		"last too early":             {data(0, flagFirst|flagLast, 10, 5)},
		"not last at the end":        {data(0, flagFirst, 5, 5)},
		"longer than it said":        {data(0, flagFirst, 10, 5), data(0, flagLast, 10, 6)},
		"another total":              {data(0, flagFirst, 10, 5), data(0, flagLast, 11, 6)},
		"class unknown":              {data(3, flagFirst|flagLast, 5, 5)},
		"flag unknown":               {data(0, 4|flagFirst|flagLast, 5, 5)},
		"larger than a message":      {data(0, flagFirst, port.MaxMessageBytes+1, 5)},
		"kind unknown":               {{kind: 9}},
		"ping of a length":           {{kind: framePing, total: 7, payload: make([]byte, 7)}},
		"ping of a class":            {{kind: framePing, class: 1, total: 8, payload: make([]byte, 8)}},
		"fragment that is too large": {data(0, flagFirst|flagLast, fragmentBytes+1, fragmentBytes+1)},
	} {
		var b []byte
		for i := range frames {
			b = frames[i].append(b)
		}
		if _, err := newFrameReader(bytes.NewReader(b)).next(); !errors.Is(err, errFrame) {
			t.Errorf("%s: error %v, want errFrame", name, err)
		}
	}
}

// A sender's word that a message is large must not cost memory.
func TestFrames_MemoryFollowsTheBytes(t *testing.T) {
	f := frame{kind: frameData, flags: flagFirst, total: port.MaxMessageBytes, payload: []byte("x")}
	r := newFrameReader(bytes.NewReader(f.append(nil)))
	if _, err := r.next(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if c := cap(r.parts[0].buffer); c > trustedBytes {
		t.Errorf("%d bytes were allocated for one that came", c)
	}
}

func FuzzFrames(f *testing.F) {
	p := &peer{}
	p.send(port.Urgent, []byte("urgent"))
	p.send(port.Normal, nil)
	seed := append(appendPing(nil, 7), wire(p)...)
	f.Add(seed)
	for _, part := range []frame{
		{kind: frameData, class: port.Bulk, flags: flagFirst, total: 7, payload: []byte("abc")},
		{kind: frameData, class: port.Normal, flags: flagFirst | flagLast, total: 2, payload: []byte("de")},
		{kind: frameData, class: port.Bulk, flags: flagLast, total: 7, payload: []byte("fghi")},
	} {
		seed = part.append(seed)
	}
	f.Add(seed)
	f.Add([]byte{1, 0, 3, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := newFrameReader(bytes.NewReader(b))
		arrived := 0
		for {
			f, err := r.next()
			if err != nil {
				break
			}
			arrived += frameHeaderBytes + len(f.payload)
		}
		if arrived > len(b) {
			t.Errorf("%d bytes of frames came from %d bytes", arrived, len(b))
		}
	})
}

func FuzzGreeting(f *testing.F) {
	f.Add(greeting{version: 1, oldest: 1, cluster: 2, from: 3, to: 4}.encode())
	f.Add([]byte(greetingMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := readGreeting(bytes.NewReader(b))
		if err != nil {
			return
		}
		again, err := decodeGreeting(g.encode())
		if err != nil || again != g {
			t.Errorf("%+v became %+v, error %v", g, again, err)
		}
	})
}

func TestGreeting_DamageIsSeen(t *testing.T) {
	whole := greeting{version: 3, oldest: 2, verdict: WrongTarget, cluster: 1 << 60, from: 7, to: 9}.encode()
	if len(whole) != greetingBytes {
		t.Fatalf("%d bytes, want %d", len(whole), greetingBytes)
	}
	for i := range whole {
		damaged := slices.Clone(whole)
		damaged[i] ^= 0x10
		if g, err := decodeGreeting(damaged); err == nil {
			t.Errorf("byte %d: %+v was read without an error", i, g)
		}
	}
}
