package disk

import (
	"errors"
	"testing"
	"time"

	"github.com/detcd/detcd/node/port"
	"github.com/detcd/detcd/node/port/porttest"
)

func TestDisk_Contract(t *testing.T) {
	porttest.TestDisk(t, func() port.Disk {
		d, err := Open(t.TempDir(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		return d
	})
}

func TestDisk_SyncIsObserved(t *testing.T) {
	syncs := 0
	d, err := Open(t.TempDir(), Options{ObserveSync: func(took time.Duration) {
		if took < 0 {
			t.Errorf("a sync took %v", took)
		}
		syncs++
	}})
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.Create("f", 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if syncs != 3 {
		t.Errorf("%d syncs were observed, want 3", syncs)
	}
	if err := f.Sync(); err == nil {
		t.Error("Sync of a closed file gave no error")
	}
	if syncs != 4 {
		t.Errorf("a failed sync was not observed")
	}
}

func TestDisk_ErrorNamesOperationAndFile(t *testing.T) {
	dir := t.TempDir()
	d, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Open("missing")
	var e *Error
	if !errors.As(err, &e) || e.Op != "open" || e.Path != dir+"/missing" {
		t.Fatalf("error %#v, want an *Error with operation and path", err)
	}
	if want := "open " + dir + "/missing: no such file or directory"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	if errors.Is(err, port.ErrExist) || errors.Is(err, port.ErrNoSpace) {
		t.Errorf("%v is more than one condition", err)
	}
}

// A name with a separator would leave the directory.
func TestDisk_RefusesPaths(t *testing.T) {
	d, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", ".", "..", "a/b", `a\b`, "/a"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was taken for a file name", name)
				}
			}()
			_, _ = d.Open(name)
		}()
	}
}
