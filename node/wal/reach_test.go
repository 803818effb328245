package wal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal/crashdisk"
)

// keeper keeps a reach file beside a log as a member does: a Put after each write, a sync now and then, in a slot that is none of those that
// may be needed still.
type keeper struct {
	file          *ReachFile
	slot, durable int
}

func openKeeper(d port.Disk, l *Log) (*keeper, error) {
	f, durable, err := OpenReach(d, l.Reach())
	return &keeper{file: f, durable: durable, slot: (durable + 1) % ReachSlots}, err
}

func (k *keeper) note(l *Log, sync bool) error {
	if err := k.file.Put(k.slot, l.Reach()); err != nil || !sync {
		return err
	}
	if err := k.file.Sync(); err != nil {
		return err
	}
	k.durable, k.slot = k.slot, (k.slot+1)%ReachSlots
	return nil
}

// A sound log is never refused, whatever a crash leaves of it and of the reach file, and the reach is never behind what it was synced with.
func TestReach_NoCrashHasASoundLogRefused(t *testing.T) {
	seeds := uint64(400)
	if testing.Short() {
		seeds = 60
	}
	for seed := range seeds {
		pick := randomly(seed + 77)
		logs, side := crashdisk.New(), crashdisk.New()
		m := newModel()
		var synced Reach // what the reach file must say at least
		for life := range 6 {
			err := func() error {
				reach, err := ReadReach(side)
				if err != nil {
					return err
				}
				if synced.Seq > 0 && (reach == nil || reach.Batch < synced.Batch || reach.Seq < synced.Seq) {
					return fmt.Errorf("the reach is %+v, synced was %+v", reach, synced)
				}
				l, _, err := Open(logs, testID, Options{SegmentBytes: 8192, Reach: reach})
				if err != nil {
					return err
				}
				m = modelOf(t, logs)
				k, err := openKeeper(side, l)
				if err != nil {
					return err
				}
				synced = l.Reach()
				for range 3 + pick(12) {
					b := nextBatch(m, pick)
					if err := l.Write(b); err != nil {
						return err
					}
					m.apply(b)
					sync := pick(4) == 0
					if err := k.note(l, sync); err != nil {
						return err
					}
					if sync {
						synced = l.Reach()
					}
					if pick(5) == 0 {
						if err := l.Settle(); err != nil {
							return err
						}
					}
					if pick(6) == 0 {
						if err := l.Release(m.markIndex()); err != nil {
							return err
						}
					}
				}
				return nil
			}()
			if err != nil && !errors.Is(err, crashdisk.ErrCrashed) {
				t.Fatalf("seed %d, life %d: %v", seed, life, err)
			}
			// Both disks are of one machine: it is killed, or loses power.
			if pick(3) == 0 {
				logs, side = logs.Kill(), side.Kill()
			} else {
				logs, side = logs.Crash(pick), side.Crash(pick)
			}
			if pick(2) == 0 {
				logs.CrashAt = 1 + pick(40)
			} else {
				side.CrashAt = 1 + pick(40)
			}
		}
	}
}

// modelOf reads back what a log holds, to go on from there.
func modelOf(t *testing.T, d *crashdisk.Disk) *model {
	t.Helper()
	_, r, err := Open(d.Clone(), testID, Options{})
	must(t, err)
	m := newModel()
	m.apply(Batch{Snapshot: r.Snapshot, Entries: r.Entries, HardState: r.HardState})
	return m
}

// filled is a log with a few batches in two segments, its reach, and where the last batch stands.
func filled(t *testing.T) (d *crashdisk.Disk, reach Reach, file string, last int64) {
	t.Helper()
	d = crashdisk.New()
	l, _ := mustOpen(t, d, Options{SegmentBytes: 8192})
	for i := range uint64(20) {
		last = l.offset
		must(t, l.Write(Batch{Entries: entries(i+1, 1, 1, strings.Repeat("x", 600)), HardState: hard(1, 1, i)}))
		if l.syncedEnd-last > 1000 || l.syncedEnd < last {
			last = -1
		}
	}
	if last < 0 || l.Segments() != 2 {
		t.Fatalf("unfit: %d segments", l.Segments())
	}
	return d, l.Reach(), segmentName(l.seq()), last
}

// refused opens a log that must be refused as corrupt, with a word in the reason, and untouched.
func refused(t *testing.T, what string, d *crashdisk.Disk, reach *Reach, file, word string) {
	t.Helper()
	ops := d.Ops
	_, _, err := Open(d, testID, Options{SegmentBytes: 8192, Reach: reach})
	var c *CorruptError
	if !errors.As(err, &c) || c.File != file || !strings.Contains(c.Reason, word) {
		t.Errorf("%s: %v", what, err)
	}
	if d.Ops != ops {
		t.Errorf("%s: the disk was changed", what)
	}
}

func TestOpen_RefusesALogThatEndsBeforeTheReach(t *testing.T) {
	d, reach, file, last := filled(t)
	if _, r := mustOpen(t, d.Clone(), Options{Reach: &reach}); len(r.Entries) != 20 {
		t.Fatalf("whole: %s", show(r))
	}
	for off := last; off < last+600; off += 7 { // any bit of the last batch
		bad := d.Clone()
		bad.Content(file)[off] ^= 4
		refused(t, fmt.Sprint("flip at ", off), bad, &reach, file, "ends here")
		if _, r := mustOpen(t, bad, Options{}); len(r.Entries) != 19 {
			t.Fatalf("without a reach, this is a torn tail: %s", show(r))
		}
	}
	for _, from := range []int64{0, 200, 800, last} { // from the header on, within, and on the border of a batch
		zeroed := d.Clone()
		clear(zeroed.Content(file)[from:])
		word := "ends here"
		if from == 0 {
			word = "no intact segment header"
		}
		refused(t, fmt.Sprint("zeroes from ", from), zeroed, &reach, file, word)
	}
	missing := d.Clone()
	must(t, missing.Remove(file))
	missing.Ops = 0
	refused(t, "last segment missing", missing, &reach, file, "missing")

	other := crashdisk.New()
	l, _ := mustOpen(t, other, Options{SegmentBytes: 8192})
	for i := range uint64(20) {
		must(t, l.Write(Batch{Entries: entries(i+1, 1, 1, strings.Repeat("y", 600)), HardState: hard(1, 1, i)}))
	}
	refused(t, "another log of the same member", other.Clone(), &reach, file, "another's")
	foreign := reach
	foreign.Identity.Member++
	if _, _, err := Open(d.Clone(), testID, Options{Reach: &foreign}); !errors.Is(err, ErrIdentity) {
		t.Errorf("another member's reach: %v", err)
	}
}

// What a log says of itself is enough where more is wrong than one write can have left behind, and where a file is too short.
func TestOpen_RefusesWhatNoTornWriteLeaves(t *testing.T) {
	d, _, file, last := filled(t)
	size := int64(len(d.Content(file)))
	garbage := bytes.Repeat([]byte{0xA7, 0x13, 0x5C}, 8192)
	for _, from := range []int64{800, last} {
		bad := d.Clone()
		copy(bad.Content(file)[from:], garbage)
		refused(t, fmt.Sprint("garbage from ", from), bad, nil, file, "not zero")
	}
	short := d.Clone()
	copy(short.Content(file)[last:last+2000], garbage)
	if _, r := mustOpen(t, short, Options{}); len(r.Entries) != 19 || r.CutBytes < 1900 {
		t.Errorf("as much garbage as a write can leave: cut %d, %s", r.CutBytes, show(r))
	}
	for _, end := range []int64{size - 1, last + 700, 800} {
		cut := crashdisk.New()
		cut.Put(segmentName(1), d.Content(segmentName(1)))
		cut.Put(file, d.Content(file)[:end])
		refused(t, fmt.Sprint("cut to ", end), cut, nil, file, "the file ends here")
	}
	first := crashdisk.New()
	first.Put(segmentName(1), d.Content(segmentName(1))[:8000])
	first.Put(file, d.Content(file))
	refused(t, "the first segment cut", first, nil, segmentName(1), "the file ends here")
}

// A batch that takes much of a segment gets one of its own, which says how much of it may be torn.
func TestOpen_CutsALargeTornBatch(t *testing.T) {
	d := crashdisk.New()
	l, _ := mustOpen(t, d, Options{SegmentBytes: 16 << 10})
	must(t, l.Write(Batch{Entries: []*raftpb.Entry{entry(1, 1, "small")}}))
	for i, bytes := range []int{5 << 10, 100 << 10} {
		must(t, l.Write(Batch{Entries: []*raftpb.Entry{entry(uint64(i)+2, 1, strings.Repeat("large", bytes/5))}}))
		torn := d.Clone()
		torn.Content(segmentName(l.seq()))[l.syncedEnd-1000] ^= 1
		_, r := mustOpen(t, torn, Options{})
		if len(r.Entries) != i+1 || r.CutBytes < int64(bytes) {
			t.Fatalf("%d bytes: recovered %d entries, cut %d", bytes, len(r.Entries), r.CutBytes)
		}
	}
}

// Segments of detcd 0.1.0 say nothing of their size.
func TestOpen_TakesSegmentsThatDoNotSayTheirSize(t *testing.T) {
	d := crashdisk.New()
	l, _ := mustOpen(t, d, Options{SegmentBytes: 8192})
	must(t, l.Write(Batch{Entries: entries(1, 2, 1, "a"), HardState: hard(1, 1, 1)}))
	h := header{id: testID, seq: 2, incarnation: 1, state: l.state}
	f, err := d.Create("x", 8192)
	must(t, err)
	_, _, err = establish(renamed{d}, f, &h, l.synced, l.batch)
	must(t, err)
	copy(d.Content(segmentName(2))[3000:], "torn")
	l, r := mustOpen(t, d, Options{SegmentBytes: 8192})
	if len(r.Entries) != 2 || r.CutBytes == 0 || l.size != 8192 {
		t.Fatalf("cut %d, %s", r.CutBytes, show(r))
	}
	must(t, l.Write(Batch{Entries: entries(3, 1, 1, "b")}))
	must(t, l.Close())
	if _, r = mustOpen(t, d, Options{SegmentBytes: 8192}); len(r.Entries) != 3 {
		t.Fatal(show(r))
	}
	// They were made with a size that is known all the same: one that is shorter was cut.
	if _, _, err := Open(d, testID, Options{}); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "the file ends here") {
		t.Fatalf("a segment that was cut short: %v", err)
	}
}

// renamed renames the file x, whatever name is asked for.
type renamed struct{ *crashdisk.Disk }

func (d renamed) Rename(_, to string) error { return d.Disk.Rename("x", to) }

func TestReadReach_TakesTheNewestIntactSlot(t *testing.T) {
	logs, d := crashdisk.New(), crashdisk.New()
	if r, err := ReadReach(d); r != nil || err != nil {
		t.Fatalf("no file: %+v, %v", r, err)
	}
	l, _ := mustOpen(t, logs, Options{SegmentBytes: 8192})
	k, err := openKeeper(d, l)
	must(t, err)
	want := []Reach{l.Reach()}
	for i := range uint64(2) {
		must(t, l.Write(Batch{Entries: entries(i+1, 1, 1, "a")}))
		must(t, k.note(l, true))
		want = append(want, l.Reach())
	}
	must(t, k.file.Close())
	for len(want) > 0 {
		newest := want[len(want)-1]
		if r, err := ReadReach(d); err != nil || *r != newest {
			t.Fatalf("got %+v, %v\nwant %+v", r, err, newest)
		}
		want = want[:len(want)-1]
		for slot := range ReachSlots {
			if b := d.Content(ReachName)[slot*reachPage:]; order.Uint64(b[8:]) == uint64(len(want))+1 {
				b[20] ^= 1
			}
		}
	}
	if _, err := ReadReach(d); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("no slot is intact: %v", err)
	}
}

// On a disk with little room, segments are smaller; on one with none, the log says so.
func TestRotate_FitsTheRoom(t *testing.T) {
	d := &tight{Disk: crashdisk.New(), free: 600 << 10}
	l, _ := mustOpen(t, d, Options{SegmentBytes: 1 << 20})
	if l.size != 128<<10 || l.SegmentBytes() != l.size { // a fourth of half a MiB
		t.Fatalf("the first segment has %d bytes", l.size)
	}
	var err error
	n := uint64(0)
	for err == nil && n < 100_000 {
		n++
		err = l.Write(Batch{Entries: entries(n, 1, 1, strings.Repeat("x", 1000))})
	}
	if !errors.Is(err, port.ErrNoSpace) || n < 450 {
		t.Fatalf("after %d writes: %v", n, err)
	}
	_, r := mustOpen(t, d, Options{SegmentBytes: 1 << 20})
	if len(r.Entries) != int(n)-1 {
		t.Fatalf("%d entries of %d", len(r.Entries), n-1)
	}
}

// tight is a disk with a bound on its files' sizes at creation.
type tight struct {
	*crashdisk.Disk
	free int64
}

func (d *tight) Create(name string, size int64) (port.File, error) {
	used := int64(0)
	names, _ := d.List()
	for _, n := range names {
		used += int64(len(d.Content(n)))
	}
	if used+size > d.free {
		return nil, fmt.Errorf("create %s: %w", name, port.ErrNoSpace)
	}
	return d.Disk.Create(name, size)
}
