package grid

import (
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/wire"
)

const (
	readsMax         = 64
	pagesPerHeader   = 4 // one header page is cached for so many pages
	completionsCount = 32
)

// Grid is the page cache of apply.
type Grid struct {
	geometry   block.Geometry
	cluster    wire.U128
	gridOffset uint64 // of block 1 in the file
	disk       ports.Disk
	several    bool // others have the blocks: what cannot be read is a want, and no fault

	recent  recent // blocks that compaction has just built; they are looked for first
	pages   cache
	headers cache
	staging []byte // a page per read: header pages arrive here, and their used part is copied

	reads       [readsMax]read
	readsCount  int
	blocks      [BlocksMax]blockRead
	blocksCount int    // reads of parts of blocks that are under way
	wantedCount int    // blocks whose parts could not be read
	wants       wants  // blocks of pages that could not be read, in a cluster of several
	blockMemory []byte // a block for each of blocks
	fault       *storage.Fault
	faultMemory storage.Fault
	completions [completionsCount]ports.DiskCompletion

	statistics Statistics
}

// Statistics counts since the start.
type Statistics struct {
	Reads   uint64 // pages read from the disk, including header pages and repetitions
	Damaged uint64 // reads that failed or whose page was damaged

	PageLookups, PageHits     uint64 // lookups of pages, and those that were in memory
	RecentHits                uint64 // those of them that were in blocks just built
	HeaderLookups, HeaderHits uint64 // the same for header pages
}

type readState uint8

const (
	readFree     readState = iota
	readFlying             // the disk fills it
	readUnproven           // the page has arrived, its header page has not
)

// read is a page that is being read.
type read struct {
	state    readState
	demanded bool // a caller waits for it: damage is a want or a fault
	repeated bool
	page     uint32
	slot     uint32 // in pages, or in headers for page 0
	ref      storage.Ref
}

// New returns an empty cache over the grid zone that starts at gridOffset of the file behind disk.
//
// options: of the cache's memory (locked and touched in production).
func New(l limits.Limits, a *arena.Arena, disk ports.Disk, gridOffset uint64, cluster wire.U128, options arena.Options) *Grid {
	options.Class = arena.Cache
	geometry := block.GeometryOf(l)
	allCount := l.CacheGridBytes / uint64(l.PageBytes)
	pagesCount := allCount - recentFrames(&l)*uint64(l.BlockBytes/l.PageBytes)
	headerBytes := (uint64(geometry.HeaderUsedBytes()) + 63) &^ 63
	return &Grid{
		geometry: geometry, cluster: cluster, gridOffset: gridOffset, disk: disk, several: l.ReplicasCount > 1,
		recent:      newRecent(&l, a, options),
		pages:       newCache(a, pagesCount, uint64(l.PageBytes), "grid cache", options),
		headers:     newCache(a, max(allCount/pagesPerHeader, 4*waysCount), headerBytes, "grid cache headers", options),
		staging:     a.BytesWith(readsMax*uint64(l.PageBytes), arena.PageBytes, "grid cache reads", arena.Options{Class: arena.Cache}),
		blockMemory: a.BytesWith(BlocksMax*uint64(l.BlockBytes), arena.PageBytes, "opening", arena.Options{Class: arena.Index}),
	}
}

// CacheBytes is the CacheGridBytes with which so many pages and header pages have room at a time.
func CacheBytes(l *limits.Limits, pages, headerPages uint64) uint64 {
	all := (100*pages + 99 - uint64(l.CacheRecentPercent)) / uint64(100-l.CacheRecentPercent) // with the part that recent takes
	return max(all, pagesPerHeader*headerPages) * uint64(l.PageBytes)
}

// Lookup returns a verified page of the block, or nil if it is not in memory. Page 0 is the used
// part of the header page.
func (g *Grid) Lookup(ref storage.Ref, page uint32) []byte {
	if page == 0 {
		g.statistics.HeaderLookups++
		data := g.inMemory(&ref, 0)
		if data != nil {
			g.statistics.HeaderHits++
		}
		return data
	}
	g.statistics.PageLookups++
	data := g.kept(&ref, page)
	if data != nil {
		g.statistics.RecentHits++
	} else {
		data = g.pages.lookup(&ref, page)
	}
	if data != nil {
		g.statistics.PageHits++
	}
	return data
}

// Start makes sure that a demanded page is in memory or being read. It returns false if no slot or
// read is free now.
func (g *Grid) Start(ref storage.Ref, page uint32) bool { return g.start(ref, page, true) }

// Warm does the same for a page that may be needed later.
func (g *Grid) Warm(ref storage.Ref, page uint32) bool { return g.start(ref, page, false) }

// Try is Lookup, followed by Warm if the page is not in memory.
func (g *Grid) Try(ref storage.Ref, page uint32) ([]byte, bool) {
	if data := g.Lookup(ref, page); data != nil {
		return data, true
	}
	g.Warm(ref, page)
	return nil, false
}

// Page returns a verified page that Lookup did not find. It waits until the page is there. It waits
// until the block is repaired if the page is damaged; a single replica waits for ever, and the
// stage sees Fault.
func (g *Grid) Page(ref storage.Ref, page uint32, waiter storage.Waiter) []byte {
	for {
		if data := g.inMemory(&ref, page); data != nil { // the caller's Lookup was counted already
			return data
		}
		g.Start(ref, page)
		waiter.Wait()
	}
}

// Fault is the first damage of a demanded page or of a part of a block, or nil. In a cluster of
// several, only a block that was refused is a fault: no other copy is another block.
func (g *Grid) Fault() *storage.Fault {
	if g.fault == nil && g.wantedCount > 0 {
		return g.wanted()
	}
	return g.fault
}

// InFlight is the number of page reads under way.
func (g *Grid) InFlight() int { return g.readsCount }

// Statistics returns the counters.
func (g *Grid) Statistics() Statistics { return g.statistics }

func (g *Grid) cacheOf(page uint32) *cache {
	if page == 0 {
		return &g.headers
	}
	return &g.pages
}

func (g *Grid) start(ref storage.Ref, page uint32, demanded bool) bool {
	assert.That(ref.Address > 0, "a page is read from a block")
	assert.Below(page, g.geometry.PagesMax, "a page of a block")
	if g.recent.lookup(&ref, page) != nil {
		return true
	}
	c := g.cacheOf(page)
	if slot, ok := c.find(&ref, page); ok {
		if demanded && c.meta[slot].state == slotBusy {
			g.demand(slot, page)
		}
		return true
	}
	if g.wants.has(ref) {
		return true // it is read when the block is repaired
	}
	if page > 0 && !g.start(ref, 0, demanded) {
		return false // the header page goes first, at the same time if both fit
	}
	if g.readsCount == readsMax {
		return false
	}
	slot, ok := c.take(&ref, page)
	if !ok {
		return false
	}
	for i := range g.reads {
		if g.reads[i].state == readFree {
			g.reads[i] = read{demanded: demanded, page: page, slot: slot, ref: ref}
			g.readsCount++
			g.submit(i)
			return true
		}
	}
	assert.That(false, "a read that the count promised is free")
	return false
}

// demand marks the read that fills slot as demanded.
func (g *Grid) demand(slot, page uint32) {
	for i := range g.reads {
		r := &g.reads[i]
		if r.state != readFree && r.slot == slot && (r.page == 0) == (page == 0) {
			r.demanded = true
			return
		}
	}
	assert.That(false, "a busy slot is being read")
}

func (g *Grid) submit(i int) {
	r := &g.reads[i]
	r.state = readFlying
	g.statistics.Reads++
	g.disk.Read(uint64(i), g.gridOffset+g.geometry.Offset(r.ref.Address, r.page), g.target(i))
}

// target is the memory into which a read goes.
func (g *Grid) target(i int) []byte {
	r := &g.reads[i]
	if r.page > 0 {
		return g.pages.bytes(r.slot)
	}
	size := int(g.geometry.PageBytes)
	return g.staging[i*size : (i+1)*size]
}

// Poll collects completed reads, verifies them and puts them into the cache. progress: at least one
// read has completed.
func (g *Grid) Poll() (progress bool) {
	count := g.disk.Poll(g.completions[:])
	for _, completion := range g.completions[:count] {
		if completion.Tag >= readsMax {
			g.blockArrived(completion.Tag-readsMax, completion.Result)
			continue
		}
		i := int(completion.Tag)
		r := &g.reads[i]
		assert.That(r.state == readFlying, "a read that completes was under way")
		switch {
		case completion.Result < 0:
			g.bad(i, storage.FaultDisk, readFailed, completion.Result)
		case completion.Result != int32(g.geometry.PageBytes):
			g.bad(i, storage.FaultBlock, "the file ends before the page", 0)
		case r.page == 0:
			if reason := block.VerifyHeader(&g.geometry, g.target(i), r.ref, g.cluster); reason != "" {
				g.bad(i, storage.FaultBlock, reason, 0)
				continue
			}
			copy(g.headers.bytes(r.slot), g.target(i)[:g.geometry.HeaderUsedBytes()])
			g.done(i)
		default:
			r.state = readUnproven
		}
	}
	for i := range g.reads {
		if g.reads[i].state == readUnproven && g.prove(i) {
			progress = true
		}
	}
	return progress || count > 0
}

// prove verifies a page if its header page is in memory.
func (g *Grid) prove(i int) bool {
	r := &g.reads[i]
	header := g.inMemory(&r.ref, 0)
	if header == nil {
		if g.wants.has(r.ref) {
			g.drop(i)
			return true
		}
		g.start(r.ref, 0, r.demanded) // it was evicted or is still being read
		return false
	}
	if reason := block.VerifyPage(block.HeaderPage(header), r.page, g.pages.bytes(r.slot)); reason != "" {
		g.bad(i, storage.FaultBlock, reason, 0)
		return true
	}
	g.done(i)
	return true
}

func (g *Grid) done(i int) {
	r := &g.reads[i]
	g.cacheOf(r.page).ready(r.slot)
	r.state = readFree
	g.readsCount--
}

const readFailed = "the read failed"

// bad reads a page once more, or gives it up.
func (g *Grid) bad(i int, what, reason string, errno int32) {
	r := &g.reads[i]
	g.statistics.Damaged++
	if !r.repeated {
		r.repeated = true
		g.submit(i)
		return
	}
	if r.demanded {
		g.missing(r, what, reason, errno)
	}
	ref, page := r.ref, r.page
	g.drop(i)
	if page > 0 {
		return
	}
	// Without its header page, no page of the block can be verified.
	for j := range g.reads {
		if other := &g.reads[j]; other.state == readUnproven && other.ref == ref {
			g.drop(j)
		}
	}
}

// drop gives a read up.
func (g *Grid) drop(i int) {
	r := &g.reads[i]
	g.cacheOf(r.page).drop(r.slot)
	r.state = readFree
	g.readsCount--
}

// Reset forgets what was demanded and damaged, takes back what was lent, and waits until no part of
// a block is being read. Pages stay in the cache: address and checksum say what a page holds,
// whatever names it.
func (g *Grid) Reset(waiter storage.Waiter) {
	for i := range g.reads {
		g.reads[i].demanded = false
	}
	for i := range g.blocks {
		g.BlockEnd(i)
	}
	g.fault, g.wants = nil, wants{}
	g.recentReset()
	for g.blocksCount > 0 {
		waiter.Wait()
	}
}
