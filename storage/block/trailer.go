package block

import (
	"encoding/binary"

	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/storage"
	"ledger/wire"
)

// A trailer is a stream of bytes that is cut into blocks: first the names of all its blocks but the
// first one, in order, then the content. The first block is the root, which a checkpoint names. The
// names fit the root of any trailer in production, so that with it all other blocks can be read
// side by side. In general a block has the names of later ones only: so blocks are built from the
// last one to the root, and are read from the root on.

// nameBytes is the size of a name: the address and the checksum.
const nameBytes = 8 + 16

// trailerCapacity is what one trailer block holds.
func (g *Geometry) trailerCapacity() uint64 { return uint64(g.PagesMax-1) * uint64(g.PageBytes) }

// TrailerBlocks is how many blocks a trailer of contentBytes needs: none for an empty one. Each
// block but the root takes room for its name as well.
func (g *Geometry) TrailerBlocks(contentBytes uint64) uint64 {
	capacity := g.trailerCapacity()
	if contentBytes <= capacity {
		return min(contentBytes, 1)
	}
	return (contentBytes - nameBytes + capacity - nameBytes - 1) / (capacity - nameBytes)
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

// Skip passes over as much of the content, or over all of it.
func (c *Chunks) Skip(bytes uint64) {
	for bytes > 0 && c.chunk < len(c.chunks) {
		n := min(bytes, uint64(len(c.chunks[c.chunk])-c.offset))
		bytes -= n
		c.offset += int(n)
		if c.offset == len(c.chunks[c.chunk]) {
			c.chunk, c.offset = c.chunk+1, 0
		}
	}
}

// Trailer builds the blocks of a trailer, from the last one to the root.
type Trailer struct {
	geometry *Geometry
	cluster  wire.U128
	kind     storage.TrailerKind
	chunks   [][]byte
	names    []storage.Ref // of block 1 and so on; those of the blocks that were built are right
	bytes    uint64        // of the stream
	unbuilt  uint64        // blocks
}

// NewTrailer starts a trailer.
//
// chunks: its content, in pieces.
// names:  memory for the names of all blocks but the root.
func NewTrailer(g *Geometry, cluster wire.U128, kind storage.TrailerKind, chunks [][]byte, names []storage.Ref) Trailer {
	contentBytes := uint64(0)
	for _, chunk := range chunks {
		contentBytes += uint64(len(chunk))
	}
	t := Trailer{geometry: g, cluster: cluster, kind: kind, chunks: chunks, unbuilt: g.TrailerBlocks(contentBytes)}
	if t.unbuilt > 1 {
		t.names = names[:t.unbuilt-1]
	}
	t.bytes = uint64(len(t.names))*nameBytes + contentBytes
	return t
}

// Unbuilt is how many blocks there are to build.
func (t *Trailer) Unbuilt() uint64 { return t.unbuilt }

// Build fills buffer with block Unbuilt-1, for address; block 0 is the root. It returns the block's
// name and its used bytes, which are the ones to write.
func (t *Trailer) Build(buffer []byte, address uint64) (storage.Ref, uint32) {
	assert.That(t.unbuilt > 0, "a trailer has a block to build")
	t.unbuilt--
	g := t.geometry
	header := Begin(g, buffer)
	start := t.unbuilt * g.trailerCapacity()
	part := buffer[g.PageBytes:][:min(g.trailerCapacity(), t.bytes-start)]
	named := t.putNames(part, start)
	content := NewChunks(t.chunks)
	content.Skip(start + named - uint64(len(t.names))*nameBytes)
	assert.Equal(uint64(content.Read(part[named:])), uint64(len(part))-named, "the content of a trailer block")
	pagesUsed := 1 + (uint32(len(part))+g.PageBytes-1)/g.PageBytes
	clear(buffer[g.PageBytes+uint32(len(part)) : pagesUsed*g.PageBytes])
	var key storage.Key
	for page := uint32(1); page < pagesUsed; page++ {
		header.PageSet(page, &key, 0)
	}
	fields := Fields{
		Cluster: t.cluster, Address: address, Kind: KindTrailer, Tree: storage.TreeID(t.kind),
		PagesUsed: pagesUsed, ContentBytes: uint64(len(part)),
	}
	if t.unbuilt == 0 {
		fields.Entries = uint32(len(t.names))
	}
	ref := Seal(g, buffer, &fields)
	if t.unbuilt > 0 {
		t.names[t.unbuilt-1] = ref
	}
	return ref, pagesUsed * g.PageBytes
}

// putNames fills the front of part, which begins at start in the stream, with what of the names
// belongs there, and returns how many bytes that are.
func (t *Trailer) putNames(part []byte, start uint64) (filled uint64) {
	for at := start; filled < uint64(len(part)) && at < uint64(len(t.names))*nameBytes; at = start + filled {
		var name [nameBytes]byte
		ref := &t.names[at/nameBytes]
		binary.LittleEndian.PutUint64(name[:], ref.Address)
		copy(name[8:], ref.Checksum[:])
		filled += uint64(copy(part[filled:], name[at%nameBytes:])) // a block may begin or end in a name
	}
	return filled
}

// ReadBlock reads the block that ref names and verifies all of its used pages. Nobody writes its
// other pages again, so a disk need not give them.
//
// gridOffset: where the grid zone starts in file.
// buffer:     BlockBytes, aligned for direct I/O.
func ReadBlock(file ports.File, gridOffset uint64, g *Geometry, cluster wire.U128, ref storage.Ref, buffer []byte) *storage.Fault {
	if ref.Address == 0 {
		return &storage.Fault{What: storage.FaultBlock, Reason: "a reference names no block"}
	}
	if file.ReadAt(buffer[:g.BlockBytes], gridOffset+g.Offset(ref.Address, 0)) == nil {
		return VerifyBlock(g, buffer[:g.BlockBytes], ref, cluster)
	}
	page := buffer[:g.PageBytes]
	if err := file.ReadAt(page, gridOffset+g.Offset(ref.Address, 0)); err != nil {
		return &storage.Fault{What: storage.FaultDisk, Address: ref.Address, Reason: err.Error()}
	}
	if reason := VerifyHeader(g, page, ref, cluster); reason != "" {
		return &storage.Fault{What: storage.FaultBlock, Address: ref.Address, Reason: reason}
	}
	used := buffer[g.PageBytes : HeaderPage(page).PagesUsed()*g.PageBytes]
	if err := file.ReadAt(used, gridOffset+g.Offset(ref.Address, 1)); err != nil {
		return &storage.Fault{What: storage.FaultDisk, Address: ref.Address, Page: 1, Reason: err.Error()}
	}
	return VerifyBlock(g, buffer[:g.BlockBytes], ref, cluster)
}

// TrailerReader puts the content of a trailer together from its blocks, however they are read.
type TrailerReader struct {
	geometry     *Geometry
	kind         storage.TrailerKind
	root         storage.Ref
	contentBytes uint64
	blocks       uint64
	names        []byte
	known        uint64 // bytes of names, from the first on
}

// NewTrailerReader starts with the root. reason: why a trailer of this length cannot have it, or
// "".
//
// names: memory of TrailerNamesBytes.
func NewTrailerReader(g *Geometry, kind storage.TrailerKind, root storage.Ref, contentBytes uint64, names []byte) (
	t TrailerReader, reason string) {
	blocks := g.TrailerBlocks(contentBytes)
	if blocks == 0 && !root.IsZero() {
		return t, "an empty trailer has a block"
	}
	return TrailerReader{geometry: g, kind: kind, root: root, contentBytes: contentBytes, blocks: blocks,
		names: names[:g.TrailerNamesBytes(contentBytes)]}, ""
}

// TrailerNamesBytes is the memory that the names in a trailer of contentBytes take.
func (g *Geometry) TrailerNamesBytes(contentBytes uint64) uint64 {
	return (max(g.TrailerBlocks(contentBytes), 1) - 1) * nameBytes
}

// Blocks is how many blocks the trailer has.
func (t *TrailerReader) Blocks() uint64 { return t.blocks }

// Name returns the name of block i; 0 is the root. ok: it is known, because the blocks with the
// names up to it were taken.
func (t *TrailerReader) Name(i uint64) (ref storage.Ref, ok bool) {
	if i == 0 {
		return t.root, true
	}
	if t.known < i*nameBytes {
		return ref, false
	}
	name := t.names[(i-1)*nameBytes:]
	return storage.Ref{Address: binary.LittleEndian.Uint64(name), Checksum: wire.Checksum(name[8:nameBytes])}, true
}

// Take notes the names in block i, which was verified, and returns its part of the content. Blocks
// are taken in order.
//
// at:     where in the content the part belongs.
// reason: what is wrong with the block, or "".
func (t *TrailerReader) Take(i uint64, buffer []byte) (part []byte, at uint64, reason string) {
	g := t.geometry
	start := i * g.trailerCapacity()
	end := min(start+g.trailerCapacity(), uint64(len(t.names))+t.contentBytes)
	header := HeaderPage(buffer[:g.PageBytes])
	entries := uint32(0)
	if i == 0 {
		entries = uint32(t.blocks - 1)
	}
	switch {
	case header.Kind() != KindTrailer || header.Tree() != storage.TreeID(t.kind):
		return nil, 0, "the block is not of this trailer"
	case header.ContentBytes() != end-start || header.Entries() != entries:
		return nil, 0, "the trailer block has another length"
	case uint64(header.PagesUsed()-1)*uint64(g.PageBytes) < end-start:
		return nil, 0, "the trailer block has too few pages"
	}
	part = buffer[g.PageBytes:][:end-start]
	if start < uint64(len(t.names)) {
		n := copy(t.names[start:], part)
		if t.known == start { // names behind a damaged block of names are not known
			t.known += uint64(n)
		}
		part, start = part[n:], start+uint64(n)
	}
	return part, max(start, uint64(len(t.names))) - uint64(len(t.names)), ""
}

// ReadTrailer reads a trailer into content, verifying every block from the root on. len(content) is
// the trailer's length, which the root's holder knows.
//
// visit: called for every block's address, the root's first; may be nil.
// buffer: BlockBytes, aligned for direct I/O; overwritten.
func ReadTrailer(file ports.File, gridOffset uint64, g *Geometry, cluster wire.U128, kind storage.TrailerKind, root storage.Ref,
	content []byte, buffer []byte, visit func(address uint64)) (first *storage.Fault) {
	filled := 0
	WalkTrailer(file, gridOffset, g, cluster, kind, root, uint64(len(content)), buffer,
		func(ref storage.Ref, part []byte, fault *storage.Fault) bool {
			if fault != nil {
				first = fault
				return false
			}
			filled += copy(content[filled:], part)
			if visit != nil {
				visit(ref.Address)
			}
			return true
		})
	return first
}

// WalkTrailer reads and verifies the blocks of a trailer of contentBytes, from the root on. It goes
// on behind a damaged block as long as the names of the blocks behind are known.
//
// visit: called for each block with its part of the content, or with the fault that the block has.
// A result of false ends the walk.
// buffer: BlockBytes, aligned for direct I/O; overwritten.
func WalkTrailer(file ports.File, gridOffset uint64, g *Geometry, cluster wire.U128, kind storage.TrailerKind, root storage.Ref,
	contentBytes uint64, buffer []byte, visit func(ref storage.Ref, part []byte, fault *storage.Fault) bool) {
	wrong := func(ref storage.Ref, reason string) *storage.Fault {
		return &storage.Fault{What: storage.FaultBlock, Address: ref.Address, Reason: reason}
	}
	t, reason := NewTrailerReader(g, kind, root, contentBytes, make([]byte, g.TrailerNamesBytes(contentBytes)))
	if reason != "" {
		visit(root, nil, wrong(root, reason))
		return
	}
	for i := range t.Blocks() {
		ref, ok := t.Name(i)
		if !ok {
			return
		}
		var part []byte
		fault := ReadBlock(file, gridOffset, g, cluster, ref, buffer)
		if fault == nil {
			if part, _, reason = t.Take(i, buffer); reason != "" {
				fault = wrong(ref, reason)
			}
		}
		if !visit(ref, part, fault) {
			return
		}
	}
}
