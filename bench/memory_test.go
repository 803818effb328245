package main

import (
	"errors"
	"os"
	"runtime/debug"
	"testing"
	"time"
)

// growing is a meter of this very process whose memory, by what it says, grows for some time.
type growing struct{ until, size uint64 }

func (g *growing) usage() (time.Duration, uint64, error) {
	g.size = min(g.size+2<<20, g.until)
	return 0, g.size, nil
}

func (g *growing) pids() []int { return []int{os.Getpid()} }

func TestPeakMeter_SeesWhatIsGoneAgain(t *testing.T) {
	const size = 96 << 20
	debug.FreeOSMemory()
	_, before, err := usage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	p := startPeak(&growing{})
	touch(size)
	debug.FreeOSMemory()
	peak, err := p.stop()
	if err != nil || peak < before+size/2 {
		t.Errorf("peak %d MiB after %d MiB before and %d MiB used for a moment, %v", peak>>20, before>>20, size>>20, err)
	}
	// What was before the meter began does not count.
	again, err := startPeak(&growing{}).stop()
	if forgetErr := forgetPeak(os.Getpid()); forgetErr == nil && (err != nil || again > peak-size/2) {
		t.Errorf("a new meter sees %d MiB, the old one saw %d MiB; %v", again>>20, peak>>20, err)
	} else if forgetErr != nil && !errors.Is(forgetErr, errors.ErrUnsupported) && !errors.Is(forgetErr, os.ErrPermission) {
		t.Error(forgetErr)
	}
}

//go:noinline
func touch(size int) {
	b := make([]byte, size)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
}

func TestSettledMemory_WaitsUntilItNoLongerGrows(t *testing.T) {
	g := &growing{until: 50 << 20}
	if got, err := settledMemory(t.Context(), g); err != nil || got != g.until {
		t.Errorf("%d, %v", got, err)
	}
}
