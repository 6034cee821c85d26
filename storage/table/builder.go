package table

import (
	"encoding/binary"
	"math/bits"

	"ledger/assert"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/wire"
)

// Builder packs sorted entries into the tables of one run, one block after the other.
type Builder struct {
	shape  *Shape
	buffer []byte
	header block.HeaderPage
	width  int // prefix: bytes of an ordinal; grows within a run, never shrinks

	open       bool
	pageNumber uint32 // the page being filled, from 1
	page       []byte
	count      int // entries of the page
	at         int // prefix: used bytes of the page
	entries    uint32
	keyMin     storage.Key
	keyMax     storage.Key // the last key added
}

// Reset starts a run of shape. width is how many bytes the ordinals of its postings are expected to need (see OrdinalWidth);
// a run that needs more makes its pages wider as it goes.
func (b *Builder) Reset(shape *Shape, width int) {
	*b = Builder{shape: shape, width: max(1, width)}
}

// Begin starts a table in buffer (BlockBytes; its content does not matter).
func (b *Builder) Begin(buffer []byte) {
	assert.That(!b.open, "the table before is finished")
	assert.AtMost(int(b.shape.Geometry.BlockBytes), len(buffer), "a buffer holds a block")
	b.buffer, b.header = buffer, block.Begin(&b.shape.Geometry, buffer)
	b.open, b.entries, b.pageNumber = true, 0, 0
	b.pageOpen()
}

// Abandon forgets the table that has begun.
func (b *Builder) Abandon() { b.open = false }

// Open tells whether a table has begun and is not finished.
func (b *Builder) Open() bool { return b.open }

// Entries of the table so far.
func (b *Builder) Entries() uint32 { return b.entries }

func (b *Builder) pageOpen() {
	b.pageNumber++
	size := b.shape.Geometry.PageBytes
	b.page = b.buffer[b.pageNumber*size : (b.pageNumber+1)*size]
	b.count, b.at = 0, pageHeaderBytes
	if b.shape.Encoding == storage.EncodingPlain {
		clear(b.page)
	}
}

// pageClose completes the page: its header, and zeros where nothing lies.
func (b *Builder) pageClose() {
	clear(b.page[:pageHeaderBytes])
	binary.LittleEndian.PutUint16(b.page, uint16(b.count))
	if b.shape.Encoding == storage.EncodingPrefix {
		b.page[2] = byte(b.width)
		groups := (b.count + restartEvery - 1) / restartEvery
		clear(b.page[b.at : len(b.page)-2*groups])
	}
	block.SealPage(&b.shape.Geometry, b.buffer, b.pageNumber)
}

// pageNext goes to the next page; false if the table has no more.
func (b *Builder) pageNext() bool {
	if b.pageNumber == b.shape.dataPagesMax {
		return false
	}
	b.pageClose()
	b.pageOpen()
	return true
}

// Add appends an entry whose key is above the last one's. It returns false, and adds nothing, when the table is full.
func (b *Builder) Add(key *storage.Key, tombstone bool, value []byte) bool {
	if b.shape.Encoding == storage.EncodingPrefix {
		return b.addPrefix(key)
	}
	s := b.shape
	if b.count == s.pageEntries && !b.pageNext() {
		return false
	}
	b.note(key)
	copy(b.page[pageHeaderBytes+b.count*s.KeyBytes:], key[:s.KeyBytes])
	if tombstone {
		assert.That(s.tombstones, "the tree's entries can be removed")
		b.page[s.tombstonesAt+b.count/8] |= 1 << (b.count % 8)
	} else {
		assert.Equal(len(value), s.ValueBytes, "bytes of a value")
		copy(b.page[s.valuesAt+b.count*s.ValueBytes:], value)
	}
	b.count++
	b.entries++
	return true
}

// note checks the order, keeps first and last keys and opens a page's entry in the header page.
func (b *Builder) note(key *storage.Key) {
	if b.entries == 0 {
		b.keyMin = *key
	} else {
		assert.That(key.Compare(&b.keyMax) > 0, "a table's keys ascend")
	}
	if b.count == 0 {
		b.header.PageSet(b.pageNumber, key, b.entries)
	}
	b.keyMax = *key
}

func (b *Builder) addPrefix(key *storage.Key) bool {
	s := b.shape
	ordinal := s.ordinalOf(key)
	if width := OrdinalWidth(ordinal); width > b.width {
		// All pages of the run are wider from here on; the width belongs to a page, so this one ends.
		if b.count > 0 && !b.pageNext() {
			return false
		}
		b.width = width
	}
	group := b.count / restartEvery
	end := len(b.page) - 2*(group+1) // what lies behind belongs to the array of offsets, this entry's group included
	if b.count%restartEvery == 0 {
		if b.at+s.valueAt+b.width > end {
			if !b.pageNext() {
				return false
			}
			return b.addPrefix(key)
		}
		binary.LittleEndian.PutUint16(b.page[end:], uint16(b.at))
		copy(b.page[b.at:], key[:s.valueAt])
		putUint(b.page[b.at+s.valueAt:], b.width, ordinal)
		b.at += s.valueAt + b.width
	} else {
		var entry [storage.KeyBytesMax + 1]byte
		length := b.encode(&entry, key, ordinal)
		if b.at+length > end {
			if !b.pageNext() {
				return false
			}
			return b.addPrefix(key)
		}
		copy(b.page[b.at:], entry[:length])
		b.at += length
	}
	b.note(key)
	b.count++
	b.entries++
	return true
}

// encode writes the entry that follows keyMax and returns its length.
func (b *Builder) encode(entry *[storage.KeyBytesMax + 1]byte, key *storage.Key, ordinal uint64) int {
	s := b.shape
	shared := sharedBytes(key, &b.keyMax)
	if shared >= s.valueAt {
		delta := ordinal - s.ordinalOf(&b.keyMax)
		switch {
		case delta < delta2From:
			entry[0] = byte(delta - 1)
			return 1
		case delta < delta3From:
			delta -= delta2From
			entry[0], entry[1] = codeDelta2|byte(delta>>8), byte(delta)
			return 2
		case delta < deltaEnd:
			delta -= delta3From
			entry[0], entry[1], entry[2] = codeDelta3|byte(delta>>16), byte(delta>>8), byte(delta)
			return 3
		}
		entry[0] = codeOrdinal
		putUint(entry[1:], b.width, ordinal)
		return 1 + b.width
	}
	entry[0] = codeValue + byte(shared)
	length := 1 + copy(entry[1:], key[shared:s.valueAt])
	putUint(entry[length:], b.width, ordinal)
	return length + b.width
}

// sharedBytes counts the bytes that both keys begin with.
func sharedBytes(a, b *storage.Key) int {
	for i := 0; i < storage.KeyBytesMax; i += 8 {
		if x := binary.BigEndian.Uint64(a[i:]) ^ binary.BigEndian.Uint64(b[i:]); x != 0 {
			return i + bits.LeadingZeros64(x)/8
		}
	}
	return storage.KeyBytesMax
}

// Finish seals the table, which has an entry at least. The used pages of the buffer are what has to be written. A filter takes
// a while: with a waiter, Finish breathes.
func (b *Builder) Finish(cluster wire.U128, address uint64, waiter storage.Waiter) storage.Table {
	assert.That(b.open, "a table that is finished has begun")
	assert.That(b.entries > 0, "a table has entries")
	b.pageClose()
	b.open = false
	s := b.shape
	dataPages, filterPages := b.pageNumber, s.filterPages(b.entries)
	if filterPages > 0 {
		b.buildFilter(dataPages, filterPages, waiter)
	}
	pagesUsed := 1 + dataPages + filterPages
	ref := block.SealHeader(&s.Geometry, b.buffer, &block.Fields{
		Cluster: cluster, Address: address, Kind: block.KindTable, Tree: s.Tree, Encoding: s.Encoding,
		PagesUsed: pagesUsed, FilterPages: filterPages, Entries: b.entries, KeyMax: b.keyMax,
	})
	return storage.Table{
		Ref: ref, Tree: s.Tree, PagesUsed: uint16(pagesUsed), Entries: b.entries, KeyMin: b.keyMin, KeyMax: b.keyMax,
	}
}

// Filter is the filter of the table that was finished last: a view into its buffer.
func (b *Builder) Filter() []byte {
	start := (b.pageNumber + 1) * b.shape.Geometry.PageBytes
	return b.buffer[start : start+b.shape.FilterBytes(b.entries)]
}

// filterBreathPages is how many pages of keys go into a filter between two breaths: some 50 µs.
const filterBreathPages = 4

func (b *Builder) buildFilter(dataPages, filterPages uint32, waiter storage.Waiter) {
	s := b.shape
	size := s.Geometry.PageBytes
	clear(b.buffer[(1+dataPages)*size : (1+dataPages+filterPages)*size])
	filter := b.Filter()
	for number := uint32(1); number <= dataPages; number++ {
		page := b.buffer[number*size : (number+1)*size]
		for i := range s.Count(page) {
			var key storage.Key
			copy(key[:], page[pageHeaderBytes+i*s.KeyBytes:][:s.KeyBytes])
			filterAdd(filter, FilterHash(&key))
		}
		if waiter != nil && number%filterBreathPages == 0 {
			waiter.Breathe()
		}
	}
	for number := 1 + dataPages; number <= dataPages+filterPages; number++ {
		block.SealPage(&s.Geometry, b.buffer, number)
	}
}
