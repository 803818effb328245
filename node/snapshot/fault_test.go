package snapshot

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/wal"
	"github.com/detcd/detcd/node/wal/crashdisk"
)

// Whatever byte is wrong, and wherever the file ends, reading it ends in a CorruptError that names the block.
func TestRead_RefusesAnyDamage(t *testing.T) {
	d := crashdisk.New()
	write(t, d, testMark, stream(contentBytes+100))
	name := Name(70, 3)
	header := frameBytes + headerBytes + len(testMark.ConfState)
	starts := []int{0, header, header + frameBytes + contentBytes, header + 2*frameBytes + contentBytes + 100}
	whole := d.Content(name)
	if starts[3]+frameBytes+trailerBytes != len(whole) {
		t.Fatalf("%d bytes, blocks at %v", len(whole), starts)
	}
	check := func(what string, off int, content []byte) {
		t.Helper()
		bad := crashdisk.New()
		bad.Put(name, content)
		block := 0
		for _, s := range starts {
			if s <= off {
				block = s
			}
		}
		var c *wal.CorruptError
		if _, err := read(bad, 70, 3); !errors.As(err, &c) || !errors.Is(err, wal.ErrCorrupt) || c.File != name || c.Offset != int64(block) {
			t.Fatalf("%s at %d of the block at %d: %v", what, off, block, err)
		}
	}
	for off := 0; off < len(whole); off++ {
		if inBulk := off > header+frameBytes+20 && off < starts[2]-20; inBulk && off%20011 != 0 {
			continue
		}
		bad := append([]byte(nil), whole...)
		bad[off] ^= 1 << (off % 8)
		check("flip", off, bad)
		check("end", off, whole[:off])
	}
	bad := crashdisk.New()
	bad.Put(name, append(append([]byte(nil), whole...), 0))
	if _, err := read(bad, 70, 3); !errors.Is(err, wal.ErrCorrupt) {
		t.Errorf("a byte after the trailer: %v", err)
	}
	bad.Put(Name(71, 3), whole)
	if _, err := read(bad, 71, 3); !errors.Is(err, wal.ErrCorrupt) {
		t.Errorf("under another name: %v", err)
	}
}

// Blocks that are intact but of another snapshot of the same name, or missing, are noticed by the trailer or the numbers.
func TestRead_RefusesBlocksThatDoNotBelong(t *testing.T) {
	d, e := crashdisk.New(), crashdisk.New()
	a, b := stream(3*contentBytes), stream(3*contentBytes)
	b[contentBytes+7]++
	write(t, d, testMark, a)
	write(t, e, testMark, b)
	name := Name(70, 3)
	block := frameBytes + contentBytes
	first := frameBytes + headerBytes + len(testMark.ConfState)
	mixed := append([]byte(nil), d.Content(name)...)
	copy(mixed[first+block:][:block], e.Content(name)[first+block:])
	swapped := append([]byte(nil), d.Content(name)...)
	copy(swapped[first:][:block], d.Content(name)[first+block:])
	short := append(append([]byte(nil), d.Content(name)[:first+2*block]...), d.Content(name)[first+3*block:]...)
	for what, content := range map[string][]byte{"mixed": mixed, "swapped": swapped, "short": short} {
		bad := crashdisk.New()
		bad.Put(name, content)
		if _, err := read(bad, 70, 3); !errors.Is(err, wal.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A crash at any operation leaves a snapshot that is listed and whole, or none, or the old one; and once Write has
// returned, it stays.
func TestCrash_AtEveryOperation(t *testing.T) {
	content := stream(2*contentBytes + 300)
	next := wal.SnapshotMark{Index: 90, Term: 4}
	for crashAt := 1; ; crashAt++ {
		for seed := range uint64(25) {
			pick := randomly(seed<<10 + uint64(crashAt))
			d := crashdisk.New()
			write(t, d, testMark, []byte("old"))
			d.CrashAt = d.Ops + crashAt
			_, err := Write(d, testID, next, bytes.NewReader(content))
			if err == nil {
				err = RemoveOthers(d, Info{Index: 90, Term: 4})
			}
			done := err == nil
			if err != nil && !errors.Is(err, crashdisk.ErrCrashed) {
				t.Fatalf("crash at %d: %v", crashAt, err)
			}
			after := d.Crash(pick)
			infos, err := List(after)
			must(t, err)
			for _, i := range infos {
				want := content
				if i.Index == 70 {
					want = []byte("old")
				}
				if got, err := read(after, i.Index, i.Term); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("crash at %d, seed %d: snapshot %d reads %d bytes, %v", crashAt, seed, i.Index, len(got), err)
				}
			}
			if len(infos) == 0 || done && (len(infos) != 1 || infos[0].Index != 90) {
				t.Fatalf("crash at %d, seed %d: done %v, listed %v", crashAt, seed, done, infos)
			}
			must(t, RemoveOthers(after, infos...))
			if n := len(strings.Fields(names(t, after))); n != len(infos) {
				t.Fatalf("crash at %d, seed %d: leftovers: %s", crashAt, seed, names(t, after))
			}
			if done {
				if crashAt < 8 {
					t.Fatalf("only %d operations", crashAt)
				}
				if seed == 24 {
					return
				}
			}
		}
	}
}

// An operation that fails (a full disk) leaves the old snapshot readable, and gives the space back.
func TestFailure_AtEveryOperation(t *testing.T) {
	content := stream(contentBytes + 300)
	for failAt := 1; ; failAt++ {
		d := crashdisk.New()
		write(t, d, testMark, []byte("old"))
		d.FailAt = d.Ops + failAt
		_, err := Write(d, testID, wal.SnapshotMark{Index: 90, Term: 4}, bytes.NewReader(content))
		if err == nil {
			if failAt < 6 {
				t.Fatalf("only %d operations", failAt)
			}
			return
		}
		if !errors.Is(err, port.ErrNoSpace) {
			t.Fatalf("failure of %d: %v", failAt, err)
		}
		if got, err := read(d, 70, 3); err != nil || string(got) != "old" {
			t.Fatalf("failure of %d: the old one reads %q, %v", failAt, got, err)
		}
		must(t, RemoveOthers(d, Info{Index: 70, Term: 3}))
		if names(t, d) != Name(70, 3) {
			t.Fatalf("failure of %d: files %s", failAt, names(t, d))
		}
	}
}

func TestWrite_SyncsOnTheWay(t *testing.T) {
	d := crashdisk.New()
	syncs := 0
	d.OnOp = func(_ int, what string) {
		if strings.HasPrefix(what, "sync ") {
			syncs++
		}
	}
	write(t, d, testMark, stream(2*syncBytes+100))
	if syncs != 3 {
		t.Fatalf("%d syncs", syncs)
	}
}

func randomly(seed uint64) func(n int) int {
	x := seed*0x9e3779b97f4a7c15 + 1
	return func(n int) int {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		return int((x >> 20) % uint64(n))
	}
}

func FuzzRead_AnyBytes(f *testing.F) {
	d := crashdisk.New()
	write(f, d, testMark, []byte("content"))
	f.Add(d.Content(Name(70, 3)))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := crashdisk.New()
		d.Put(Name(70, 3), b)
		if _, err := read(d, 70, 3); err != nil && !errors.Is(err, wal.ErrCorrupt) && !errors.Is(err, ErrFormat) {
			t.Fatalf("refused without a reason: %v", err)
		}
	})
}
