package world

import (
	"bytes"
	"errors"
	"testing"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/port/porttest"
)

func newDisk(seed uint64) (*World, *Disk) {
	w := New(seed, nil)
	h := w.AddHost(1, 0)
	h.Begin()
	return w, h.Disk("data")
}

func mustCreate(t testing.TB, d *Disk, name string, size int64) port.File {
	t.Helper()
	f, err := d.Create(name, size)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func mustWrite(t testing.TB, f port.File, p []byte, off int64) {
	t.Helper()
	if _, err := f.WriteAt(p, off); err != nil {
		t.Fatal(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func content(t testing.TB, d *Disk, name string) []byte {
	t.Helper()
	f, err := d.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	size, _ := f.Size()
	p := make([]byte, size)
	if _, err := f.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	return p
}

func reboot(d *Disk, power bool) {
	d.host.Crash(power)
	d.host.Begin()
}

func TestDisk_HoldsThePortsContract(t *testing.T) {
	porttest.TestDisk(t, func() port.Disk {
		_, d := newDisk(1)
		return d
	})
}

// What was synced is there after a loss of power, whatever was written over other sectors and not synced.
func TestDisk_SyncedDataSurvives(t *testing.T) {
	for seed := range uint64(50) {
		_, d := newDisk(seed)
		f := mustCreate(t, d, "f", 0)
		mustWrite(t, f, bytes.Repeat([]byte("a"), 3000), 0)
		must(t, f.Sync())
		must(t, d.SyncDir())
		mustWrite(t, f, bytes.Repeat([]byte("b"), 600), 1024)
		reboot(d, true)
		got := content(t, d, "f")
		if len(got) != 3000 || !bytes.Equal(got[:1024], bytes.Repeat([]byte("a"), 1024)) ||
			!bytes.Equal(got[1624:], bytes.Repeat([]byte("a"), 3000-1624)) {
			t.Fatalf("seed %d: synced bytes are gone: %d bytes", seed, len(got))
		}
	}
}

// Unsynced writes are lost, kept and torn, each in some seeds; a sector is of one piece; a write may survive an earlier one.
func TestDisk_UnsyncedWritesFareAllWays(t *testing.T) {
	outcomes := map[string]int{}
	for seed := range uint64(300) {
		w, d := newDisk(seed)
		f := mustCreate(t, d, "f", 4*sectorBytes)
		must(t, f.Sync())
		must(t, d.SyncDir())
		mustWrite(t, f, bytes.Repeat([]byte("1"), 2*sectorBytes), 0)
		mustWrite(t, f, bytes.Repeat([]byte("2"), 2*sectorBytes), sectorBytes)
		reboot(d, true)
		got := content(t, d, "f")
		var s []byte
		for i := range 4 {
			sector := got[i*sectorBytes : (i+1)*sectorBytes]
			if !bytes.Equal(sector, bytes.Repeat(sector[:1], sectorBytes)) {
				t.Fatalf("seed %d: sector %d is torn", seed, i)
			}
			s = append(s, max(sector[0], '0'))
		}
		if string(s) == "1000" && w.Counts.TornWrites != 1 || string(s) == "0000" && w.Counts.LostWrites != 2 {
			t.Fatalf("seed %d: sectors %s, counted %d torn and %d lost writes", seed, s, w.Counts.TornWrites, w.Counts.LostWrites)
		}
		outcomes[string(s)]++
	}
	for _, want := range []string{"0000", "1000", "1100", "1220", "0220", "0020", "0120"} {
		if outcomes[want] == 0 {
			t.Errorf("no seed of 300 left the sectors as %s: %v", want, outcomes)
		}
	}
}

// A process that is killed loses nothing; what it had not synced a later loss of power may still take.
func TestDisk_AKilledProcessLosesNothingYet(t *testing.T) {
	lost := 0
	for seed := range uint64(50) {
		_, d := newDisk(seed)
		f := mustCreate(t, d, "f", 100)
		must(t, f.Sync())
		must(t, d.SyncDir())
		mustWrite(t, f, []byte("x"), 0)
		reboot(d, false)
		if content(t, d, "f")[0] != 'x' {
			t.Fatalf("seed %d: a killed process lost a write", seed)
		}
		reboot(d, true)
		if content(t, d, "f")[0] != 'x' {
			lost++
		}
	}
	if lost == 0 || lost == 50 {
		t.Fatalf("a loss of power after a kill lost the unsynced write in %d of 50 seeds", lost)
	}
}

func TestDisk_NamesWithoutSyncDirMayBeUndoneEachOnItsOwn(t *testing.T) {
	outcomes := map[string]int{}
	for seed := range uint64(200) {
		_, d := newDisk(seed)
		for _, name := range []string{"old", "tmp"} {
			f := mustCreate(t, d, name, 0)
			mustWrite(t, f, []byte(name), 0)
			must(t, f.Sync())
		}
		must(t, d.SyncDir())
		must(t, d.Rename("tmp", "new"))
		must(t, d.Remove("old"))
		must(t, mustCreate(t, d, "fresh", 0).Sync())
		reboot(d, true)
		names, _ := d.List()
		var s string
		for _, n := range names {
			s += n + " "
			if n == "new" && string(content(t, d, n)) != "tmp" {
				t.Fatalf("seed %d: the renamed file has content %q", seed, content(t, d, n))
			}
		}
		outcomes[s]++
	}
	for _, want := range []string{"old tmp ", "new ", "fresh new ", "new old ", "tmp ", "fresh new old ", "fresh old tmp ", "fresh tmp "} {
		if outcomes[want] == 0 {
			t.Errorf("no seed of 200 left the names %q: %v", want, outcomes)
		}
	}
}

func TestDisk_SyncDirMakesNamesDurable(t *testing.T) {
	for seed := range uint64(20) {
		_, d := newDisk(seed)
		f := mustCreate(t, d, "tmp", 0)
		must(t, f.Sync())
		must(t, d.Rename("tmp", "new"))
		must(t, d.SyncDir())
		reboot(d, true)
		if names, _ := d.List(); len(names) != 1 || names[0] != "new" {
			t.Fatalf("seed %d: names are %v", seed, names)
		}
	}
}

func TestDisk_FullDiskTakesAPartAndSaysSo(t *testing.T) {
	_, d := newDisk(1)
	f := mustCreate(t, d, "f", 100)
	d.Fill(10)
	if n, err := f.WriteAt(make([]byte, 50), 80); !errors.Is(err, port.ErrNoSpace) || n != 30 {
		t.Fatalf("50 bytes at 80 of 100 with 10 to spare gave %d, %v; want 30 and ErrNoSpace", n, err)
	}
	if _, err := d.Create("g", 1); !errors.Is(err, port.ErrNoSpace) {
		t.Fatalf("Create on a full disk gave %v", err)
	}
	if _, err := f.WriteAt(make([]byte, 50), 0); err != nil {
		t.Fatalf("a write that needs no room gave %v", err)
	}
	d.Drain()
	mustCreate(t, d, "g", 1)
}

func TestDisk_AFailedSyncLeavesWhatALossOfPowerWould(t *testing.T) {
	lost := 0
	for seed := range uint64(50) {
		_, d := newDisk(seed)
		f := mustCreate(t, d, "f", 100)
		must(t, f.Sync())
		mustWrite(t, f, []byte("x"), 0)
		d.FailSyncs(1)
		if f.Sync() == nil {
			t.Fatal("the sync did not fail")
		}
		must(t, f.Sync())
		if content(t, d, "f")[0] != 'x' {
			lost++
		}
	}
	if lost == 0 || lost == 50 {
		t.Fatalf("a failed sync lost the write in %d of 50 seeds", lost)
	}
}

func TestBurnFuse_DiesInTheNamedOperation(t *testing.T) {
	for n := range 4 {
		w, d := newDisk(uint64(n))
		done := 0
		alive := d.host.BurnFuse(n, func() {
			f := mustCreate(t, d, "f", 0)
			done++
			mustWrite(t, f, []byte("abc"), 0)
			done++
			must(t, f.Sync())
			done++
		})
		if alive != (n == 3) || done != n || w.Counts.CrashedInDiskWork != uint64(min(1, 3-n)) {
			t.Fatalf("due to die in operation %d: alive %v after %d", n, alive, done)
		}
	}
}

func TestHost_LosesItsDisksAndGetsThemBack(t *testing.T) {
	w, d := newDisk(1)
	h := w.Hosts()[0]
	f := mustCreate(t, d, "old", 0)
	mustWrite(t, f, []byte("kept"), 0)
	must(t, f.Sync())
	must(t, d.SyncDir())
	h.Crash(true)
	restore := h.Wipe()
	h.Begin()
	if names, _ := d.List(); len(names) != 0 {
		t.Fatalf("an emptied disk holds %q", names)
	}
	f = mustCreate(t, d, "new", 0)
	must(t, f.Sync())
	must(t, d.SyncDir())
	h.Crash(true)
	restore()
	h.Begin()
	if names, _ := d.List(); len(names) != 1 || names[0] != "old" || string(content(t, d, "old")) != "kept" {
		t.Errorf("the disk that was put back holds %q", names)
	}
}
