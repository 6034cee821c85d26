package vsr

import (
	"encoding/binary"
	"math/bits"
)

// SetBytes is the size of a set in the superblock and in messages: a bit for each slot.
const SetBytes = SlotsMax / 8

// Set is a set of ops, of which at most one belongs to each slot.
type Set [SlotsMax / 64]uint64

// Add puts op in.
func (s *Set) Add(op uint64) { s[op%SlotsMax/64] |= 1 << (op % 64) }

// Has tells whether op is in the set.
func (s *Set) Has(op uint64) bool { return s[op%SlotsMax/64]>>(op%64)&1 != 0 }

// Len is the number of ops in the set.
func (s *Set) Len() (count int) {
	for _, word := range s {
		count += bits.OnesCount64(word)
	}
	return count
}

// Empty tells whether the set has no op.
func (s *Set) Empty() bool { return *s == Set{} }

// Highest returns the highest op of a set whose ops lie above head, or head if it has none.
func (s *Set) Highest(head uint64) uint64 {
	if s.Empty() {
		return head
	}
	for op := head + SlotsMax - 1; op > head; op-- {
		if s.Has(op) {
			return op
		}
	}
	return head
}

// Put writes the set as it is on disk and on the wire: the bit of slot i is bit i%8 of byte i/8.
func (s *Set) Put(to *[SetBytes]byte) {
	for i, word := range s {
		binary.LittleEndian.PutUint64(to[i*8:], word)
	}
}

// ReadSet reads what Put wrote.
func ReadSet(from *[SetBytes]byte) (s Set) {
	for i := range s {
		s[i] = binary.LittleEndian.Uint64(from[i*8:])
	}
	return s
}
