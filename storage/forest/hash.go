package forest

import (
	"math/bits"

	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/hashing"
)

// indexMax bounds what a numberTable, and what else has as many indexes, can point to: they take 24
// bits of a slot.
const indexMax = 1<<24 - 2

// hashID spreads an id over 64 bits, of which a table takes the low ones for the place and the high
// ones for the tag. Clients choose ids freely: both halves are multiplied by secrets of this
// process, so that no chosen set of ids makes long runs of slots. Ids that differ in their last
// three bits only lie side by side: clients count, and neighbours share a cache line. That leaves
// eight ids at one place at most.
func hashID(key *hashing.Key, id accounting.U128) uint64 {
	const group, member = 7, 0x9e3779b900000001 // a member's factor moves the place by less than 8, and the tag anywhere
	return key.Hash(id.Lo>>3, id.Hi) ^ id.Lo&group*member
}

// A table reserves room for all that it may ever hold, and begins with the part of it that a load
// is expected to fill, for hashing touches every page of a part. Who inserts asks whether it is
// full before, and lets it grow: what is in it is inserted again, in the same order, from the
// arrays that it points to. It stays as large as it got.

// idTable finds the index of an id: open addressing, linear probing. The ids themselves lie with
// what the index names; a slot holds index+1 and, in the bits above it, a tag from the hash, so
// that a probe hardly ever touches a wrong id.
//
// Neither way to remove an entry needs tombstones. The last one inserted (chain rollback) ends
// every run of slots that it is in; behind any other one, what follows in its run moves up.
type idTable struct {
	slots     []uint32 // the part in use; its capacity is what is reserved
	indexMask uint32   // bits of a slot that hold index+1
	count     uint32
	countFull uint32 // half the slots
}

// slotIndexBits is how much of a numberTable's slot the index takes.
const slotIndexBits = 24

// newIDTable returns a table that begins with room for countFirst and grows up to countMax.
func newIDTable(a *arena.Arena, countFirst, countMax, indexesMax uint32, name string, options arena.Options) idTable {
	slots := arena.SliceWith[uint32](a, tableSlots(countMax), name, options)[:tableSlots(min(countFirst, countMax))]
	assert.Below(indexesMax, 1<<31, "what a hash table points to")
	return idTable{slots: slots, indexMask: 1<<bits.Len32(indexesMax) - 1, countFull: uint32(len(slots) / 2)}
}

// tableSlots keeps a table at most half full.
func tableSlots(countMax uint32) uint64 {
	slots := uint64(16)
	for slots < 2*uint64(countMax) {
		slots *= 2
	}
	return slots
}

// tag is what a slot holds above its index.
func (t *idTable) tag(hash uint64) uint32 { return uint32(hash>>32) &^ t.indexMask }

// probe returns the first candidate for hash at or behind position; ok is false at the end of the
// run. Callers loop: for at := hash; ; at++ { index, ok := t.probe(&at, hash); ... compare the id
// ... }.
func (t *idTable) probe(at *uint64, hash uint64) (index uint32, ok bool) {
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

// full tells whether the table has to grow before the next insert.
func (t *idTable) full() bool { return t.count == t.countFull }

// grow doubles the slots and empties them: whoever has the ids inserts them again, those that may
// be removed in their order behind the others.
func (t *idTable) grow() {
	assert.AtMost(2*len(t.slots), cap(t.slots), "slots of a table that grows")
	t.reset()
	t.slots = t.slots[:2*len(t.slots)]
	t.countFull *= 2
}

// insert adds an index that is not in the table, which is not full.
func (t *idTable) insert(hash uint64, index uint32) {
	slots := t.slots
	mask := uint64(len(slots) - 1)
	at := hash
	for slots[at&mask] != 0 {
		at++
	}
	slots[at&mask] = t.tag(hash) | index + 1
	t.count++
}

// placeOf is where index, which is in the table, lies; to be taken modulo the slots.
func (t *idTable) placeOf(hash uint64, index uint32) uint64 {
	mask := uint64(len(t.slots) - 1)
	want := t.tag(hash) | index + 1
	at := hash
	for t.slots[at&mask] != want {
		assert.That(t.slots[at&mask] != 0, "an id that is removed is in its table")
		at++
	}
	return at
}

// removeLast removes index, which was inserted last.
func (t *idTable) removeLast(hash uint64, index uint32) {
	t.slots[t.placeOf(hash, index)&uint64(len(t.slots)-1)] = 0
	t.count--
}

// remove removes any index that is in the table; hashOf tells the hash of what an index names.
func (t *idTable) remove(hash uint64, index uint32, hashOf func(index uint32) uint64) {
	mask := uint64(len(t.slots) - 1)
	hole := t.placeOf(hash, index)
	for at := hole + 1; t.slots[at&mask] != 0; at++ {
		// What is at home behind the hole stays.
		if home := hashOf(t.slots[at&mask]&t.indexMask - 1); (at-home)&mask >= (at-hole)&mask {
			t.slots[hole&mask] = t.slots[at&mask]
			hole = at
		}
	}
	t.slots[hole&mask] = 0
	t.count--
}

func (t *idTable) reset() {
	if t.count > 0 {
		clear(t.slots)
	}
	t.count = 0
}

// numberTable finds the index of an ordinal (of accounts or transfers, below 2^40): a slot holds
// the ordinal and index+1. Removal is as in idTable.
type numberTable struct {
	slots     []uint64 // the part in use; its capacity is what is reserved
	factor    uint64   // of the key: clients choose which accounts and transfers they touch, and so their ordinals
	shift     uint
	count     uint32
	countFull uint32 // half the slots
}

// newNumberTable returns a table that begins with room for countFirst and grows up to countMax.
func newNumberTable(a *arena.Arena, key *hashing.Key, countFirst, countMax uint32, name string, options arena.Options) numberTable {
	assert.AtMost(countMax, indexMax, "entries of a hash table")
	slots := arena.SliceWith[uint64](a, tableSlots(countMax), name, options)[:tableSlots(min(countFirst, countMax))]
	shift := uint(64 - bits.TrailingZeros(uint(len(slots))))
	return numberTable{slots: slots, factor: key.Multiplier, shift: shift, countFull: uint32(len(slots) / 2)}
}

func (t *numberTable) start(number uint64) uint64 { return number * t.factor >> t.shift }

// find returns the index of number.
func (t *numberTable) find(number uint64) (index uint32, ok bool) {
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

// full tells whether the table has to grow before the next insert.
func (t *numberTable) full() bool { return t.count == t.countFull }

// grow doubles the slots of a table that holds exactly the numbers of count entries.
//
//go:noinline
func (t *numberTable) grow(number func(index uint32) uint64) {
	assert.AtMost(2*len(t.slots), cap(t.slots), "slots of a table that grows")
	count := t.count
	t.reset(number)
	t.slots = t.slots[:2*len(t.slots)]
	t.shift--
	t.countFull *= 2
	for index := range count {
		t.insert(number(index), index)
	}
}

// insert adds a number that is not in the table, which is not full.
func (t *numberTable) insert(number uint64, index uint32) {
	mask := uint64(len(t.slots) - 1)
	at := t.start(number)
	for t.slots[at&mask] != 0 {
		at++
	}
	t.slots[at&mask] = number<<slotIndexBits | uint64(index+1)
	t.count++
}

// removeLast removes number, which was inserted last.
func (t *numberTable) removeLast(number uint64) {
	mask := uint64(len(t.slots) - 1)
	at := t.start(number)
	for t.slots[at&mask]>>slotIndexBits != number || t.slots[at&mask] == 0 {
		assert.That(t.slots[at&mask] != 0, "a number that is removed is in its table")
		at++
	}
	t.slots[at&mask] = 0
	t.count--
}

// remove removes any number that is in the table: what follows in its run moves up.
func (t *numberTable) remove(number uint64) {
	mask := uint64(len(t.slots) - 1)
	hole := t.start(number)
	for ; t.slots[hole&mask]>>slotIndexBits != number || t.slots[hole&mask] == 0; hole++ {
		assert.That(t.slots[hole&mask] != 0, "a number that is removed is in its table")
	}
	for at := hole + 1; t.slots[at&mask] != 0; at++ {
		// What is at home behind the hole stays.
		if home := t.start(t.slots[at&mask] >> slotIndexBits); (at-home)&mask >= (at-hole)&mask {
			t.slots[hole&mask] = t.slots[at&mask]
			hole = at
		}
	}
	t.slots[hole&mask] = 0
	t.count--
}

// move gives a number that is in the table another index.
func (t *numberTable) move(number uint64, index uint32) {
	mask := uint64(len(t.slots) - 1)
	at := t.start(number)
	for ; t.slots[at&mask]>>slotIndexBits != number || t.slots[at&mask] == 0; at++ {
		assert.That(t.slots[at&mask] != 0, "a number that moves is in its table")
	}
	t.slots[at&mask] = number<<slotIndexBits | uint64(index+1)
}

// reset empties a table that holds exactly the numbers of count entries. A few are wiped one by
// one: from a number's home to the first empty slot. A slot that an earlier wipe emptied has
// nothing behind it in its run, for that wipe went on to the end.
func (t *numberTable) reset(number func(index uint32) uint64) {
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
