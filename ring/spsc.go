package ring

import (
	"sync/atomic"

	"ledger/internal/assert"
)

// lineBytes keeps words of two cores apart: two lines of 64 bytes, because the hardware fetches
// them in pairs.
const lineBytes = 128

// SPSC is a bounded queue between exactly one producing and one consuming thread.
//
// Indexes count items since the start and never wrap in practice (2^64); slot = index & mask. A
// full ring has tail-head == capacity, so no slot is wasted to tell full from empty.
type SPSC[T any] struct {
	slots []T // written by the producer in [tail, tail+n), read by the consumer in [head, tail)
	mask  uint64

	_    [lineBytes]byte
	tail atomic.Uint64 // next index to be published; only the producer stores it

	_        [lineBytes]byte
	headSeen uint64 // the producer's copy of head; it reads head itself only when this one says full

	_    [lineBytes]byte
	head atomic.Uint64 // next index to be consumed; only the consumer stores it

	_        [lineBytes]byte
	tailSeen uint64 // the consumer's copy of tail
	readyMax int    // most items that the consumer has found at once
	_        [lineBytes]byte
}

// NewSPSC makes an empty ring of capacity slots, a power of two.
func NewSPSC[T any](capacity int) *SPSC[T] {
	assert.That(capacity > 0, "a ring has a slot")
	return NewSPSCOver(make([]T, capacity))
}

// NewSPSCOver makes an empty ring over memory, whose length is a power of two. The ring owns memory
// from now on. Memory outside the Go heap must hold no Go pointers.
func NewSPSCOver[T any](memory []T) *SPSC[T] {
	assert.That(len(memory) > 0, "a ring has a slot")
	assert.That(len(memory)&(len(memory)-1) == 0, "a ring's capacity is a power of two")
	return &SPSC[T]{slots: memory, mask: uint64(len(memory) - 1)}
}

// Capacity is the number of slots.
func (r *SPSC[T]) Capacity() int { return len(r.slots) }

// Len is the number of items that are published and not consumed. For the consumer it is a lower
// bound, for the producer an upper bound. For any other thread it is a snapshot for display.
func (r *SPSC[T]) Len() int {
	// Head is read first. Tail only grows, so the difference cannot be negative. It may be too
	// large by the items that were consumed meanwhile.
	head := r.head.Load()
	return min(int(r.tail.Load()-head), len(r.slots))
}

// LenMax is the most items that the consumer has found waiting. Consumer only.
func (r *SPSC[T]) LenMax() int { return r.readyMax }

// Push copies as many of items as fit and publishes them together with one store. It returns their
// number. Producer only. The caller has to wake the consumer's thread afterwards.
func (r *SPSC[T]) Push(items []T) (pushedCount int) {
	tail := r.tail.Load()
	freeCount := len(r.slots) - int(tail-r.headSeen)
	if freeCount < len(items) {
		freeCount = r.refreshHead(tail)
	}
	pushedCount = min(freeCount, len(items))
	if pushedCount == 0 {
		return 0
	}
	copied := copy(r.slots[tail&r.mask:], items[:pushedCount])
	copy(r.slots, items[copied:pushedCount])
	r.tail.Store(tail + uint64(pushedCount))
	return pushedCount
}

// PushOne publishes item and says whether it fitted. Producer only.
func (r *SPSC[T]) PushOne(item T) bool {
	tail := r.tail.Load()
	if int(tail-r.headSeen) == len(r.slots) && r.refreshHead(tail) == 0 {
		return false
	}
	r.slots[tail&r.mask] = item
	r.tail.Store(tail + 1)
	return true
}

// Pop moves up to len(out) items into out, oldest first, and returns how many. Consumer only.
//
// A slot keeps its old content until it is used again, so pointers in descriptors should name what
// lives as long as the ring.
func (r *SPSC[T]) Pop(out []T) (poppedCount int) {
	head := r.head.Load()
	readyCount := int(r.tailSeen - head)
	if readyCount < len(out) {
		readyCount = r.refreshTail(head)
	}
	poppedCount = min(readyCount, len(out))
	if poppedCount == 0 {
		return 0
	}
	start := int(head & r.mask)
	copied := copy(out[:poppedCount], r.slots[start:])
	copy(out[copied:poppedCount], r.slots)
	r.head.Store(head + uint64(poppedCount))
	return poppedCount
}

// PopOne takes the oldest item. Consumer only.
func (r *SPSC[T]) PopOne() (item T, ok bool) {
	head := r.head.Load()
	if r.tailSeen == head && r.refreshTail(head) == 0 {
		return item, false
	}
	item = r.slots[head&r.mask]
	r.head.Store(head + 1)
	return item, true
}

// refreshHead fetches the consumer's index and returns the number of free slots.
func (r *SPSC[T]) refreshHead(tail uint64) (freeCount int) {
	r.headSeen = r.head.Load()
	usedCount := int(tail - r.headSeen)
	assert.AtMost(usedCount, len(r.slots), "items in a ring, seen by its producer")
	return len(r.slots) - usedCount
}

// refreshTail fetches the producer's index and returns the number of items ready.
func (r *SPSC[T]) refreshTail(head uint64) (readyCount int) {
	r.tailSeen = r.tail.Load()
	readyCount = int(r.tailSeen - head)
	assert.AtMost(readyCount, len(r.slots), "items in a ring, seen by its consumer")
	r.readyMax = max(r.readyMax, readyCount)
	return readyCount
}
