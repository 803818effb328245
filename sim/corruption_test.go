package sim

import (
	"crypto/rand"
	"io"
	"strings"
	"testing"

	"github.com/detcd/detcd/node/wal"
)

// A disk that damages what was synced must be found out: the member refuses to start, and names the file, rather than serve something else.
// (Runs do this, too, see damages; here nobody expects it, so that it counts as a failure of the run.)
func TestBoot_RefusesADamagedLog(t *testing.T) {
	defer func(reader io.Reader) { rand.Reader = reader }(rand.Reader)
	for seed := uint64(1); seed <= 5; seed++ {
		r := newRun(seed, nil)
		r.live()
		if r.failure != nil {
			t.Fatalf("seed %d: %+v", seed, r.failure)
		}
		s := r.seats[0]
		s.crash(false)
		found, err := wal.Verify(s.host.Disk("wal"))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		files := found.Segments
		// Past the segment's header, with synced records behind it.
		if !s.host.Disk("wal").Corrupt(files[0], 300, 1) {
			t.Fatalf("seed %d: %s is too short", seed, files[0])
		}
		s.boot(false)
		if r.failure == nil || r.failure.Promise != "recoverability" || !strings.Contains(r.failure.Story, files[0]) {
			t.Errorf("seed %d: a member started from a damaged log, or did not say where it is damaged: %+v", seed, r.failure)
		}
	}
}
