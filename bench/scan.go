package main

import (
	"encoding/binary"
	"errors"
)

// Reading just what a load must know of an encoded answer: the generator shares the cores with the servers, and decoding ten thousand
// copies of an event costs more than sending them. The field numbers are those of etcd's rpc.proto and kv.proto.

var errTorn = errors.New("an answer that is not a protobuf message")

// field is one field of an encoded message.
type field struct {
	number int
	value  uint64 // of a varint, and what a fixed one holds
	bytes  []byte // of a field with a length
}

// nextField returns the first field of b and what follows it.
func nextField(b []byte) (f field, rest []byte, err error) {
	tag, n := binary.Uvarint(b)
	if n <= 0 {
		return f, nil, errTorn
	}
	b = b[n:]
	f.number = int(tag >> 3)
	switch tag & 7 {
	case 0:
		if f.value, n = binary.Uvarint(b); n <= 0 {
			return f, nil, errTorn
		}
		return f, b[n:], nil
	case 1:
		if len(b) < 8 {
			return f, nil, errTorn
		}
		f.value = binary.LittleEndian.Uint64(b)
		return f, b[8:], nil
	case 2:
		length, n := binary.Uvarint(b)
		if n <= 0 || length > uint64(len(b)-n) {
			return f, nil, errTorn
		}
		end := n + int(length)
		f.bytes = b[n:end:end]
		return f, b[end:], nil
	case 5:
		if len(b) < 4 {
			return f, nil, errTorn
		}
		f.value = uint64(binary.LittleEndian.Uint32(b))
		return f, b[4:], nil
	}
	return f, nil, errTorn
}

// number returns the last varint of a field; 0 when it is left out, as protobuf has it.
func number(b []byte, want int) (value uint64, err error) {
	for len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			return 0, err
		}
		if f.number == want {
			value = f.value
		}
	}
	return value, nil
}

// watchAnswer is a WatchResponse, its events not yet read.
type watchAnswer struct {
	revision          int64 // of the header
	id                int64
	created, canceled bool
	reason            string
	events            []byte // from the first event on: events are the last field
}

const (
	watchHeader, watchID, watchCreated, watchCanceled, watchReason, watchEvents = 1, 2, 3, 4, 6, 11

	headerRevision = 3
)

func scanWatch(b []byte) (a watchAnswer, err error) {
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return a, err
		}
		switch f.number {
		case watchHeader:
			revision, err := number(f.bytes, headerRevision)
			if err != nil {
				return a, err
			}
			a.revision = int64(revision)
		case watchID:
			a.id = int64(f.value)
		case watchCreated:
			a.created = f.value != 0
		case watchCanceled:
			a.canceled = f.value != 0
		case watchReason:
			a.reason = string(f.bytes)
		case watchEvents:
			a.events = b
			return a, nil
		}
		b = rest
	}
	return a, nil
}

// nextEvent reads the first of a watchAnswer's events: the revision that made it, the value it put, and the events after it.
func nextEvent(events []byte) (revision int64, value, rest []byte, err error) {
	const eventKV, kvModRevision, kvValue = 2, 3, 5
	f, rest, err := nextField(events)
	if err != nil {
		return 0, nil, nil, err
	}
	if f.number != watchEvents {
		return 0, nil, nil, errors.New("a field after the events")
	}
	for event := f.bytes; len(event) > 0; {
		if f, event, err = nextField(event); err != nil {
			return 0, nil, nil, err
		}
		if f.number != eventKV {
			continue
		}
		for kv := f.bytes; len(kv) > 0; {
			if f, kv, err = nextField(kv); err != nil {
				return 0, nil, nil, err
			}
			switch f.number {
			case kvModRevision:
				revision = int64(f.value)
			case kvValue:
				value = f.bytes
			}
		}
	}
	return revision, value, rest, nil
}

// scanKeepAlive reads a LeaseKeepAliveResponse.
func scanKeepAlive(b []byte) (id, ttl int64, err error) {
	const keepAliveID, keepAliveTTL = 2, 3
	for len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			return 0, 0, err
		}
		switch f.number {
		case keepAliveID:
			id = int64(f.value)
		case keepAliveTTL:
			ttl = int64(f.value)
		}
	}
	return id, ttl, nil
}

// scanRange reads a RangeResponse: how many key-values it holds, how many there are by its own word, and whether it says that there are more.
func scanRange(b []byte) (kvs int, count int64, more bool, err error) {
	const rangeKVs, rangeMore, rangeCount = 2, 3, 4
	for len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			return 0, 0, false, err
		}
		switch f.number {
		case rangeKVs:
			kvs++
		case rangeMore:
			more = f.value != 0
		case rangeCount:
			count = int64(f.value)
		}
	}
	return kvs, count, more, nil
}

// appendKeepAlive encodes a LeaseKeepAliveRequest.
func appendKeepAlive(b []byte, id int64) []byte {
	const tagID = 1 << 3 // field 1, a varint
	return binary.AppendUvarint(append(b, tagID), uint64(id))
}
