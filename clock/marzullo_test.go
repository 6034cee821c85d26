package clock

import (
	"testing"

	"ledger/internal/seeded"
)

// bruteForce takes every set of sources that have something in common, of the largest of them the
// one that has least in common, and of those the lowest.
func bruteForce(sources []Interval) (best Interval, count int) {
	for set := 1; set < 1<<len(sources); set++ {
		common, size := Interval{-1 << 62, 1 << 62}, 0
		for i, s := range sources {
			if set>>i&1 != 0 {
				common = Interval{max(common.Lower, s.Lower), min(common.Upper, s.Upper)}
				size++
			}
		}
		width := common.Upper - common.Lower
		if width < 0 || size < count {
			continue
		}
		isSmaller := width < best.Upper-best.Lower || width == best.Upper-best.Lower && common.Lower < best.Lower
		if size > count || isSmaller {
			best, count = common, size
		}
	}
	return best, count
}

func compare(t *testing.T, sources []Interval) {
	t.Helper()
	got, gotCount := Marzullo(sources)
	want, wantCount := bruteForce(sources)
	if got != want || gotCount != wantCount {
		t.Fatalf("%v: %v of %d, want %v of %d", sources, got, gotCount, want, wantCount)
	}
}

// All sets of up to four intervals within six numbers, in every order.
func TestMarzulloExhaustive(t *testing.T) {
	var all []Interval
	for lower := range int64(6) {
		for upper := lower; upper < 6; upper++ {
			all = append(all, Interval{lower, upper})
		}
	}
	var sources []Interval
	var walk func()
	walk = func() {
		compare(t, sources)
		if len(sources) == 4 {
			return
		}
		for _, s := range all {
			sources = append(sources, s)
			walk()
			sources = sources[:len(sources)-1]
		}
	}
	walk()
}

// Six intervals of any size and sign.
func TestMarzulloRandom(t *testing.T) {
	random := seeded.Rand(t)
	for range 50_000 {
		sources := make([]Interval, random.IntN(7))
		span := int64(1) << random.IntN(62)
		for i := range sources {
			at := random.Int64N(2*span+1) - span
			sources[i] = Interval{at, at + random.Int64N(span)}
		}
		compare(t, sources)
	}
}

// The example of the algorithm's publication.
func TestMarzulloExample(t *testing.T) {
	got, count := Marzullo([]Interval{{8, 12}, {11, 13}, {14, 15}})
	if got != (Interval{11, 12}) || count != 2 {
		t.Errorf("%v of %d", got, count)
	}
	got, count = Marzullo([]Interval{{8, 12}, {11, 13}, {10, 12}})
	if got != (Interval{11, 12}) || count != 3 {
		t.Errorf("%v of %d", got, count)
	}
	if _, count = Marzullo(nil); count != 0 {
		t.Errorf("no sources agree: %d", count)
	}
}
