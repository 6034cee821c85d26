package ids

import (
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
)

// Goal: Sort keeps each entry, whatever the ids are and however many, and orders them: of two ids,
// the one whose 12 highest bits in which the batch differs are smaller comes first. Ids that are
// equal in these bits keep their order. A batch can be used again.
func TestBatchSort(t *testing.T) {
	random := seeded.Rand(t)
	const most = 3000
	b := NewBatch(most)
	for round := range 400 {
		kind, count := random.IntN(5), 1+random.IntN(most)
		if round%4 == 0 {
			count = 1 + random.IntN(batchSortMin)
		}
		b.Clear()
		var entries []BatchEntry
		base, bits := random.Uint64(), random.UintN(65)
		for i := range count {
			id := drawID(random, kind%3, uint64(i))
			switch kind {
			case 3:
				id.Hi = base
			case 4:
				id.Hi = base + random.Uint64()>>bits // may wrap: the largest ids beside the smallest
			}
			entries = append(entries, BatchEntry{ID: id, Hash: random.Uint64(), Index: i})
			b.Add(entries[i])
		}
		sorted := b.Sort()
		if len(sorted) != count {
			t.Fatalf("%d of %d entries are left", len(sorted), count)
		}
		seen := make([]bool, count)
		least, most := ^uint64(0), uint64(0)
		for _, e := range sorted {
			if seen[e.Index] || e != entries[e.Index] {
				t.Fatalf("entry %d comes twice, or is another: %+v", e.Index, e)
			}
			seen[e.Index] = true
			least, most = min(least, e.ID.Hi), max(most, e.ID.Hi)
		}
		if count < batchSortMin {
			continue
		}
		part := func(id accounting.U128) uint64 {
			high := id.Hi - least
			for width := most - least; width >= batchParts; width /= 2 {
				high /= 2
			}
			return high
		}
		for i := 1; i < count; i++ {
			a, b := sorted[i-1], sorted[i]
			if part(a.ID) > part(b.ID) || part(a.ID) == part(b.ID) && a.Index > b.Index {
				t.Fatalf("kind %d: id %v stands before %v", kind, a.ID, b.ID)
			}
		}
	}
}
