package block

import (
	"encoding/binary"

	"github.com/zeebo/blake3"

	"ledger/internal/assert"
	"ledger/limits"
	"ledger/storage"
	"ledger/wire"
)

// Kind of a block. The numbers are on disk.
type Kind uint8

const (
	KindTable   Kind = 1 // sorted entries of a tree, or packed rows
	KindTrailer Kind = 2 // part of a checkpoint's trailer; Tree holds the storage.TrailerKind
)

const (
	headerBytes = limits.BlockHeaderBytes
	entryBytes  = limits.BlockEntryBytes

	atCluster     = 16
	atAddress     = 32
	atFormat      = 40
	atKind        = 42
	atTree        = 43
	atEncoding    = 44
	atFlags       = 45
	atPagesUsed   = 46
	atFilterPages = 48
	atEntries     = 52
	atContent     = 56
	atKeyMax      = 88

	entryKey   = 16
	entryFirst = 40

	flagPartial = 1
)

// Geometry is the sizes of pages and blocks.
type Geometry struct {
	PageBytes  uint32
	BlockBytes uint32
	PagesMax   uint32 // per block, header page included
}

// GeometryOf takes the sizes from l.
func GeometryOf(l limits.Limits) Geometry {
	g := Geometry{PageBytes: l.PageBytes, BlockBytes: l.BlockBytes, PagesMax: l.BlockBytes / l.PageBytes}
	assert.AtMost(g.HeaderUsedBytes(), g.PageBytes, "the header of a block fits its page")
	assert.AtMost(g.PagesMax, 1<<15, "page numbers fit 16 bits")
	return g
}

// HeaderUsedBytes is the size of the front part of a header page that is not always zero.
func (g *Geometry) HeaderUsedBytes() uint32 { return headerBytes + (g.PagesMax-1)*entryBytes }

// Offset of a page, from the start of the grid zone.
func (g *Geometry) Offset(address uint64, page uint32) uint64 {
	assert.That(address > 0, "block addresses start at 1")
	return (address-1)*uint64(g.BlockBytes) + uint64(page)*uint64(g.PageBytes)
}

// Checksum is the first 16 bytes of BLAKE3 over data.
func Checksum(data []byte) wire.Checksum {
	sum := blake3.Sum256(data)
	return wire.Checksum(sum[:16])
}

// HeaderPage is a view of a verified header page. Its used front part is sufficient.
type HeaderPage []byte

// Address of the block.
func (h HeaderPage) Address() uint64 { return binary.LittleEndian.Uint64(h[atAddress:]) }

// Checksum of the header page, as the block's Ref holds it.
func (h HeaderPage) Checksum() wire.Checksum { return wire.Checksum(h[:16]) }

// Kind of the block.
func (h HeaderPage) Kind() Kind { return Kind(h[atKind]) }

// Tree of a table, or the storage.TrailerKind of a trailer.
func (h HeaderPage) Tree() storage.TreeID { return storage.TreeID(h[atTree]) }

// Partial tells whether the next flush replaces this block of rows.
func (h HeaderPage) Partial() bool { return h[atFlags]&flagPartial != 0 }

// PagesUsed counts all pages, the header page included.
func (h HeaderPage) PagesUsed() uint32 { return uint32(binary.LittleEndian.Uint16(h[atPagesUsed:])) }

// FilterPages is the number of filter pages, which are the last used pages.
func (h HeaderPage) FilterPages() uint32 {
	return uint32(binary.LittleEndian.Uint16(h[atFilterPages:]))
}

// DataPages counts the data pages: 1 to DataPages.
func (h HeaderPage) DataPages() uint32 { return h.PagesUsed() - 1 - h.FilterPages() }

// Entries of all data pages; in the root of a trailer, the blocks that it lists.
func (h HeaderPage) Entries() uint32 { return binary.LittleEndian.Uint32(h[atEntries:]) }

// ContentBytes of a trailer block: of the names and the content in it.
func (h HeaderPage) ContentBytes() uint64 { return binary.LittleEndian.Uint64(h[atContent:]) }

// KeyMax is the last key: a view.
func (h HeaderPage) KeyMax() *storage.Key { return (*storage.Key)(h[atKeyMax:]) }

// FirstKey is a view of the first key of a data page, 1..DataPages.
func (h HeaderPage) FirstKey(page uint32) *storage.Key {
	return (*storage.Key)(h.entry(page)[entryKey:])
}

// FirstEntry is the index in the block of the first entry of a data page.
func (h HeaderPage) FirstEntry(page uint32) uint32 {
	return binary.LittleEndian.Uint32(h.entry(page)[entryFirst:])
}

// PageChecksum of page 1..PagesUsed-1.
func (h HeaderPage) PageChecksum(page uint32) wire.Checksum {
	return wire.Checksum(h.entry(page)[:16])
}

func (h HeaderPage) entry(page uint32) []byte {
	offset := headerBytes + (page-1)*entryBytes
	return h[offset : offset+entryBytes]
}

// PageSet sets the first key and the first entry of a data page of a block that is being built.
func (h HeaderPage) PageSet(page uint32, first *storage.Key, firstEntry uint32) {
	e := h.entry(page)
	copy(e[entryKey:], first[:])
	binary.LittleEndian.PutUint32(e[entryFirst:], firstEntry)
}

// Fields of a block header that the builder provides.
type Fields struct {
	Cluster      wire.U128
	Address      uint64
	Kind         Kind
	Tree         storage.TreeID
	Encoding     storage.Encoding
	Partial      bool
	PagesUsed    uint32
	FilterPages  uint32
	Entries      uint32
	ContentBytes uint64
	KeyMax       storage.Key
}

// Begin zeroes the header page of a block that will be built in buffer.
func Begin(g *Geometry, buffer []byte) HeaderPage {
	header := buffer[:g.PageBytes]
	clear(header)
	return HeaderPage(header)
}

// SealPage sets the checksum of a complete page. Its padding must be zero.
func SealPage(g *Geometry, buffer []byte, page uint32) {
	sum := Checksum(buffer[page*g.PageBytes : (page+1)*g.PageBytes])
	copy(HeaderPage(buffer[:g.PageBytes]).entry(page), sum[:])
}

// Seal seals all used pages of a built block, and the header page.
func Seal(g *Geometry, buffer []byte, fields *Fields) storage.Ref {
	for page := uint32(1); page < fields.PagesUsed; page++ {
		SealPage(g, buffer, page)
	}
	return SealHeader(g, buffer, fields)
}

// SealHeader fills the header page of a built block whose other pages are sealed. It returns the
// block's Ref.
func SealHeader(g *Geometry, buffer []byte, fields *Fields) storage.Ref {
	assert.That(fields.Address > 0, "block addresses start at 1")
	assert.AtMost(fields.PagesUsed, g.PagesMax, "pages of a block")
	assert.That(fields.PagesUsed >= 2, "a block has a data page")
	assert.Below(fields.FilterPages, fields.PagesUsed-1, "filter pages lie behind a data page")
	h := HeaderPage(buffer[:g.PageBytes])
	fields.Cluster.PutBytes(h[atCluster:])
	binary.LittleEndian.PutUint64(h[atAddress:], fields.Address)
	binary.LittleEndian.PutUint16(h[atFormat:], limits.BlockFormatVersion)
	h[atKind], h[atTree], h[atEncoding] = byte(fields.Kind), byte(fields.Tree), byte(fields.Encoding)
	if fields.Partial {
		h[atFlags] = flagPartial
	}
	binary.LittleEndian.PutUint16(h[atPagesUsed:], uint16(fields.PagesUsed))
	binary.LittleEndian.PutUint16(h[atFilterPages:], uint16(fields.FilterPages))
	binary.LittleEndian.PutUint32(h[atEntries:], fields.Entries)
	binary.LittleEndian.PutUint64(h[atContent:], fields.ContentBytes)
	copy(h[atKeyMax:], fields.KeyMax[:])
	sum := Checksum(h[16:])
	copy(h, sum[:])
	return storage.Ref{Address: fields.Address, Checksum: sum}
}

// VerifyHeader checks the whole header page of the block that ref names. It returns the reason if
// the page is wrong, and "" if it is right.
func VerifyHeader(g *Geometry, page []byte, ref storage.Ref, cluster wire.U128) string {
	if uint32(len(page)) != g.PageBytes {
		return "the header page is short"
	}
	h := HeaderPage(page)
	if h.Checksum() != ref.Checksum {
		return "the header page is of another block"
	}
	if Checksum(page[16:]) != ref.Checksum {
		return "the header page's checksum does not match"
	}
	// The next checks fail only if our own code, or another version, built the block.
	switch {
	case h.Address() != ref.Address:
		return "the block belongs to another address"
	case wire.U128FromBytes(h[atCluster:]) != cluster:
		return "the block belongs to another cluster"
	case binary.LittleEndian.Uint16(h[atFormat:]) != limits.BlockFormatVersion:
		return "the block has another format version"
	case h.PagesUsed() < 2 || h.PagesUsed() > g.PagesMax || h.FilterPages() > h.PagesUsed()-2:
		return "the block's page counts are impossible"
	}
	return ""
}

// VerifyPage checks a page, 1..PagesUsed-1, against its verified header page. It returns the reason
// if the page is wrong, and "" if it is right.
func VerifyPage(header HeaderPage, page uint32, data []byte) string {
	if page == 0 || page >= header.PagesUsed() {
		return "the page is not used"
	}
	if Checksum(data) != header.PageChecksum(page) {
		return "the page's checksum does not match"
	}
	return ""
}

// VerifyBlock checks all used pages of the block in buffer. The buffer may end behind these pages.
func VerifyBlock(g *Geometry, buffer []byte, ref storage.Ref, cluster wire.U128) *storage.Fault {
	if page, reason := VerifyPages(g, buffer, ref, cluster); reason != "" {
		return &storage.Fault{What: storage.FaultBlock, Address: ref.Address, Page: page, Reason: reason}
	}
	return nil
}

// VerifyPages does the same. It returns the first page that is wrong with the reason, and "" if all
// are right.
func VerifyPages(g *Geometry, buffer []byte, ref storage.Ref, cluster wire.U128) (page uint32, reason string) {
	const short = "the block is short"
	if uint32(len(buffer)) < g.PageBytes {
		return 0, short
	}
	if reason = VerifyHeader(g, buffer[:g.PageBytes], ref, cluster); reason != "" {
		return 0, reason
	}
	header := HeaderPage(buffer[:g.PageBytes])
	if uint32(len(buffer)) < header.PagesUsed()*g.PageBytes {
		return 0, short
	}
	for page = 1; page < header.PagesUsed(); page++ {
		if reason = VerifyPage(header, page, buffer[page*g.PageBytes:(page+1)*g.PageBytes]); reason != "" {
			return page, reason
		}
	}
	return 0, ""
}
