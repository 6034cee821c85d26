package ids

import (
	"math/bits"

	"ledger/internal/arena"
	"ledger/internal/assert"
)

// tableSlots returns the number of slots for countMax entries: a power of two, at most half full.
func tableSlots(countMax uint32) uint64 {
	slots := uint64(16)
	for slots < 2*uint64(countMax) {
		slots *= 2
	}
	return slots
}

// Table maps an id to an index by open addressing with linear probing. The ids themselves lie in
// the array that the index points into. A slot holds index+1 in its low bits and a tag from the
// hash in the bits above. Comparing tags first avoids nearly all reads of ids that are not the
// wanted one.
//
// Removal needs no tombstones. Chain rollback removes the entry that was inserted last: nothing was
// placed behind it, so its slot just becomes empty. Removal of any other entry moves the following
// entries of its run up (backward shift).
type Table struct {
	slots     []uint32 // the part in use; the capacity is what is reserved
	indexMask uint32   // bits of a slot that hold index+1
	count     uint32
	countFull uint32 // half the slots: the table grows at this count
}

// NewTable returns a table with room for countFirst ids that can grow to countMax. Its indexes
// are below indexesMax.
func NewTable(a *arena.Arena, countFirst, countMax, indexesMax uint32, name string, options arena.Options) Table {
	slots := arena.SliceWith[uint32](a, tableSlots(countMax), name, options)[:tableSlots(min(countFirst, countMax))]
	assert.Below(indexesMax, 1<<31, "what a hash table points to")
	return Table{slots: slots, indexMask: 1<<bits.Len32(indexesMax) - 1, countFull: uint32(len(slots) / 2)}
}

// tag returns the part of hash that a slot holds above its index.
func (t *Table) tag(hash uint64) uint32 { return uint32(hash>>32) &^ t.indexMask }

// Probe returns the next candidate for hash, from position at on. ok is false at the end of the
// run. A candidate has the right tag; the caller must compare the id:
//
//	for at := hash; ; at++ { index, ok := t.Probe(&at, hash); ... compare the id ... }
func (t *Table) Probe(at *uint64, hash uint64) (index uint32, ok bool) {
	mask := uint64(len(t.slots) - 1)
	for {
		slot := t.slots[*at&mask]
		if slot == 0 {
			return 0, false
		}
		if slot&^t.indexMask == t.tag(hash) {
			return slot&t.indexMask - 1, true
		}
		*at++
	}
}

// Full reports whether the table has to grow before the next insert.
func (t *Table) Full() bool { return t.count == t.countFull }

// Grow doubles the slots and empties the table. The caller, which has the ids, inserts them again.
// Ids that RemoveLast may remove come last, in their old order.
func (t *Table) Grow() {
	assert.AtMost(2*len(t.slots), cap(t.slots), "slots of a table that grows")
	t.Reset()
	t.slots = t.slots[:2*len(t.slots)]
	t.countFull *= 2
}

// Insert adds an index that is not in the table. The table is not full.
func (t *Table) Insert(hash uint64, index uint32) {
	slots := t.slots
	mask := uint64(len(slots) - 1)
	at := hash
	for slots[at&mask] != 0 {
		at++
	}
	slots[at&mask] = t.tag(hash) | index + 1
	t.count++
}

// placeOf returns the position of index, which is in the table. The position is to be taken modulo
// the number of slots.
func (t *Table) placeOf(hash uint64, index uint32) uint64 {
	mask := uint64(len(t.slots) - 1)
	want := t.tag(hash) | index + 1
	at := hash
	for t.slots[at&mask] != want {
		assert.That(t.slots[at&mask] != 0, "an id that is removed is in its table")
		at++
	}
	return at
}

// RemoveLast removes the index that was inserted last.
func (t *Table) RemoveLast(hash uint64, index uint32) {
	t.slots[t.placeOf(hash, index)&uint64(len(t.slots)-1)] = 0
	t.count--
}

// Remove removes any index that is in the table. hashOf returns the hash of the id that an index
// names.
func (t *Table) Remove(hash uint64, index uint32, hashOf func(index uint32) uint64) {
	mask := uint64(len(t.slots) - 1)
	hole := t.placeOf(hash, index)
	for at := hole + 1; t.slots[at&mask] != 0; at++ {
		// An entry whose home position lies behind the hole stays. All others move into the hole.
		if home := hashOf(t.slots[at&mask]&t.indexMask - 1); (at-home)&mask >= (at-hole)&mask {
			t.slots[hole&mask] = t.slots[at&mask]
			hole = at
		}
	}
	t.slots[hole&mask] = 0
	t.count--
}

func (t *Table) Reset() {
	if t.count > 0 {
		clear(t.slots)
	}
	t.count = 0
}

// Count is the number of ids.
func (t *Table) Count() uint32 { return t.count }

// Load reads the slot in which each hash has its place. The slots are distant cache lines, and this
// loop is so short that the processor has all of their loads under way at once. Ids that count up
// share a line, eight in each. With the hashing in the same loop, the processor got only one line
// at a time. The sum keeps the compiler from removing the loads.
func (t *Table) Load(hashes []uint64) (sum uint32) {
	slots := t.slots
	mask := uint64(len(slots) - 1)
	for _, hash := range hashes {
		sum += slots[hash&mask]
	}
	return sum
}
