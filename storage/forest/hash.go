package forest

import (
	"math/bits"

	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/hashing"
)

// indexMax is the largest index that a numberTable can hold. An index takes 24 bits of a slot.
// Other structures with as many entries use the same limit.
const indexMax = 1<<24 - 2

// hashID spreads an id over 64 bits. A table uses the low bits as the position and the high bits as
// the tag.
//
// Clients choose ids freely, so both halves of the id are multiplied by secrets of this process. No
// set of ids that a client chooses can make long runs of slots.
//
// Clients also count upwards, and consecutive ids should share a cache line. The last three bits
// are therefore left out of the keyed hash and select one of eight neighbouring slots. An attacker
// gains little from that: at most eight ids share such a group.
func hashID(key *hashing.Key, id accounting.U128) uint64 {
	// The low half of member changes the position by less than 8. Its high half changes all bits of
	// the tag.
	const group, member = 7, 0x9e3779b900000001
	return key.Hash(id.Lo>>3, id.Hi) ^ id.Lo&group*member
}

// Both tables reserve memory for the largest number of entries and use only a part of it at first,
// sized for the expected load. The reason is that hashing touches every page of the part in use,
// and untouched pages cost no memory. Before an insert, the caller asks full() and, if it is, grows
// the table. Growing doubles the slots and inserts all entries again in their order, from the
// arrays to which the table's indexes point. A table never shrinks.

// idTable maps an id to an index by open addressing with linear probing. The ids themselves lie in
// the array that the index points into. A slot holds index+1 in its low bits and a tag from the
// hash in the bits above. Comparing tags first avoids nearly all reads of ids that are not the
// wanted one.
//
// Removal needs no tombstones. Chain rollback removes the entry that was inserted last: nothing was
// placed behind it, so its slot just becomes empty. Removal of any other entry moves the following
// entries of its run up (backward shift).
type idTable struct {
	slots     []uint32 // the part in use; the capacity is what is reserved
	indexMask uint32   // bits of a slot that hold index+1
	count     uint32
	countFull uint32 // half the slots: the table grows at this count
}

// slotIndexBits is the number of bits that the index takes in a slot of a numberTable.
const slotIndexBits = 24

// newIDTable returns a table with room for countFirst ids that can grow to countMax. Its indexes
// are below indexesMax.
func newIDTable(a *arena.Arena, countFirst, countMax, indexesMax uint32, name string, options arena.Options) idTable {
	slots := arena.SliceWith[uint32](a, tableSlots(countMax), name, options)[:tableSlots(min(countFirst, countMax))]
	assert.Below(indexesMax, 1<<31, "what a hash table points to")
	return idTable{slots: slots, indexMask: 1<<bits.Len32(indexesMax) - 1, countFull: uint32(len(slots) / 2)}
}

// tableSlots returns the number of slots for countMax entries: a power of two, at most half full.
func tableSlots(countMax uint32) uint64 {
	slots := uint64(16)
	for slots < 2*uint64(countMax) {
		slots *= 2
	}
	return slots
}

// tag returns the part of hash that a slot holds above its index.
func (t *idTable) tag(hash uint64) uint32 { return uint32(hash>>32) &^ t.indexMask }

// probe returns the next candidate for hash, from position at on. ok is false at the end of the
// run. A candidate has the right tag; the caller must compare the id:
//
//	for at := hash; ; at++ { index, ok := t.probe(&at, hash); ... compare the id ... }
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

// full reports whether the table has to grow before the next insert.
func (t *idTable) full() bool { return t.count == t.countFull }

// grow doubles the slots and empties the table. The caller, which has the ids, inserts them again.
// Ids that removeLast may remove come last, in their old order.
func (t *idTable) grow() {
	assert.AtMost(2*len(t.slots), cap(t.slots), "slots of a table that grows")
	t.reset()
	t.slots = t.slots[:2*len(t.slots)]
	t.countFull *= 2
}

// insert adds an index that is not in the table. The table is not full.
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

// placeOf returns the position of index, which is in the table. The position is to be taken modulo
// the number of slots.
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

// removeLast removes the index that was inserted last.
func (t *idTable) removeLast(hash uint64, index uint32) {
	t.slots[t.placeOf(hash, index)&uint64(len(t.slots)-1)] = 0
	t.count--
}

// remove removes any index that is in the table. hashOf returns the hash of the id that an index
// names.
func (t *idTable) remove(hash uint64, index uint32, hashOf func(index uint32) uint64) {
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

func (t *idTable) reset() {
	if t.count > 0 {
		clear(t.slots)
	}
	t.count = 0
}

// numberTable maps an ordinal (of an account or a transfer, below 2^40) to an index. A slot holds
// the whole ordinal above index+1, so no array has to be read. Removal works as in idTable.
type numberTable struct {
	slots     []uint64 // the part in use; the capacity is what is reserved
	factor    uint64   // secret: clients influence which ordinals occur
	shift     uint
	count     uint32
	countFull uint32 // half the slots: the table grows at this count
}

// newNumberTable returns a table with room for countFirst ordinals that can grow to countMax.
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

// full reports whether the table has to grow before the next insert.
func (t *numberTable) full() bool { return t.count == t.countFull }

// grow doubles the slots and inserts the entries again. The table must hold exactly the numbers of
// the indexes below count, where number returns the ordinal of an index.
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

// insert adds a number that is not in the table. The table is not full.
func (t *numberTable) insert(number uint64, index uint32) {
	mask := uint64(len(t.slots) - 1)
	at := t.start(number)
	for t.slots[at&mask] != 0 {
		at++
	}
	t.slots[at&mask] = number<<slotIndexBits | uint64(index+1)
	t.count++
}

// removeLast removes the number that was inserted last.
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

// remove removes any number that is in the table and moves the following entries of its run up.
func (t *numberTable) remove(number uint64) {
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

// move gives a number that is in the table another index.
func (t *numberTable) move(number uint64, index uint32) {
	mask := uint64(len(t.slots) - 1)
	at := t.start(number)
	for ; t.slots[at&mask]>>slotIndexBits != number || t.slots[at&mask] == 0; at++ {
		assert.That(t.slots[at&mask] != 0, "a number that moves is in its table")
	}
	t.slots[at&mask] = number<<slotIndexBits | uint64(index+1)
}

// reset empties a table that holds exactly the numbers of the indexes below count.
//
// A table with many entries is cleared as a whole. With few entries, each is wiped on its own: from
// its home position to the first empty slot. It does not matter that a wipe empties slots of other
// entries too. A wipe runs to the end of the run, so an empty slot that it left has nothing behind
// it in its run.
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
