package ids

import (
	"math/bits"

	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/hashing"
)

// IndexMax is the largest index that Numbers can hold. An index takes 24 bits of a slot.
// Other structures with as many entries use the same limit.
const IndexMax = 1<<24 - 2

// slotIndexBits is the number of bits that the index takes in a slot of Numbers.
const slotIndexBits = 24

// Numbers maps an ordinal (of an account or a transfer, below 2^40) to an index. A slot holds
// the whole ordinal above index+1, so no array has to be read. Removal works as in Table.
type Numbers struct {
	slots     []uint64 // the part in use; the capacity is what is reserved
	factor    uint64   // secret: clients influence which ordinals occur
	shift     uint
	count     uint32
	countFull uint32 // half the slots: the table grows at this count
}

// NewNumbers returns a table with room for countFirst ordinals that can grow to countMax.
func NewNumbers(a *arena.Arena, key *hashing.Key, countFirst, countMax uint32, name string, options arena.Options) Numbers {
	assert.AtMost(countMax, IndexMax, "entries of a hash table")
	slots := arena.SliceWith[uint64](a, tableSlots(countMax), name, options)[:tableSlots(min(countFirst, countMax))]
	shift := uint(64 - bits.TrailingZeros(uint(len(slots))))
	return Numbers{slots: slots, factor: key.Multiplier, shift: shift, countFull: uint32(len(slots) / 2)}
}

func (t *Numbers) start(number uint64) uint64 { return number * t.factor >> t.shift }

// Find returns the index of number.
func (t *Numbers) Find(number uint64) (index uint32, ok bool) {
	if t.count == 0 {
		return 0, false
	}
	mask := uint64(len(t.slots) - 1)
	for at := t.start(number); ; at++ {
		slot := t.slots[at&mask]
		if slot == 0 {
			return 0, false
		}
		if slot>>slotIndexBits == number {
			return uint32(slot&(1<<slotIndexBits-1)) - 1, true
		}
	}
}

// Full reports whether the table has to grow before the next insert.
func (t *Numbers) Full() bool { return t.count == t.countFull }

// Grow doubles the slots and inserts the entries again. The table must hold exactly the numbers of
// the indexes below count, where number returns the ordinal of an index.
//
//go:noinline
func (t *Numbers) Grow(number func(index uint32) uint64) {
	assert.AtMost(2*len(t.slots), cap(t.slots), "slots of a table that grows")
	count := t.count
	t.Reset(number)
	t.slots = t.slots[:2*len(t.slots)]
	t.shift--
	t.countFull *= 2
	for index := range count {
		t.Insert(number(index), index)
	}
}

// Insert adds a number that is not in the table. The table is not full.
func (t *Numbers) Insert(number uint64, index uint32) {
	mask := uint64(len(t.slots) - 1)
	at := t.start(number)
	for t.slots[at&mask] != 0 {
		at++
	}
	t.slots[at&mask] = number<<slotIndexBits | uint64(index+1)
	t.count++
}

// RemoveLast removes the number that was inserted last.
func (t *Numbers) RemoveLast(number uint64) {
	mask := uint64(len(t.slots) - 1)
	at := t.start(number)
	for t.slots[at&mask]>>slotIndexBits != number || t.slots[at&mask] == 0 {
		assert.That(t.slots[at&mask] != 0, "a number that is removed is in its table")
		at++
	}
	t.slots[at&mask] = 0
	t.count--
}

// Remove removes any number that is in the table and moves the following entries of its run up.
func (t *Numbers) Remove(number uint64) {
	mask := uint64(len(t.slots) - 1)
	hole := t.start(number)
	for ; t.slots[hole&mask]>>slotIndexBits != number || t.slots[hole&mask] == 0; hole++ {
		assert.That(t.slots[hole&mask] != 0, "a number that is removed is in its table")
	}
	for at := hole + 1; t.slots[at&mask] != 0; at++ {
		// An entry whose home position lies behind the hole stays. All others move into the hole.
		if home := t.start(t.slots[at&mask] >> slotIndexBits); (at-home)&mask >= (at-hole)&mask {
			t.slots[hole&mask] = t.slots[at&mask]
			hole = at
		}
	}
	t.slots[hole&mask] = 0
	t.count--
}

// Move gives a number that is in the table another index.
func (t *Numbers) Move(number uint64, index uint32) {
	mask := uint64(len(t.slots) - 1)
	at := t.start(number)
	for ; t.slots[at&mask]>>slotIndexBits != number || t.slots[at&mask] == 0; at++ {
		assert.That(t.slots[at&mask] != 0, "a number that moves is in its table")
	}
	t.slots[at&mask] = number<<slotIndexBits | uint64(index+1)
}

// Reset empties a table that holds exactly the numbers of the indexes below count.
//
// A table with many entries is cleared as a whole. With few entries, each is wiped on its own: from
// its home position to the first empty slot. It does not matter that a wipe empties slots of other
// entries too. A wipe runs to the end of the run, so an empty slot that it left has nothing behind
// it in its run.
func (t *Numbers) Reset(number func(index uint32) uint64) {
	if uint64(t.count)*32 > uint64(len(t.slots)) {
		clear(t.slots)
		t.count = 0
		return
	}
	mask := uint64(len(t.slots) - 1)
	for index := range t.count {
		for at := t.start(number(index)); t.slots[at&mask] != 0; at++ {
			t.slots[at&mask] = 0
		}
	}
	t.count = 0
}

// Count is the number of ordinals.
func (t *Numbers) Count() uint32 { return t.count }
