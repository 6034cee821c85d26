package ids

import (
	"math/bits"

	"ledger/accounting"
)

const (
	batchParts = 4096
	// batchSortMin is the number of ids from which on sorting costs less than it saves.
	batchSortMin = 128
)

// Batch is the ids of a batch that the trees may hold, with their hashes. Sort puts them in order
// by the 12 highest bits in which they differ. So a walk through them meets the tables of a run
// nearly one after the other.
type Batch struct {
	entries []BatchEntry // in the order of Add, then in that of Sort
	sorted  []BatchEntry
	parts   [batchParts]uint32
}

// BatchEntry is an id of a Batch.
type BatchEntry struct {
	ID    accounting.U128
	Hash  uint64 // table.FilterHash of ID
	Index int    // in the batch
}

// NewBatch returns a batch with room for idsMax ids.
func NewBatch(idsMax uint32) Batch {
	return Batch{entries: make([]BatchEntry, 0, idsMax), sorted: make([]BatchEntry, idsMax)}
}

// Clear empties the batch.
func (b *Batch) Clear() { b.entries = b.entries[:0] }

// Add appends an id.
func (b *Batch) Add(e BatchEntry) { b.entries = append(b.entries, e) }

// Sort orders the ids and returns them.
func (b *Batch) Sort() []BatchEntry {
	if len(b.entries) < batchSortMin {
		return b.entries
	}
	least, most := b.entries[0].ID.Hi, b.entries[0].ID.Hi
	for i := range b.entries {
		least, most = min(least, b.entries[i].ID.Hi), max(most, b.entries[i].ID.Hi)
	}
	shift := max(bits.Len64(most-least), 12) - 12
	clear(b.parts[:])
	for i := range b.entries {
		b.parts[(b.entries[i].ID.Hi-least)>>shift]++
	}
	sum := uint32(0)
	for i, count := range b.parts {
		b.parts[i] = sum
		sum += count
	}
	for i := range b.entries {
		part := &b.parts[(b.entries[i].ID.Hi-least)>>shift]
		b.sorted[*part] = b.entries[i]
		*part++
	}
	b.entries, b.sorted = b.sorted[:len(b.entries)], b.entries[:cap(b.entries)]
	return b.entries
}
