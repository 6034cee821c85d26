package hashing

import (
	"math/rand/v2"
	"testing"
)

// Goal: under every key consecutive numbers are spread over a table as evenly as under the golden
// ratio, within a factor: no slot of a table that is filled to the number of its slots gets more
// than a few.
func TestMultiplierSpreadsCounters(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		seed := random.Uint64()
		key := NewKey(seed)
		first := random.Uint64N(1 << 40)
		for _, bitsCount := range []uint{4, 8, 12, 16} {
			counts := make([]int, 1<<bitsCount)
			for i := range uint64(len(counts)) {
				slot := (first + i) * key.Multiplier >> (64 - bitsCount)
				if counts[slot]++; counts[slot] > 10 {
					t.Fatalf("seed %d: %d of %d consecutive numbers in one slot", seed, counts[slot], len(counts))
				}
			}
		}
	}
	for _, weak := range []uint64{1, 3, 1<<63 + 1, 1<<62 - 1, 0x5555555555555555, ^uint64(0)} {
		if spreads(weak) {
			t.Errorf("%#x is taken for a multiplier that spreads", weak)
		}
	}
	if !spreads(0x9e3779b97f4a7c15) {
		t.Error("the golden ratio is not taken")
	}
}

// Goal: clients' ids that collided under the fixed hash of sessions and routes, Lo ^ rotate(Hi,
// 32), are spread by every key.
func TestCraftedClientsSpread(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	const count = 4096
	for range 50 {
		seed := random.Uint64()
		key := NewKey(seed)
		counts := make([]int, count)
		for i := range uint64(count) {
			slot := key.Hash(i<<32|1, i) & (count - 1) // all had the hash of 1
			if counts[slot]++; counts[slot] > 12 {
				t.Fatalf("seed %d: %d of %d clients in one slot", seed, counts[slot], count)
			}
		}
	}
	for range 50 { // ids that differ in a few neighbouring bits only, of either half
		seed := random.Uint64()
		key := NewKey(seed)
		for shift := range uint(53) {
			low, high := make([]int, count), make([]int, count)
			atLow, atHigh := 0, 0 // places that are taken
			for i := range uint64(count) {
				if at := key.Hash(i<<shift, 5) & (count - 1); low[at] == 0 {
					low[at]++
					atLow++
				}
				if at := key.Hash(5, i<<shift) & (count - 1); high[at] == 0 {
					high[at]++
					atHigh++
				}
			}
			if atLow < count/4 || atHigh < count/4 { // random ids take 63 %
				t.Errorf("seed %d, shift %d: %d and %d places are taken, of %d", seed, shift, atLow, atHigh, count)
			}
		}
	}
	a, b := NewKey(7), NewKey(8)
	if a == b || a != NewKey(7) {
		t.Error("a key does not follow from its seed alone")
	}
}
