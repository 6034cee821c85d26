package grid

import (
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/storage"
	"ledger/wire"
)

type frameState uint8

const (
	frameFree frameState = iota
	frameLent            // a job of compaction fills it
	frameKept            // it holds a block
)

// frame is memory of one block.
type frame struct {
	address  uint64
	checksum wire.Checksum
	pages    uint32 // used ones, the header page included
	state    frameState
}

// recent holds the blocks that compaction has just built, in the memory in which it built them. So
// they are there without a read, and without a hash: compaction has computed their checksums. If no
// frame is free, the block that was kept first makes room, whether or not it is in use. What queries
// go on to need comes back through the cache of pages.
type recent struct {
	memory     []byte
	blockBytes uint64
	pageBytes  uint32
	frames     []frame
	slots      []uint32 // numbers of frames, plus one, from the slot of their address on; 0 ends a search
	hand       uint32   // the frame that is lent next, if it is not lent already
	freeCount  uint32
}

// recentFrames is the number of frames under given limits.
func recentFrames(l *limits.Limits) uint64 {
	return l.CacheGridBytes / 100 * uint64(l.CacheRecentPercent) / uint64(l.BlockBytes)
}

// RecentBytes is the part of the cache that holds the newest blocks.
func RecentBytes(l *limits.Limits) uint64 { return recentFrames(l) * uint64(l.BlockBytes) }

func newRecent(l *limits.Limits, a *arena.Arena, options arena.Options) recent {
	count := recentFrames(l)
	slots := uint64(1)
	for slots < 2*count {
		slots *= 2
	}
	return recent{
		memory:     a.BytesWith(count*uint64(l.BlockBytes), arena.PageBytes, "grid cache", options),
		blockBytes: uint64(l.BlockBytes), pageBytes: l.PageBytes,
		frames: arena.SliceWith[frame](a, count, "grid cache", options), slots: arena.SliceWith[uint32](a, slots, "grid cache", options),
		freeCount: uint32(count),
	}
}

// slotOf is the slot at which a search for an address begins. Addresses are dense, so they are their
// own hash.
func (r *recent) slotOf(address uint64) uint64 { return address & uint64(len(r.slots)-1) }

func (r *recent) bytes(number uint32) []byte {
	start := uint64(number) * r.blockBytes
	return r.memory[start : start+r.blockBytes : start+r.blockBytes]
}

// find returns the frame that holds a block of this address.
func (r *recent) find(address uint64) (number uint32, ok bool) {
	for at := r.slotOf(address); r.slots[at] != 0; at = (at + 1) & uint64(len(r.slots)-1) {
		if number = r.slots[at] - 1; r.frames[number].address == address {
			return number, true
		}
	}
	return 0, false
}

// lookup returns a page of the block, or nil.
func (r *recent) lookup(ref *storage.Ref, page uint32) []byte {
	number, ok := r.find(ref.Address)
	if !ok {
		return nil
	}
	f := &r.frames[number]
	if f.checksum != ref.Checksum || page >= f.pages {
		return nil
	}
	start := uint64(number)*r.blockBytes + uint64(page)*uint64(r.pageBytes)
	return r.memory[start : start+uint64(r.pageBytes) : start+uint64(r.pageBytes)]
}

// lend takes a frame that is free, or else the one that was kept first among those at the hand. At
// most half of the frames are lent at a time, so that some blocks stay. ok is false if none is left.
func (r *recent) lend(lentCount uint32) (number uint32, ok bool) {
	if 2*lentCount >= uint32(len(r.frames)) {
		return 0, false
	}
	for range r.frames {
		number = r.hand
		if r.hand++; r.hand == uint32(len(r.frames)) {
			r.hand = 0
		}
		f := &r.frames[number]
		if f.state == frameLent || r.freeCount > 0 && f.state == frameKept {
			continue
		}
		r.empty(number)
		r.freeCount--
		f.state = frameLent
		return number, true
	}
	return 0, false
}

// empty makes a frame free.
func (r *recent) empty(number uint32) {
	f := &r.frames[number]
	if f.state == frameKept {
		r.remove(f.address)
	}
	if f.state != frameFree {
		r.freeCount++
	}
	*f = frame{}
}

// keep notes which block a lent frame holds.
func (r *recent) keep(number uint32, ref storage.Ref, pages uint32) {
	f := &r.frames[number]
	assert.That(f.state == frameLent, "a frame that a job has filled was lent")
	if before, ok := r.find(ref.Address); ok {
		r.empty(before) // an older block of this address
	}
	*f = frame{address: ref.Address, checksum: ref.Checksum, pages: pages, state: frameKept}
	at := r.slotOf(ref.Address)
	for r.slots[at] != 0 {
		at = (at + 1) & uint64(len(r.slots)-1)
	}
	r.slots[at] = number + 1
}

// remove removes an address from the slots, and moves those behind it up, so that no search ends too
// early.
func (r *recent) remove(address uint64) {
	mask := uint64(len(r.slots) - 1)
	at := r.slotOf(address)
	for r.frames[r.slots[at]-1].address != address {
		at = (at + 1) & mask
	}
	r.slots[at] = 0
	for next := (at + 1) & mask; r.slots[next] != 0; next = (next + 1) & mask {
		home := r.slotOf(r.frames[r.slots[next]-1].address)
		if (next-home)&mask < (next-at)&mask {
			continue // it is found without passing the gap
		}
		r.slots[at], r.slots[next] = r.slots[next], 0
		at = next
	}
}

// Lend gives memory for a block that compaction is going to build. It holds what it held before, and
// belongs to the job until Keep or Return names its number. nil: there is none.
func (g *Grid) Lend() (memory []byte, number uint32) {
	number, ok := g.recent.lend(g.lentCount)
	if !ok {
		return nil, 0
	}
	g.lentCount++
	return g.recent.bytes(number), number
}

// Keep makes the block that a job has built in lent memory readable. pages are the used ones.
func (g *Grid) Keep(number uint32, ref storage.Ref, pages uint32) {
	g.lentCount--
	g.recent.keep(number, ref, pages)
}

// Return takes lent memory back that no block is kept in.
func (g *Grid) Return(number uint32) {
	assert.That(g.recent.frames[number].state == frameLent, "memory that comes back was lent")
	g.lentCount--
	g.recent.empty(number)
}

// Forget drops a block of which nothing will be read any more, if it is kept.
func (g *Grid) Forget(address uint64) {
	if number, ok := g.recent.find(address); ok {
		g.recent.empty(number)
	}
}

// recentReset takes all lent memory back.
func (g *Grid) recentReset() {
	for i := range g.recent.frames {
		if g.recent.frames[i].state == frameLent {
			g.Return(uint32(i))
		}
	}
}

// kept returns a page of a block that is kept, or nil.
func (g *Grid) kept(ref *storage.Ref, page uint32) []byte {
	data := g.recent.lookup(ref, page)
	if data != nil && page == 0 {
		return data[:g.geometry.HeaderUsedBytes()]
	}
	return data
}

// inMemory returns a verified page, or nil.
func (g *Grid) inMemory(ref *storage.Ref, page uint32) []byte {
	if data := g.kept(ref, page); data != nil {
		return data
	}
	return g.cacheOf(page).lookup(ref, page)
}
