package freeset

import (
	"math/bits"

	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/storage/datafile"
)

// Set is the state of all addresses. Bit a-1 of a bitmap stands for address a.
type Set struct {
	addressesMax uint64
	high         uint64 // highest address ever acquired
	searchWord   uint64 // no word below it has a free bit

	acquired bitmap // in use, or waiting
	named    bitmap // in use, and a checkpoint names it
	// Three disjoint bitmaps of released addresses, by the event for which each address waits.
	waitsBar      bitmap // no checkpoint names it: free at the next BarEnd
	waitsCaptured bitmap // a checkpoint names it: free when the captured checkpoint is durable
	waitsNext     bitmap // a checkpoint names it: free when the next captured checkpoint is durable

	acquiredCount uint64 // waiting addresses included
	waitingCount  uint64
	capturing     bool // a captured checkpoint is not durable yet

	watched watch
}

type bitmap []uint64

func (b bitmap) has(index uint64) bool { return b[index/64]>>(index%64)&1 != 0 }
func (b bitmap) set(index uint64)      { b[index/64] |= 1 << (index % 64) }
func (b bitmap) clear(index uint64)    { b[index/64] &^= 1 << (index % 64) }

// AddressesMax is the number of blocks that fit behind the zones before the grid. With it, the data
// file never exceeds StorageBytesMax.
func AddressesMax(l limits.Limits) uint64 {
	gridAt := datafile.NewLayout(&l).GridAt
	assert.That(l.StorageBytesMax >= gridAt+uint64(l.BlockBytes), "the largest data file holds its zones and a block")
	return (l.StorageBytesMax - gridAt) / uint64(l.BlockBytes)
}

// New returns a set without any acquired address, for addresses 1..addressesMax.
func New(a *arena.Arena, addressesMax uint64) *Set {
	assert.That(addressesMax > 0, "a grid has blocks")
	words := (addressesMax + 63) / 64
	empty := func() bitmap { return arena.SliceWith[uint64](a, words, "free set", arena.Options{Class: arena.Index}) }
	return &Set{addressesMax: addressesMax, acquired: empty(), named: empty(), waitsBar: empty(), waitsCaptured: empty(), waitsNext: empty()}
}

// words is the number of words in which a bit can be set.
func (s *Set) words() uint64 { return (s.high + 63) / 64 }

// Acquire takes the len(out) lowest free addresses, in ascending order. If there are fewer, it
// takes none and returns false.
func (s *Set) Acquire(out []uint64) bool {
	if s.addressesMax-s.acquiredCount < uint64(len(out)) {
		return false
	}
	word := s.searchWord
	for i := 0; i < len(out); {
		free := ^s.acquired[word]
		for free != 0 && i < len(out) {
			index := word*64 + uint64(bits.TrailingZeros64(free))
			free &= free - 1
			assert.Below(index, s.addressesMax, "an address that the count promised")
			s.acquired.set(index)
			s.high = max(s.high, index+1)
			out[i] = index + 1
			i++
		}
		if free == 0 && i < len(out) {
			word++
		}
	}
	s.searchWord = word
	s.acquiredCount += uint64(len(out))
	return true
}

// GiveBack frees an address that was acquired after the last Capture and never written.
func (s *Set) GiveBack(address uint64) {
	index := s.inUse(address)
	assert.That(!s.named.has(index), "an address that is given back is named by no checkpoint")
	s.acquired.clear(index)
	s.acquiredCount--
	s.searchWord = min(s.searchWord, index/64)
}

// Release marks a block as unused. Checkpoints that name it, and reads under way, may still need
// it.
func (s *Set) Release(address uint64) {
	index := s.inUse(address)
	s.watched.drop(index)
	if s.named.has(index) {
		s.named.clear(index)
		s.waitsNext.set(index)
	} else {
		s.waitsBar.set(index)
	}
	s.waitingCount++
}

// inUse asserts that address is acquired and not released, and returns its index.
func (s *Set) inUse(address uint64) uint64 {
	assert.That(address > 0, "block addresses start at 1")
	index := address - 1
	assert.Below(index, s.high, "an address that was acquired")
	assert.That(s.acquired.has(index), "a released address is acquired")
	assert.That(!s.waiting(index), "an address is released once")
	return index
}

func (s *Set) waiting(index uint64) bool {
	return s.waitsBar.has(index) || s.waitsCaptured.has(index) || s.waitsNext.has(index)
}

// BarEnd frees the addresses that were released before this bar's end and that no checkpoint names.
// It is called before this bar's releases.
func (s *Set) BarEnd() { s.free(s.waitsBar) }

// Capture takes a checkpoint: it names all addresses that are acquired and not released, trailers
// included. Addresses that wait for the next checkpoint now wait for this one. Encode follows at
// once.
func (s *Set) Capture() {
	assert.That(!s.capturing, "the checkpoint before is durable when the next is taken")
	s.capturing = true
	for i := range s.words() {
		assert.Equal(s.waitsCaptured[i], 0, "nothing waits for an older checkpoint")
		s.waitsCaptured[i], s.waitsNext[i] = s.waitsNext[i], 0
		s.named[i] = s.acquired[i] &^ (s.waitsBar[i] | s.waitsCaptured[i])
	}
}

// Durable frees the addresses that waited for the captured checkpoint. It is called at a fixed op,
// so all replicas free them at the same op.
func (s *Set) Durable() {
	assert.That(s.capturing, "a checkpoint that becomes durable was captured")
	s.capturing = false
	s.free(s.waitsCaptured)
}

// free frees all addresses of a waiting set.
func (s *Set) free(waiting bitmap) {
	lowest := s.searchWord
	for i := range s.words() {
		word := waiting[i]
		if word == 0 {
			continue
		}
		lowest = min(lowest, i)
		s.acquired[i] &^= word
		freed := uint64(bits.OnesCount64(word))
		s.acquiredCount -= freed
		s.waitingCount -= freed
		waiting[i] = 0
	}
	s.searchWord = lowest
}

// High is the highest address ever acquired: the grid's blocks end there.
func (s *Set) High() uint64 { return s.high }

// AcquiredCount is the number of addresses that are not free, including waiting ones.
func (s *Set) AcquiredCount() uint64 { return s.acquiredCount }

// WaitingCount is the number of addresses that are released but not free.
func (s *Set) WaitingCount() uint64 { return s.waitingCount }

// IsAcquired tells whether address is in use or waiting.
func (s *Set) IsAcquired(address uint64) bool {
	return address > 0 && address <= s.high && s.acquired.has(address-1)
}

// IsNamed tells whether a checkpoint names the block at address, one that is captured included.
func (s *Set) IsNamed(address uint64) bool {
	if !s.IsAcquired(address) {
		return false
	}
	index := address - 1
	return s.named.has(index) || s.waitsCaptured.has(index) || s.waitsNext.has(index)
}

// Reset makes the set what New returned.
func (s *Set) Reset() {
	for _, b := range [...]bitmap{s.acquired, s.named, s.waitsBar, s.waitsCaptured, s.waitsNext} {
		clear(b[:s.words()])
	}
	s.high, s.searchWord, s.acquiredCount, s.waitingCount, s.capturing = 0, 0, 0, 0, false
	s.watched = watch{}
}
