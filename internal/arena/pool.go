package arena

import "ledger/internal/assert"

// Pool is a fixed number of equal slots with handles 0..SlotsCount-1. A pool without slots has no
// memory.
//
// The free list is last in, first out. So slots that load does not need are never touched and use
// no memory. One thread calls Get and Put. Any thread may hold a handle and call Bytes.
type Pool struct {
	memory    []byte
	slotBytes uint64
	free      []uint32 // handles; the next one to give out is the last
	inUse     []bool   // by handle
	freeCount uint32
}

// NewPool reserves slotsCount slots of slotBytes. slotBytes is whole pages, so that every slot is
// aligned for direct I/O.
func NewPool(a *Arena, slotsCount uint32, slotBytes uint64, name string) *Pool {
	return NewPoolHuge(a, slotsCount, slotBytes, name, 0)
}

// NewPoolHuge is NewPool with the first hugeBytes in huge pages, for the few slots that large
// messages use again and again. The kernel looks up every page of a buffer that a disk reads, which
// is 256 pages for a slot of 1 MiB in small pages. The other slots are for many clients with small
// messages, which would each take a huge page.
func NewPoolHuge(a *Arena, slotsCount uint32, slotBytes uint64, name string, hugeBytes uint64) *Pool {
	if slotsCount == 0 {
		return &Pool{slotBytes: slotBytes}
	}
	assert.That(slotBytes > 0 && slotBytes%PageBytes == 0, "a slot is whole pages")
	options := Options{Class: Slot}
	p := &Pool{
		memory:    a.bytesHuge(uint64(slotsCount)*slotBytes, name, options, hugeBytes),
		slotBytes: slotBytes,
		free:      SliceWith[uint32](a, uint64(slotsCount), name, options),
		inUse:     SliceWith[bool](a, uint64(slotsCount), name, options),
		freeCount: slotsCount,
	}
	for i := range p.free {
		p.free[i] = slotsCount - 1 - uint32(i) // handle 0 is given out first
	}
	return p
}

// Get takes a free slot. Its bytes are those that its last holder left.
func (p *Pool) Get() (handle uint32, ok bool) {
	if p.freeCount == 0 {
		return 0, false
	}
	p.freeCount--
	handle = p.free[p.freeCount]
	assert.That(!p.inUse[handle], "a slot on the free list is not in use")
	p.inUse[handle] = true
	return handle, true
}

// Put gives a slot back.
func (p *Pool) Put(handle uint32) {
	assert.Below(handle, uint32(len(p.inUse)), "a handle of this pool")
	assert.That(p.inUse[handle], "a slot is given back once")
	p.inUse[handle] = false
	p.free[p.freeCount] = handle
	p.freeCount++
}

// Bytes returns the whole slot of handle.
func (p *Pool) Bytes(handle uint32) []byte {
	assert.Below(handle, uint32(len(p.inUse)), "a handle of this pool")
	start := uint64(handle) * p.slotBytes
	return p.memory[start : start+p.slotBytes : start+p.slotBytes]
}

// FreeCount is the number of slots that Get can still return.
func (p *Pool) FreeCount() uint32 { return p.freeCount }

// SlotsCount is the number of slots.
func (p *Pool) SlotsCount() uint32 { return uint32(len(p.inUse)) }

// SlotBytes is the size of one slot.
func (p *Pool) SlotBytes() uint64 { return p.slotBytes }
