package table

import (
	"encoding/binary"
	"math/bits"

	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/wire"
)

// Builder packs sorted entries into the tables of one run, one block after the other.
type Builder struct {
	shape  *Shape
	buffer []byte
	header block.HeaderPage
	width  int // prefix: bytes of an ordinal; it grows within a run and never shrinks

	widthEnd uint64 // the first ordinal that does not fit the width

	open       bool
	pageNumber uint32 // the page being filled, from 1
	page       []byte
	count      int // entries of the page
	at         int // prefix: used bytes of the page
	entries    uint32
	keyMin     Words
	last       Words // the last key added
}

// Reset starts a run of shape. width is the expected number of bytes of the ordinals of its
// postings (see OrdinalWidth). If a run needs more, its later pages are wider.
func (b *Builder) Reset(shape *Shape, width int) {
	*b = Builder{shape: shape}
	b.setWidth(max(1, width))
}

// Begin starts a table in buffer, which has BlockBytes. The content of buffer does not matter.
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

func (b *Builder) pageOpen() {
	b.pageNumber++
	size := b.shape.Geometry.PageBytes
	b.page = b.buffer[b.pageNumber*size : (b.pageNumber+1)*size]
	b.count, b.at = 0, pageHeaderBytes
	if b.shape.Encoding == storage.EncodingPlain {
		clear(b.page[b.shape.tombstonesAt:])
	}
}

// pageClose completes the page: it writes the header and fills the unused bytes with zeros.
func (b *Builder) pageClose() {
	clear(b.page[:pageHeaderBytes])
	binary.LittleEndian.PutUint16(b.page, uint16(b.count))
	if s := b.shape; s.Encoding == storage.EncodingPlain {
		clear(b.page[pageHeaderBytes+b.count*s.KeyBytes : s.valuesAt])
		clear(b.page[s.valuesAt+b.count*s.ValueBytes : s.tombstonesAt])
	} else {
		b.page[2] = byte(b.width)
		groups := (b.count + restartEvery - 1) / restartEvery
		clear(b.page[b.at : len(b.page)-2*groups])
	}
	block.SealPage(&b.shape.Geometry, b.buffer, b.pageNumber)
}

// pageNext goes to the next page. It returns false if the table has no more pages.
func (b *Builder) pageNext() bool {
	if b.pageNumber == b.shape.dataPagesMax {
		return false
	}
	b.pageClose()
	b.pageOpen()
	return true
}

// Add appends an entry whose key is above the last one's. It returns false, and adds nothing, when
// the table is full.
func (b *Builder) Add(key *storage.Key, tombstone bool, value []byte) bool {
	return b.AddWords(b.shape.WordsOf(key), tombstone, value)
}

// AddWords is Add for a key as numbers. Without an open table it returns false as well.
func (b *Builder) AddWords(key Words, tombstone bool, value []byte) bool {
	if !b.open {
		return false
	}
	s := b.shape
	if s.Encoding == storage.EncodingPrefix {
		return b.addPrefix(key)
	}
	if b.count == s.pageEntries && !b.pageNext() {
		return false
	}
	b.note(key)
	target := b.page[pageHeaderBytes+b.count*s.KeyBytes:]
	switch s.KeyBytes {
	case 16:
		binary.BigEndian.PutUint64(target, key.A)
		binary.BigEndian.PutUint64(target[8:], key.B)
	case 8:
		binary.BigEndian.PutUint64(target, key.A)
	default:
		binary.BigEndian.PutUint32(target, uint32(key.A>>32))
	}
	if tombstone {
		assert.That(s.tombstones, "the tree's entries can be removed")
		clear(b.page[s.valuesAt+b.count*s.ValueBytes:][:s.ValueBytes])
		b.page[s.tombstonesAt+b.count/8] |= 1 << (b.count % 8)
	} else {
		assert.Equal(len(value), s.ValueBytes, "bytes of a value")
		copy(b.page[s.valuesAt+b.count*s.ValueBytes:], value)
	}
	b.count++
	b.entries++
	return true
}

// AddAll appends entries of a tree whose entries are numbers (see Shape.Numbers). It returns the
// number of entries for which the table had room: none without an open table.
func (b *Builder) AddAll(keys []Words) (added int) {
	if !b.open {
		return 0
	}
	if b.shape.Encoding == storage.EncodingPlain {
		return b.addPlain(keys)
	}
	for added < len(keys) {
		added += b.addShort(keys[added:])
		if added < len(keys) {
			if !b.addPrefix(keys[added]) {
				break
			}
			added++
		}
	}
	return added
}

// addPlain appends entries with their values, page by page.
func (b *Builder) addPlain(keys []Words) (added int) {
	s := b.shape
	assert.That(s.Numbers(), "the tree's entries are numbers")
	for added < len(keys) {
		if b.count == s.pageEntries && !b.pageNext() {
			break
		}
		part := keys[added:min(len(keys), added+s.pageEntries-b.count)]
		b.note(Words{A: part[0].A, B: part[0].B})
		for i := 1; i < len(part); i++ {
			last, key := &part[i-1], &part[i]
			assert.That(last.A < key.A || last.A == key.A && last.B < key.B, "a table's keys ascend")
		}
		last := &part[len(part)-1]
		b.last = Words{A: last.A, B: last.B}
		target := b.page[pageHeaderBytes+b.count*s.KeyBytes:][:len(part)*s.KeyBytes]
		switch s.KeyBytes {
		case 16:
			for i := range part {
				key := target[i*16:][:16]
				binary.BigEndian.PutUint64(key, part[i].A)
				binary.BigEndian.PutUint64(key[8:], part[i].B)
			}
		case 8:
			for i := range part {
				binary.BigEndian.PutUint64(target[i*8:], part[i].A)
			}
		default:
			for i := range part {
				binary.BigEndian.PutUint32(target[i*4:], uint32(part[i].A>>32))
			}
		}
		values := b.page[s.valuesAt+b.count*s.ValueBytes:][:len(part)*s.ValueBytes]
		switch s.ValueBytes {
		case 8:
			for i := range part {
				binary.LittleEndian.PutUint64(values[i*8:], part[i].C)
			}
		case 4:
			for i := range part {
				binary.LittleEndian.PutUint32(values[i*4:], uint32(part[i].C))
			}
		default:
			for i := range part {
				values[i] = byte(part[i].C)
			}
		}
		b.count += len(part)
		b.entries += uint32(len(part))
		added += len(part)
	}
	return added
}

// addShort is the fast path for nearly all postings. These are not the first of a group, not near
// the end of the page, and no wider than the page's ordinals. It returns the number of added
// entries and stops at the first one that needs addPrefix.
func (b *Builder) addShort(keys []Words) (added int) {
	if b.count%restartEvery == 0 {
		return 0
	}
	keys = keys[:min(len(keys), restartEvery-b.count%restartEvery)]
	page, at, last := b.page, b.at, b.last
	valueAt, width, ordinalShift := b.shape.valueAt, b.width, 64-8*uint(b.width)
	endMax := len(page) - 2*(b.count/restartEvery+1)
	for i := range keys {
		key := &keys[i]
		if key.C >= b.widthEnd || at+entrySlack > endMax {
			break
		}
		entry := page[at : at+entrySlack : at+entrySlack]
		if key.A == last.A && key.B == last.B {
			assert.That(key.C > last.C, "a table's keys ascend")
			delta := key.C - last.C
			switch {
			case delta < delta2From:
				entry[0] = byte(delta - 1)
				at++
			case delta < delta3From:
				binary.BigEndian.PutUint16(entry, codeDelta2<<8|uint16(delta-delta2From))
				at += 2
			case delta < deltaEnd:
				binary.BigEndian.PutUint32(entry, (codeDelta3<<16|uint32(delta-delta3From))<<8)
				at += 3
			default:
				entry[0] = codeOrdinal
				binary.BigEndian.PutUint64(entry[1:], key.C<<(ordinalShift&63))
				at += 1 + width
			}
		} else {
			assert.That(key.A > last.A || key.A == last.A && key.B > last.B, "a table's keys ascend")
			shared, v0, v1 := fresh(key, &last)
			fresh := valueAt - shared
			entry[0] = codeValue + byte(shared)
			binary.BigEndian.PutUint64(entry[1:], v0)
			binary.BigEndian.PutUint64(entry[9:], v1)
			binary.BigEndian.PutUint64(entry[1+fresh:], key.C<<(ordinalShift&63))
			at += 1 + fresh + width
		}
		last = *key
		added++
	}
	b.at, b.last = at, last
	b.count += added
	b.entries += uint32(added)
	return added
}

// fresh compares the values of two postings, which differ. It returns how many leading bytes they
// share, and the bytes of key's value behind these.
func fresh(key, last *Words) (shared int, v0, v1 uint64) {
	if key.A != last.A {
		shared = bits.LeadingZeros64(key.A^last.A) / 8
		skip := 8 * uint(shared)
		return shared, key.A<<skip | key.B>>(64-skip), key.B << skip
	}
	shared = bits.LeadingZeros64(key.B^last.B) / 8
	return 8 + shared, key.B << (8 * uint(shared)), 0
}

// note checks the order, keeps the first and last keys, and fills the page's entry in the header
// page.
func (b *Builder) note(key Words) {
	if b.entries == 0 {
		b.keyMin = key
	} else {
		assert.That(b.last.Less(key), "a table's keys ascend")
	}
	if b.count == 0 {
		var first storage.Key
		b.shape.Put(key, &first)
		b.header.PageSet(b.pageNumber, &first, b.entries)
	}
	b.last = key
}

// addPrefix adds any posting.
func (b *Builder) addPrefix(key Words) bool {
	if key.C >= b.widthEnd {
		// All further pages of the run are wider. All ordinals of a page have the same width, so
		// this page ends.
		if b.count > 0 && !b.pageNext() {
			return false
		}
		b.setWidth(OrdinalWidth(key.C))
	}
	for {
		// The bytes behind end belong to the array of offsets, including the offset of this entry's
		// group.
		end := len(b.page) - 2*(b.count/restartEvery+1)
		if b.encode(key, end) {
			break
		}
		if !b.pageNext() {
			return false
		}
	}
	b.note(key)
	b.count++
	b.entries++
	return true
}

func (b *Builder) setWidth(width int) {
	b.width = width
	b.widthEnd = 1 << (8 * uint(width))
	if width == 8 {
		b.widthEnd = ^uint64(0)
	}
}

// encode writes the next entry if it ends before end.
func (b *Builder) encode(key Words, end int) bool {
	s := b.shape
	if b.count%restartEvery == 0 {
		at := b.at
		if !b.put(end, 0, 0, key.A, key.B, s.valueAt, key.C) {
			return false
		}
		binary.LittleEndian.PutUint16(b.page[end:], uint16(at))
		return true
	}
	if key.A != b.last.A || key.B != b.last.B {
		shared, v0, v1 := fresh(&key, &b.last)
		return b.put(end, 1, codeValue+byte(shared), v0, v1, s.valueAt-shared, key.C)
	}
	delta := key.C - b.last.C
	switch {
	case delta < delta2From:
		if b.at+1 > end {
			return false
		}
		b.page[b.at] = byte(delta - 1)
		b.at++
	case delta < delta3From:
		if b.at+2 > end {
			return false
		}
		delta -= delta2From
		binary.BigEndian.PutUint16(b.page[b.at:], codeDelta2<<8|uint16(delta))
		b.at += 2
	case delta < deltaEnd:
		if b.at+3 > end {
			return false
		}
		delta -= delta3From
		b.page[b.at] = codeDelta3 | byte(delta>>16)
		binary.BigEndian.PutUint16(b.page[b.at+1:], uint16(delta))
		b.at += 3
	default:
		return b.put(end, 1, codeOrdinal, 0, 0, 0, key.C)
	}
	return true
}

// put writes codeBytes of code, valueBytes of a value and an ordinal, if they end before end.
func (b *Builder) put(end, codeBytes int, code byte, v0, v1 uint64, valueBytes int, ordinal uint64) bool {
	length := codeBytes + valueBytes + b.width
	if b.at+length > end {
		return false
	}
	var spare [entrySlack]byte
	target := spare[:]
	// Bytes that are written behind the entry are overwritten by the next, or cleared when the page
	// is full.
	direct := b.at+entrySlack <= end
	if direct {
		target = b.page[b.at : b.at+entrySlack]
	}
	target[0] = code
	value := target[codeBytes:]
	binary.BigEndian.PutUint64(value, v0)
	binary.BigEndian.PutUint64(value[8:], v1)
	binary.BigEndian.PutUint64(value[valueBytes:], ordinal<<(64-8*uint(b.width)))
	if !direct {
		copy(b.page[b.at:], target[:length])
	}
	b.at += length
	return true
}

// Finish seals the table, which has at least one entry. The caller has to write the used pages of
// the buffer. Building a filter takes a while, so Finish breathes if it has a waiter.
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
	var keyMin, keyMax storage.Key
	s.Put(b.keyMin, &keyMin)
	s.Put(b.last, &keyMax)
	ref := block.SealHeader(&s.Geometry, b.buffer, &block.Fields{
		Cluster: cluster, Address: address, Kind: block.KindTable, Tree: s.Tree, Encoding: s.Encoding,
		PagesUsed: pagesUsed, FilterPages: filterPages, Entries: b.entries, KeyMax: keyMax,
	})
	return storage.Table{
		Ref: ref, Tree: s.Tree, PagesUsed: uint16(pagesUsed), Entries: b.entries, KeyMin: keyMin, KeyMax: keyMax,
	}
}

// Filter returns the filter of the last finished table, as a view into its buffer.
func (b *Builder) Filter() []byte {
	start := (b.pageNumber + 1) * b.shape.Geometry.PageBytes
	return b.buffer[start : start+b.shape.FilterBytes(b.entries)]
}

// filterBreathPages is the number of pages whose keys go into a filter between two breaths: some 50
// µs.
const filterBreathPages = 4

func (b *Builder) buildFilter(dataPages, filterPages uint32, waiter storage.Waiter) {
	s := b.shape
	size := s.Geometry.PageBytes
	clear(b.buffer[(1+dataPages)*size : (1+dataPages+filterPages)*size])
	filter := b.Filter()
	for number := uint32(1); number <= dataPages; number++ {
		page := b.buffer[number*size : (number+1)*size]
		keys := page[pageHeaderBytes : pageHeaderBytes+s.Count(page)*filterKeyBytes]
		for ; len(keys) > 0; keys = keys[filterKeyBytes:] {
			FilterAdd(filter, hashKey(keys))
		}
		if waiter != nil && number%filterBreathPages == 0 {
			waiter.Breathe()
		}
	}
	for number := 1 + dataPages; number <= dataPages+filterPages; number++ {
		block.SealPage(&s.Geometry, b.buffer, number)
	}
}
