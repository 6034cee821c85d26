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
	before   uint32 // kept: the frames that were kept before and after it, plus one
	after    uint32
}

// recent holds the blocks that compaction has just built, in the memory in which it built them. So
// they are there without a read, and without a hash: compaction has computed their checksums. If no
// frame is free, the block that was kept first makes room, whether or not it is in use. What
// queries go on to need comes back through the cache of pages.
type recent struct {
	memory     []byte
	blockBytes uint64
	pageBytes  uint32
	frames     []frame
	free       []uint32 // numbers of free frames; the last one is taken first, because its memory was touched
	lentCount  uint32
	oldest     uint32   // the list of kept frames: the one that was kept first, plus one
	newest     uint32   // and last
	slots      []uint32 // numbers of frames, plus one, from the slot of their address on; 0 ends a search
}

// recentFrames is the number of frames under given limits.
func recentFrames(l *limits.Limits) uint64 {
	return l.CacheGridBytes * uint64(l.CacheRecentPercent) / 100 / uint64(l.BlockBytes)
}

// RecentBytes is the part of the cache that holds the newest blocks.
func RecentBytes(l *limits.Limits) uint64 { return recentFrames(l) * uint64(l.BlockBytes) }

func newRecent(l *limits.Limits, a *arena.Arena, options arena.Options) recent {
	count := recentFrames(l)
	slots := uint64(1)
	for slots < 2*count {
		slots *= 2
	}
	const name = "grid cache"
	r := recent{
		memory:     a.BytesWith(count*uint64(l.BlockBytes), arena.PageBytes, name, options),
		blockBytes: uint64(l.BlockBytes), pageBytes: l.PageBytes,
		frames: arena.SliceWith[frame](a, count, name, options), slots: arena.SliceWith[uint32](a, slots, name, options),
		free: arena.SliceWith[uint32](a, count, name, options),
	}
	for i := range r.free {
		r.free[i] = uint32(len(r.free) - 1 - i)
	}
	return r
}

// Touch makes a populate the memory of the newest blocks, which the first seconds of load fill.
// Compaction would clear it page by page in the middle of that load: a tenth of its time. The rest
// of the cache is filled by reads, each of which takes longer than clearing its page.
func (g *Grid) Touch(a *arena.Arena) { a.TouchLate(g.recent.memory) }

// slotOf is the slot at which a search for an address begins. Addresses are dense, so they are
// their own hash.
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

// lend takes a frame that is free, or else the one that was kept first. At most half of the frames
// are lent at a time, so that some blocks stay. ok is false if no more are.
func (r *recent) lend() (number uint32, ok bool) {
	if 2*r.lentCount >= uint32(len(r.frames)) {
		return 0, false
	}
	if len(r.free) == 0 {
		r.empty(r.oldest - 1) // at least half of the frames are kept
	}
	number = r.free[len(r.free)-1]
	r.free = r.free[:len(r.free)-1]
	r.frames[number].state = frameLent
	r.lentCount++
	return number, true
}

// empty makes a frame that is lent or kept free.
func (r *recent) empty(number uint32) {
	f := &r.frames[number]
	switch f.state {
	case frameKept:
		r.remove(f.address)
		r.unlink(f)
	case frameLent:
		r.lentCount--
	default:
		assert.That(false, "a frame that becomes free was in use")
	}
	*f = frame{}
	r.free = append(r.free, number)
}

// keep notes which block a lent frame holds.
func (r *recent) keep(number uint32, ref storage.Ref, pages uint32) {
	f := &r.frames[number]
	assert.That(f.state == frameLent, "a frame that a job has filled was lent")
	if other, ok := r.find(ref.Address); ok {
		r.empty(other) // an older block of this address
	}
	r.lentCount--
	*f = frame{address: ref.Address, checksum: ref.Checksum, pages: pages, state: frameKept, before: r.newest}
	if r.newest == 0 {
		r.oldest = number + 1
	} else {
		r.frames[r.newest-1].after = number + 1
	}
	r.newest = number + 1
	at := r.slotOf(ref.Address)
	for r.slots[at] != 0 {
		at = (at + 1) & uint64(len(r.slots)-1)
	}
	r.slots[at] = number + 1
}

// unlink takes a kept frame out of the list.
func (r *recent) unlink(f *frame) {
	if f.before == 0 {
		r.oldest = f.after
	} else {
		r.frames[f.before-1].after = f.after
	}
	if f.after == 0 {
		r.newest = f.before
	} else {
		r.frames[f.after-1].before = f.before
	}
}

// remove removes an address from the slots, and moves those behind it up, so that no search ends
// too early.
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

// Lend gives memory for a block that compaction is going to build. It holds what it held before,
// and belongs to the job until Keep or Return names its number. nil: there is none.
func (g *Grid) Lend() (memory []byte, number uint32) {
	number, ok := g.recent.lend()
	if !ok {
		return nil, 0
	}
	return g.recent.bytes(number), number
}

// Keep makes the block that a job has built in lent memory readable. pages are the used ones.
func (g *Grid) Keep(number uint32, ref storage.Ref, pages uint32) {
	g.recent.keep(number, ref, pages)
}

// Return takes lent memory back that no block is kept in.
func (g *Grid) Return(number uint32) {
	assert.That(g.recent.frames[number].state == frameLent, "memory that comes back was lent")
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
