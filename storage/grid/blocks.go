package grid

import (
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/block"
)

// BlocksMax is the number of blocks of which parts are read at the same time.
const BlocksMax = 16

// blockReads is the number of disk reads that a part of a block takes: its pages, and the header
// page if that does not lie right before them.
const blockReads = 2

type blockState uint8

const (
	blockFree    blockState = iota
	blockFlying             // the disk fills its memory
	blockArrived            // its header page is verified; its other pages are when they are asked for
	blockWanted             // it could not be read
)

// narrowing of the read of a whole block that the disk does not give: only the used pages matter,
// and the header page says how many those are.
type narrowing uint8

const (
	narrowNot  narrowing = iota
	narrowHead           // only the header page is read
	narrowUsed           // count is that of the used pages
)

// blockRead is the read of a part of a block into memory of its own, past the cache.
type blockRead struct {
	state    blockState
	ended    bool // nobody waits for it; it is free when it has arrived
	repeated uint8
	whole    bool // all used pages, however many those are
	narrow   narrowing
	flying   uint8
	first    uint32 // page
	count    uint32 // pages from first on
	ref      storage.Ref
	result   int32 // the worst of the reads: an error, or bytes that are missing
	refused  bool  // blockWanted: it is sound, and another copy of it is the same
	errno    int32 // of fault, or 0
	fault    storage.Fault
}

// BlockStart begins to read the header page of a block and count pages from first on. The number i
// names the read until BlockEnd. count 0 means all used pages.
func (g *Grid) BlockStart(i int, ref storage.Ref, first, count uint32) {
	b := &g.blocks[i]
	assert.That(b.state == blockFree, "a block is read into memory that is free")
	assert.That(ref.Address > 0, "a reference names a block")
	*b = blockRead{first: first, count: count, ref: ref, whole: count == 0}
	if b.whole {
		b.first, b.count = 1, g.geometry.PagesMax-1
	}
	assert.That(b.first >= 1 && b.first+b.count <= g.geometry.PagesMax, "pages of a block")
	g.blockSubmit(i)
}

// BlockHeader returns the header page of a block that has arrived.
func (g *Grid) BlockHeader(i int) (header block.HeaderPage, ok bool) {
	b := &g.blocks[i]
	return g.blockBytes(i)[:g.geometry.PageBytes], b.state == blockArrived && !b.ended
}

// BlockPage returns a page of the part that was read. ok is false if the page is damaged. The part
// is then read again, and the caller waits for BlockHeader.
func (g *Grid) BlockPage(i int, number uint32) (page []byte, ok bool) {
	b := &g.blocks[i]
	assert.That(b.state == blockArrived && !b.ended, "pages are taken from a block that has arrived")
	assert.That(number >= b.first && number < b.first+b.count, "a page is of the part that was read")
	size := g.geometry.PageBytes
	data := g.blockBytes(i)
	page = data[(1+number-b.first)*size:][:size]
	if reason := block.VerifyPage(block.HeaderPage(data[:size]), number, page); reason != "" {
		g.blockBad(i, number, reason)
		return nil, false
	}
	return page, true
}

// BlockRefuse makes a block that has arrived a wanted one: it is sound, but not what it should be.
func (g *Grid) BlockRefuse(i int, reason string) {
	b := &g.blocks[i]
	assert.That(b.state == blockArrived && !b.ended, "a block that is refused has arrived")
	b.repeated, b.refused = blockReads, true // the disk gave what was written
	g.blockBad(i, 0, reason)
}

// BlockBytes returns the header page and all used pages of a block that was read as a whole, or
// nil; see BlockPage.
func (g *Grid) BlockBytes(i int) []byte {
	data := g.blockBytes(i)
	used := block.HeaderPage(data[:g.geometry.PageBytes]).PagesUsed()
	for number := uint32(1); number < used; number++ {
		if _, ok := g.BlockPage(i, number); !ok {
			return nil
		}
	}
	return data[:used*g.geometry.PageBytes]
}

// BlockEnd ends a read, whether or not it has arrived. What it would have read is not wanted any
// more.
func (g *Grid) BlockEnd(i int) {
	b := &g.blocks[i]
	switch b.state {
	case blockFlying:
		b.ended = true
		return
	case blockWanted:
		g.wantedCount--
	}
	b.state = blockFree
}

// BlockIsFree tells whether BlockStart may be called for i.
func (g *Grid) BlockIsFree(i int) bool { return g.blocks[i].state == blockFree }

// BlocksInFlight is the number of reads of parts of blocks under way.
func (g *Grid) BlocksInFlight() int { return g.blocksCount }

func (g *Grid) blockBytes(i int) []byte {
	size := int(g.geometry.BlockBytes)
	return g.blockMemory[i*size : (i+1)*size]
}

func (g *Grid) blockSubmit(i int) {
	b := &g.blocks[i]
	b.state, b.result = blockFlying, 0
	g.blocksCount++
	size := g.geometry.PageBytes
	memory := g.blockBytes(i)[:g.blockPages(i)*size]
	if b.first > 1 {
		b.flying = blockReads
		g.blockRead(i, 0, 0, memory[:size])
		g.blockRead(i, 1, b.first, memory[size:])
		return
	}
	b.flying = 1
	g.blockRead(i, 0, 0, memory)
}

// blockPages is the number of pages that a read of adjacent pages takes.
func (g *Grid) blockPages(i int) uint32 {
	if g.blocks[i].narrow == narrowHead {
		return 1
	}
	return 1 + g.blocks[i].count
}

func (g *Grid) blockRead(i, part int, page uint32, memory []byte) {
	g.statistics.Reads += uint64(len(memory)) / uint64(g.geometry.PageBytes)
	g.disk.Read(uint64(readsMax+blockReads*i+part), g.gridOffset+g.geometry.Offset(g.blocks[i].ref.Address, page), memory)
}

// blockArrived notes a completed read of a part.
func (g *Grid) blockArrived(number uint64, result int32) {
	assert.Below(number, blockReads*BlocksMax, "a read of ours has completed")
	i, part := int(number/blockReads), uint32(number%blockReads)
	b := &g.blocks[i]
	assert.That(b.state == blockFlying, "a block that arrives was under way")
	size := g.geometry.PageBytes
	pages := g.blockPages(i)
	if b.first > 1 {
		pages = 1 + part*(b.count-1)
	}
	switch {
	case result < 0:
		b.result = min(b.result, result)
	case uint32(result) != pages*size && b.result == 0:
		b.result = result + 1 // short
	}
	if b.flying--; b.flying > 0 {
		return
	}
	g.blocksCount--
	if b.ended {
		b.state = blockFree
		return
	}
	g.blockVerify(i)
}

// blockVerify checks a part of a block as far as that is possible without its pages.
func (g *Grid) blockVerify(i int) {
	b := &g.blocks[i]
	size := g.geometry.PageBytes
	data := g.blockBytes(i)
	const short = "the file ends before the page"
	read := g.blockPages(i) * size
	switch {
	case b.result < 0:
		g.blockBad(i, 0, readFailed)
		return
	case b.result > 0 && (!b.whole || uint32(b.result-1) < size):
		g.blockBad(i, 0, short)
		return
	case b.result > 0:
		read = uint32(b.result - 1)
	}
	if reason := block.VerifyHeader(&g.geometry, data[:size], b.ref, g.cluster); reason != "" {
		g.blockBad(i, 0, reason)
		return
	}
	used := block.HeaderPage(data[:size]).PagesUsed()
	if b.narrow == narrowHead {
		b.narrow, b.count = narrowUsed, used-1
		g.blockSubmit(i)
		return
	}
	if b.whole && used*size > read {
		g.blockBad(i, 0, short)
		return
	}
	b.state = blockArrived
}

// blockBad reads a part of a block again, or makes the block a wanted one. Each of its disk reads
// may fail once. A single replica has nobody to get a wanted block from: Fault names it, and the
// stage stops.
func (g *Grid) blockBad(i int, page uint32, reason string) {
	b := &g.blocks[i]
	g.statistics.Damaged++
	if b.repeated < blockReads {
		b.repeated++
		if b.whole && b.result < 0 && b.narrow == narrowNot {
			b.narrow = narrowHead
		}
		g.blockSubmit(i)
		return
	}
	b.state = blockWanted
	b.fault = storage.Fault{What: storage.FaultBlock, Address: b.ref.Address, Page: page, Reason: reason}
	if b.errno = min(b.result, 0); b.errno != 0 {
		b.fault.What = storage.FaultDisk
	}
	g.wantedCount++
}

// wanted returns the fault of the first block that is wanted and that a repair does not help, or
// nil.
func (g *Grid) wanted() *storage.Fault {
	for i := range g.blocks {
		if b := &g.blocks[i]; b.state == blockWanted && (b.refused || !g.several) {
			b.fault.Reason, b.errno = withErrno(b.fault.Reason, b.errno), 0
			return &b.fault
		}
	}
	return nil
}
