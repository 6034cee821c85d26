package table

import (
	"encoding/binary"
	"math/bits"

	"ledger/internal/assert"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
)

const (
	pageHeaderBytes = 8 // count 2, ordinal width 1, zeros
	restartEvery    = 32

	// BatchEntries is the size of a group of entries. Decode is cheapest if it begins at a multiple
	// of it.
	BatchEntries = restartEvery
)

// Shape is the layout of a tree's tables under given limits. It is a value without pointers.
type Shape struct {
	Tree       storage.TreeID
	Encoding   storage.Encoding
	KeyBytes   int
	ValueBytes int
	Geometry   block.Geometry

	filter        bool
	tombstones    bool
	valueAt       int // bytes of a posting's value, which come before its ordinal
	ordinalBytes  int
	pageEntries   int // plain: entries of a full page
	valuesAt      int // plain: where the values start in a page
	tombstonesAt  int // plain: where the bits start
	dataPagesMax  uint32
	entriesPlenty int // prefix: number of entries that fit a page in any case
}

// ShapeOf computes a tree's shape.
func ShapeOf(l limits.Limits, tree storage.TreeID) Shape {
	spec := &storage.Trees[tree]
	assert.That(spec.Encoding == storage.EncodingPlain || spec.Encoding == storage.EncodingPrefix, "rows have a package of their own")
	s := Shape{
		Tree: tree, Encoding: spec.Encoding, KeyBytes: int(spec.KeyBytes), ValueBytes: int(spec.ValueBytes),
		Geometry: block.GeometryOf(l), filter: spec.Filter, tombstones: spec.Tombstones,
	}
	payload := int(s.Geometry.PageBytes) - pageHeaderBytes
	s.dataPagesMax = s.Geometry.PagesMax - 1
	if s.Encoding == storage.EncodingPrefix {
		assert.That(spec.ValueBytes == 0 && !spec.Tombstones && !spec.Filter, "a posting is a key and nothing else")
		s.ordinalBytes = tree.OrdinalBytes()
		s.valueAt = s.KeyBytes - s.ordinalBytes
		assert.AtMost(s.valueAt, sharedMax, "shared bytes fit their code")
		assert.AtMost(s.valueAt, 16, "a posting's value is two words")
		assert.That(s.valueAt == 16 || s.KeyBytes <= 16, "the third word of a posting is its ordinal alone")
		// A group takes 32 entries of the longest form, the first of them whole, and one place in
		// the array of offsets.
		s.entriesPlenty = payload*restartEvery/(restartEvery*(1+s.KeyBytes)+1) - 1
		assert.That(s.entriesPlenty > 0, "a page holds an entry")
		return s
	}
	assert.That(s.KeyBytes == 4 || s.KeyBytes == 8 || s.KeyBytes == 16, "keys of plain pages are of whole words")
	assert.That(!s.filter || s.KeyBytes == filterKeyBytes, "a tree with filters has ids for keys")
	entryBytes := s.KeyBytes + s.ValueBytes
	s.pageEntries = payload / entryBytes
	if s.tombstones {
		for s.pageEntries*entryBytes+(s.pageEntries+7)/8 > payload {
			s.pageEntries--
		}
	}
	assert.That(s.pageEntries > 0, "a page holds an entry")
	s.valuesAt = pageHeaderBytes + s.pageEntries*s.KeyBytes
	s.tombstonesAt = s.valuesAt + s.pageEntries*s.ValueBytes
	for s.filter && s.dataPagesMax+s.filterPages(s.dataPagesMax*uint32(s.pageEntries)) > s.Geometry.PagesMax-1 {
		s.dataPagesMax--
	}
	assert.That(s.dataPagesMax > 0, "a block holds a data page")
	return s
}

// TablesMax is the largest number of tables that a job can need for this many entries.
func (s *Shape) TablesMax(entries uint64) uint64 {
	if entries == 0 {
		return 0
	}
	if s.Encoding == storage.EncodingPlain {
		perTable := uint64(s.dataPagesMax) * uint64(s.pageEntries)
		return (entries + perTable - 1) / perTable
	}
	// A page ends early when ordinals need another byte. That happens at most this often in a job.
	entries += uint64(s.ordinalBytes * s.entriesPlenty)
	perTable := uint64(s.dataPagesMax) * uint64(s.entriesPlenty)
	return (entries + perTable - 1) / perTable
}

// PageFind returns the last data page whose first key is at most key, or 1: the only one that can
// hold key.
func (s *Shape) PageFind(header block.HeaderPage, key *storage.Key) uint32 {
	want := thirdsOf(key)
	base, length := uint32(1), header.DataPages()-1 // pages base+1..base+length may begin at or below key
	for length > 0 {
		half := (length + 1) / 2
		first := thirdsOf(header.FirstKey(base + half))
		_, above := bits.Sub64(want.C, first.C, 0)
		_, above = bits.Sub64(want.B, first.B, above)
		_, above = bits.Sub64(want.A, first.A, above)
		base += half & (uint32(above) - 1)
		length -= half
	}
	return base
}

// Count of a page's entries.
func (s *Shape) Count(page []byte) int { return int(binary.LittleEndian.Uint16(page)) }

// Search returns the index of the first entry of page whose key is at least key, or Count if there
// is none. exact tells whether it is key.
func (s *Shape) Search(page []byte, key *storage.Key) (index int, exact bool) {
	if s.Encoding == storage.EncodingPrefix {
		return s.searchPrefix(page, key)
	}
	return s.searchPlain(page, key)
}

// Decode fills out with the keys of page from index on and returns their number. On a prefix page
// it begins reading at the multiple of BatchEntries before index.
func (s *Shape) Decode(page []byte, index int, out []storage.Key) (count int) {
	var words [BatchEntries]Words
	for count < len(out) {
		batch := BatchEntries - (index+count)%BatchEntries
		batch = s.DecodeWords(page, index+count, words[:min(batch, len(out)-count)])
		if batch == 0 {
			break
		}
		for i := range words[:batch] {
			s.Put(words[i], &out[count+i])
		}
		count += batch
	}
	return count
}

// DecodeWords is Decode for keys as numbers.
func (s *Shape) DecodeWords(page []byte, index int, out []Words) int {
	count := min(s.Count(page)-index, len(out))
	if count <= 0 {
		return 0
	}
	out = out[:count]
	if s.Encoding == storage.EncodingPrefix {
		s.wordsPrefix(page, index, out)
		return count
	}
	keys := page[pageHeaderBytes+index*s.KeyBytes : s.valuesAt]
	switch s.KeyBytes {
	case 16:
		for i := range out {
			key := keys[i*16 : i*16+16]
			out[i] = Words{A: binary.BigEndian.Uint64(key), B: binary.BigEndian.Uint64(key[8:])}
		}
	case 8:
		for i := range out {
			out[i] = Words{A: binary.BigEndian.Uint64(keys[i*8:])}
		}
	default:
		for i := range out {
			out[i] = Words{A: uint64(binary.BigEndian.Uint32(keys[i*4:])) << 32}
		}
	}
	return count
}

// Value of the entry at index of a plain page: a view.
func (s *Shape) Value(page []byte, index int) []byte {
	offset := s.valuesAt + index*s.ValueBytes
	return page[offset : offset+s.ValueBytes]
}

// Tombstone tells whether the entry at index of a page removes its key.
func (s *Shape) Tombstone(page []byte, index int) bool {
	return s.tombstones && page[s.tombstonesAt+index/8]>>(index%8)&1 != 0
}
