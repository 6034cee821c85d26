package block

import (
	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/storage"
	"ledger/wire"
)

// TrailerCapacity is the number of content bytes in one trailer block.
func (g *Geometry) TrailerCapacity() uint64 { return uint64(g.PagesMax-1) * uint64(g.PageBytes) }

// TrailerBlocks is the number of blocks of a trailer of contentBytes. An empty one needs none.
func (g *Geometry) TrailerBlocks(contentBytes uint64) uint64 {
	return (contentBytes + g.TrailerCapacity() - 1) / g.TrailerCapacity()
}

// Chunks walks content that consists of several pieces.
type Chunks struct {
	chunks [][]byte
	chunk  int
	offset int
}

// NewChunks starts at the beginning of the first chunk.
func NewChunks(chunks [][]byte) Chunks { return Chunks{chunks: chunks} }

// Read fills target with the next bytes and returns their number.
func (c *Chunks) Read(target []byte) (readBytes int) {
	for readBytes < len(target) && c.chunk < len(c.chunks) {
		n := copy(target[readBytes:], c.chunks[c.chunk][c.offset:])
		readBytes += n
		c.offset += n
		if c.offset == len(c.chunks[c.chunk]) {
			c.chunk, c.offset = c.chunk+1, 0
		}
	}
	return readBytes
}

// BuildTrailer fills buffer with the next block of a trailer: as much of content as fits, linked to
// the previous block. It returns the block's Ref and its used bytes, which have to be written.
func BuildTrailer(g *Geometry, buffer []byte, cluster wire.U128, kind storage.TrailerKind, address uint64, link storage.Ref,
	content *Chunks) (storage.Ref, uint32) {
	header := Begin(g, buffer)
	contentBytes := content.Read(buffer[g.PageBytes:g.BlockBytes])
	assert.That(contentBytes > 0, "a trailer block has content")
	pagesUsed := 1 + (uint32(contentBytes)+g.PageBytes-1)/g.PageBytes
	clear(buffer[g.PageBytes+uint32(contentBytes) : pagesUsed*g.PageBytes])
	var key storage.Key
	for page := uint32(1); page < pagesUsed; page++ {
		header.PageSet(page, &key, 0)
	}
	ref := Seal(g, buffer, &Fields{
		Cluster: cluster, Address: address, Kind: KindTrailer, Tree: storage.TreeID(kind),
		PagesUsed: pagesUsed, ContentBytes: uint64(contentBytes), Link: link,
	})
	return ref, pagesUsed * g.PageBytes
}

// ReadBlock reads the block that ref names and verifies all of its used pages.
//
// gridOffset: where the grid zone starts in file.
// buffer:     BlockBytes, aligned for direct I/O.
func ReadBlock(file ports.File, gridOffset uint64, g *Geometry, cluster wire.U128, ref storage.Ref, buffer []byte) *storage.Fault {
	if ref.Address == 0 {
		return &storage.Fault{What: storage.FaultBlock, Reason: "a reference names no block"}
	}
	if err := file.ReadAt(buffer[:g.BlockBytes], gridOffset+g.Offset(ref.Address, 0)); err != nil {
		return &storage.Fault{What: storage.FaultDisk, Address: ref.Address, Reason: err.Error()}
	}
	return VerifyBlock(g, buffer[:g.BlockBytes], ref, cluster)
}

// ReadChain reads the trailer whose last block is root into content. It verifies every block from
// root on. len(content) is the trailer's length, which is stored beside the root.
//
// visit:  called for every block's address, last block first; may be nil.
// buffer: BlockBytes, aligned for direct I/O; overwritten.
func ReadChain(file ports.File, gridOffset uint64, g *Geometry, cluster wire.U128, kind storage.TrailerKind, root storage.Ref,
	content []byte, buffer []byte, visit func(address uint64)) *storage.Fault {
	blocks := g.TrailerBlocks(uint64(len(content)))
	ref := root
	for i := blocks; i > 0; i-- {
		if fault := ReadBlock(file, gridOffset, g, cluster, ref, buffer); fault != nil {
			return fault
		}
		header := HeaderPage(buffer[:g.PageBytes])
		start := (i - 1) * g.TrailerCapacity()
		end := min(start+g.TrailerCapacity(), uint64(len(content)))
		wrong := func(reason string) *storage.Fault {
			return &storage.Fault{What: storage.FaultBlock, Address: ref.Address, Reason: reason}
		}
		switch {
		case header.Kind() != KindTrailer || header.Tree() != storage.TreeID(kind):
			return wrong("the block is not of this trailer")
		case header.ContentBytes() != end-start:
			return wrong("the trailer block has another length")
		case uint64(header.PagesUsed()-1)*uint64(g.PageBytes) < end-start:
			return wrong("the trailer block has too few pages")
		}
		copy(content[start:end], buffer[g.PageBytes:])
		if visit != nil {
			visit(ref.Address)
		}
		ref = header.Link()
	}
	if !ref.IsZero() {
		return &storage.Fault{What: storage.FaultBlock, Address: ref.Address, Reason: "the trailer's chain is longer than its content"}
	}
	return nil
}
