package prng

import "testing"

// The numbers are part of what a seed means: a change here changes every seed's run.
func TestSource_ItsNumbersNeverChange(t *testing.T) {
	s := New(42, "network")
	got := [3]uint64{s.Uint64(), s.Uint64(), s.Uint64()}
	want := [3]uint64{0x4e607e9d18d509c3, 0xea8c8af33044df92, 0x42818056259a7403}
	if got != want {
		t.Fatalf("New(42, network) gave %#x, want %#x", got, want)
	}
}

func TestSource_StreamsOfOtherNamesDiffer(t *testing.T) {
	if New(1, "disk").Uint64() == New(1, "clock").Uint64() || New(1, "disk").Uint64() == New(2, "disk").Uint64() {
		t.Fatal("two streams begin alike")
	}
}

func TestBetween_ReachesBothEndsAndNothingElse(t *testing.T) {
	s := New(7, "between")
	var seen [3]int
	for range 1000 {
		seen[s.Between(-1, 1)+1]++
	}
	for i, n := range seen {
		if n < 250 || n > 420 {
			t.Fatalf("%d came %d times in 1,000, want about a third", i-1, n)
		}
	}
}

func TestPermille_HitsItsRate(t *testing.T) {
	s := New(7, "permille")
	hits := 0
	for range 100_000 {
		if s.Permille(50) {
			hits++
		}
	}
	if hits < 4700 || hits > 5300 {
		t.Fatalf("50 permille hit %d times in 100,000", hits)
	}
	if s.Permille(0) || !s.Permille(1000) {
		t.Fatal("0 permille said yes or 1,000 said no")
	}
}

func TestWeighted_NeverPicksAWeightOfZero(t *testing.T) {
	s := New(7, "weighted")
	var seen [3]int
	for range 3000 {
		seen[s.Weighted([]int{1, 0, 2})]++
	}
	if seen[1] != 0 || seen[0] < 800 || seen[0] > 1200 {
		t.Fatalf("weights 1,0,2 gave %v", seen)
	}
}

func TestRead_FillsOddLengths(t *testing.T) {
	p := make([]byte, 13)
	if n, err := New(3, "bytes").Read(p); n != 13 || err != nil || p[12] == 0 && p[11] == 0 && p[10] == 0 {
		t.Fatalf("Read gave %d, %v, %x", n, err, p)
	}
}
