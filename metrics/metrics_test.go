package metrics

import (
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Goal: cells cover all values in order without gaps, and each is at most an eighth of its values
// wide.
func TestCells(t *testing.T) {
	first := uint64(0)
	for cell := range CellsCount {
		last := CellMax(cell)
		if last < first || (last-first)*8 > first {
			t.Fatalf("cell %d holds %d to %d", cell, first, last)
		}
		for _, value := range []uint64{first, last} {
			var h Histogram
			h.Record(value)
			if h.Cells[cell] != 1 || h.Sum != value || h.Max != value || h.Count() != 1 {
				t.Fatalf("value %d is not in cell %d", value, cell)
			}
		}
		first = last + 1
	}
	if first != valueMax {
		t.Fatalf("the cells end at %d, want %d", first, valueMax)
	}
	var h Histogram
	h.Record(valueMax)
	h.Record(1<<64 - 1)
	if h.Cells[CellsCount-1] != 2 || h.Quantile(0.5) != 1<<64-1 {
		t.Fatalf("values beyond the last cell: %d there, median %d", h.Cells[CellsCount-1], h.Quantile(0.5))
	}
}

// Goal: quantiles and cumulative counts agree with the sorted values, for any distribution.
func TestQuantiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 50 {
		var h Histogram
		values := make([]uint64, 1+random.IntN(500))
		for i := range values {
			values[i] = random.Uint64() >> (24 + random.IntN(40))
			h.Record(values[i])
		}
		slices.Sort(values)
		for _, part := range []float64{0, 0.01, 0.5, 0.9, 0.99, 1} {
			want := values[max(1, int(part*float64(len(values))+0.5))-1]
			if got := h.Quantile(part); got < want || got-want > want/8 {
				t.Fatalf("round %d: quantile %v is %d, want %d to an eighth more", round, part, got, want)
			}
		}
		var bounds []uint64
		for cell := 0; cell < CellsCount-1; cell += 1 + random.IntN(30) {
			bounds = append(bounds, CellMax(cell))
		}
		counts := make([]uint64, len(bounds))
		h.CumulativeAt(bounds, counts)
		for i, bound := range bounds {
			if want, _ := slices.BinarySearch(values, bound+1); counts[i] != uint64(want) {
				t.Fatalf("round %d: %d values up to %d, want %d", round, counts[i], bound, want)
			}
		}
	}
	var empty Histogram
	if empty.Quantile(0.5) != 0 || empty.Mean() != 0 {
		t.Fatal("an empty histogram has values")
	}
}

// Goal: the asker sees whole copies only, of the moment after it asked, while the owner never stops
// counting. Meant for -race.
func TestExchange(t *testing.T) {
	var (
		e          Exchange
		live, copy [64]uint64
		stop       atomic.Bool
		group      sync.WaitGroup
	)
	group.Add(1)
	go func() {
		defer group.Done()
		for !stop.Load() {
			for i := range live {
				live[i]++
			}
			if e.Wanted() {
				copy = live
				e.Answer()
			}
		}
	}()
	last := uint64(0)
	for range 300 {
		e.Ask()
		if !e.Await(time.Now().Add(10 * time.Second)) {
			t.Fatal("no answer")
		}
		for _, value := range copy {
			if value != copy[0] {
				t.Fatal("a copy is torn")
			}
		}
		if copy[0] <= last {
			t.Fatalf("the copy is %d, the one before was %d", copy[0], last)
		}
		last = copy[0]
	}
	stop.Store(true)
	group.Wait()
	// Nobody answers any more: the asker says so, and asking again does not ask twice.
	e.Ask()
	e.Ask()
	if e.Await(time.Now().Add(5*time.Millisecond)) || e.asked.Load()-e.answered.Load() != 1 {
		t.Fatal("an answer of nobody")
	}
}

// Goal: recording allocates nothing.
func TestNoAllocation(t *testing.T) {
	var h Histogram
	var e Exchange
	if allocs := testing.AllocsPerRun(100, func() {
		h.Record(123456)
		if e.Wanted() {
			e.Answer()
		}
	}); allocs != 0 {
		t.Fatalf("%.1f allocations, want 0", allocs)
	}
}

func BenchmarkRecord(b *testing.B) {
	var h Histogram
	b.ReportAllocs()
	value := uint64(1)
	for b.Loop() {
		value = bits.RotateLeft64(value, 7) ^ 0x9e37
		h.Record(value >> 36)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/record")
}

func BenchmarkWanted(b *testing.B) {
	var e Exchange
	for b.Loop() {
		if e.Wanted() {
			b.Fatal("nobody asked")
		}
	}
}

func BenchmarkCopy(b *testing.B) {
	var thread Thread
	var out ThreadFigures
	for b.Loop() {
		thread.Copy(&out)
	}
}

// What the plain counters are held against.
func BenchmarkAtomicStore(b *testing.B) {
	var word atomic.Uint64
	for b.Loop() {
		word.Store(word.Load() + 1)
	}
}

func BenchmarkClock(b *testing.B) {
	start := time.Now()
	sum := time.Duration(0)
	for b.Loop() {
		sum += time.Since(start)
	}
}
