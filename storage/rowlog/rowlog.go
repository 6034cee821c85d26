package rowlog

import (
	"encoding/binary"

	"ledger/accounting"
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/wire"
)

const (
	encoder = 1 // the number of this encoding of rows, in every page

	pageHeaderBytes = 24 // encoder 1, zero 1, count 2, zeros 4, first ordinal 8, first timestamp 8
	groupRows       = 16
)

const _ = uint(limits.PageBytesMin - (pageHeaderBytes + rowBytesMax + 2)) // a page holds the longest row

// Shape is the layout of row blocks under given limits.
type Shape struct {
	Geometry block.Geometry
}

// ShapeOf computes the Shape.
func ShapeOf(l limits.Limits) Shape {
	return Shape{Geometry: block.GeometryOf(l)}
}

// RowsPerBlockMax is the largest number of rows of a block. As many rows may have to be carried to
// the next flush.
func (s *Shape) RowsPerBlockMax() uint32 {
	const rowBytesMin = 1 + 4 + 1 + 2 + 1
	return (s.Geometry.PagesMax - 1) * ((s.Geometry.PageBytes - pageHeaderBytes) / rowBytesMin)
}

// BlocksMax is the largest number of blocks that a flush of this many rows writes, including a
// partial one.
func (s *Shape) BlocksMax(rows uint64) uint64 {
	perBlock := uint64(s.Geometry.PagesMax-1) * uint64((s.Geometry.PageBytes-pageHeaderBytes)/(rowBytesMax+2))
	return (rows + perBlock - 1) / perBlock
}

// PageFind returns the data page that holds the block's row with this index. The index is the row's
// ordinal minus the block's first ordinal.
func (s *Shape) PageFind(header block.HeaderPage, index uint32) uint32 {
	low, high := uint32(1), header.DataPages()
	for low < high {
		middle := (low + high + 1) / 2
		if header.FirstEntry(middle) <= index {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low
}

// PageFindStamp returns the last data page whose first timestamp is at most timestamp, or 1.
func (s *Shape) PageFindStamp(header block.HeaderPage, timestamp uint64) uint32 {
	low, high := uint32(1), header.DataPages()
	for low < high {
		middle := (low + high + 1) / 2
		if binary.BigEndian.Uint64(header.FirstKey(middle)[8:]) <= timestamp {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low
}

// Key returns the key of a row, for KeyMin and KeyMax of a table.
func Key(ordinal accounting.TransferOrdinal, timestamp uint64) (key storage.Key) {
	binary.BigEndian.PutUint64(key[0:], uint64(ordinal))
	binary.BigEndian.PutUint64(key[8:], timestamp)
	return key
}

// KeyParts is the inverse of Key.
func KeyParts(key *storage.Key) (ordinal accounting.TransferOrdinal, timestamp uint64) {
	return accounting.TransferOrdinal(binary.BigEndian.Uint64(key[0:])), binary.BigEndian.Uint64(key[8:])
}

// Count of a page's rows.
func Count(page []byte) int { return int(binary.LittleEndian.Uint16(page[2:])) }

// First ordinal of a page.
func First(page []byte) accounting.TransferOrdinal {
	return accounting.TransferOrdinal(binary.LittleEndian.Uint64(page[8:]))
}

func firstStamp(page []byte) uint64 { return binary.LittleEndian.Uint64(page[16:]) }

// group starts reading at the first row of a group.
func group(page []byte, number int) (reader, before) {
	assert.Equal(page[0], encoder, "the page's rows are of a known encoder")
	at := int(binary.LittleEndian.Uint16(page[len(page)-2*(number+1):]))
	return reader{page, at}, before{timestamp: firstStamp(page)}
}

// Read fills row with the row of ordinal, which lies in page.
func Read(page []byte, ordinal accounting.TransferOrdinal, row *accounting.TransferRow) {
	var c Cursor
	c.Read(page, ordinal, row)
}

// Cursor reads rows one by one. If a row lies behind the last one in the same group, reading
// continues there. Otherwise it begins at the group's first row.
type Cursor struct {
	first  accounting.TransferOrdinal // of the page of the last row
	next   int                        // index of the row at offset; 0: no row was read
	offset int
	before before
}

// Read fills row with the row of ordinal, which lies in page.
func (c *Cursor) Read(page []byte, ordinal accounting.TransferOrdinal, row *accounting.TransferRow) {
	index := indexOf(page, ordinal)
	at := index / groupRows * groupRows
	var r reader
	if first := First(page); c.next > at && c.next <= index && c.first == first {
		r, at = reader{page, c.offset}, c.next
	} else {
		r, c.before = group(page, at/groupRows)
		c.first = first
	}
	for ; at < index; at++ {
		r.skip(&c.before)
	}
	r.row(row, &c.before)
	c.next, c.offset = index+1, r.at
}

// ReadObject is Read without the balances.
func ReadObject(page []byte, ordinal accounting.TransferOrdinal, transfer *accounting.Transfer) (debit, credit accounting.AccountOrdinal) {
	index := indexOf(page, ordinal)
	r, b := group(page, index/groupRows)
	for range index % groupRows {
		r.skip(&b)
	}
	return r.transfer(transfer, &b)
}

func indexOf(page []byte, ordinal accounting.TransferOrdinal) int {
	assert.That(ordinal >= First(page), "an ordinal lies in its page")
	index := ordinal - First(page)
	assert.Below(uint64(index), uint64(Count(page)), "an ordinal lies in its page")
	return int(index)
}

func (r *reader) row(row *accounting.TransferRow, b *before) {
	row.DebitOrdinal, row.CreditOrdinal = r.transfer(&row.Transfer, b)
	r.balances(row, b)
}

// ReadRows fills rows with the rows of page from index on and returns their number.
func ReadRows(page []byte, index int, rows []accounting.TransferRow) int {
	count := min(Count(page)-index, len(rows))
	if count <= 0 {
		return 0
	}
	r, b := group(page, index/groupRows)
	for range index % groupRows {
		r.skip(&b)
	}
	for i := range count {
		if i > 0 && (index+i)%groupRows == 0 {
			r, b = group(page, (index+i)/groupRows)
		}
		r.row(&rows[i], &b)
	}
	return count
}

// SearchStamp returns the index in page of the first row with at least this timestamp, or Count if
// there is none.
func SearchStamp(page []byte, timestamp uint64) (index int) {
	count := Count(page)
	low, high := 0, (count+groupRows-1)/groupRows // the first group that starts after timestamp is in low..high
	for low < high {
		middle := int(uint(low+high) / 2)
		r, b := group(page, middle)
		if b.timestamp+r.varint() > timestamp {
			high = middle
		} else {
			low = middle + 1
		}
	}
	if low == 0 {
		return 0
	}
	index = (low - 1) * groupRows
	for r, b := group(page, low-1); index < min(count, low*groupRows); index++ {
		if r.skip(&b); b.timestamp >= timestamp {
			break
		}
	}
	return index
}

// Builder packs rows into one block after the other.
type Builder struct {
	shape   *Shape
	buffer  []byte
	header  block.HeaderPage
	scratch buffer

	open        bool
	pageNumber  uint32
	page        []byte
	count       int // rows of the page
	at          int
	before      before
	entries     uint32
	keyMin      storage.Key
	last        accounting.TransferOrdinal
	lastStamp   uint64
	firstOfPage uint64 // timestamp
}

// Begin starts a block in buffer, which has BlockBytes. The content of buffer does not matter.
func (b *Builder) Begin(shape *Shape, buffer []byte) {
	assert.That(!b.open, "the block before is finished")
	b.shape, b.buffer, b.header = shape, buffer, block.Begin(&shape.Geometry, buffer)
	b.open, b.entries, b.pageNumber = true, 0, 0
	b.pageOpen()
}

// Open tells whether a block has begun and is not finished.
func (b *Builder) Open() bool { return b.open }

// Abandon forgets the block that has begun. Its rows are carried to the next flush.
func (b *Builder) Abandon() { b.open = false }

func (b *Builder) pageOpen() {
	b.pageNumber++
	size := b.shape.Geometry.PageBytes
	b.page = b.buffer[b.pageNumber*size : (b.pageNumber+1)*size]
	clear(b.page[:pageHeaderBytes])
	b.page[0] = encoder
	b.count, b.at = 0, pageHeaderBytes
}

func (b *Builder) pageClose() {
	binary.LittleEndian.PutUint16(b.page[2:], uint16(b.count))
	groups := (b.count + groupRows - 1) / groupRows
	clear(b.page[b.at : len(b.page)-2*groups])
	block.SealPage(&b.shape.Geometry, b.buffer, b.pageNumber)
}

// Add appends the row of ordinal. It returns false, and adds nothing, when the block is full.
func (b *Builder) Add(ordinal accounting.TransferOrdinal, row *accounting.TransferRow) bool {
	for {
		groupStart := b.count%groupRows == 0
		if groupStart {
			b.before = before{timestamp: b.firstOfPage}
			if b.count == 0 {
				b.before.timestamp = row.Transfer.Timestamp
			}
		}
		data := &b.scratch
		end := len(b.page) - 2*(b.count/groupRows+1)
		// Bytes that are written behind the row are overwritten by the next, or cleared when the
		// page is full.
		direct := b.at+len(b.scratch) <= end
		if direct {
			data = (*buffer)(b.page[b.at:])
		}
		length := encode(data, row, &b.before)
		if b.at+length <= end {
			if groupStart {
				binary.LittleEndian.PutUint16(b.page[end:], uint16(b.at))
			}
			b.note(ordinal, row)
			if !direct {
				copy(b.page[b.at:], b.scratch[:length])
			}
			b.at += length
			b.before.follow(row)
			b.count++
			b.entries++
			return true
		}
		assert.That(b.count > 0, "a row fits a page")
		if b.pageNumber+1 == b.shape.Geometry.PagesMax {
			return false
		}
		b.pageClose()
		b.pageOpen()
	}
}

// note checks the order and opens the page's entry in the header page.
func (b *Builder) note(ordinal accounting.TransferOrdinal, row *accounting.TransferRow) {
	timestamp := row.Transfer.Timestamp
	if b.entries == 0 {
		b.keyMin = Key(ordinal, timestamp)
	} else {
		assert.Equal(uint64(ordinal), uint64(b.last)+1, "rows follow each other")
		assert.That(timestamp > b.lastStamp, "timestamps of the rows ascend")
	}
	if b.count == 0 {
		b.firstOfPage = timestamp
		binary.LittleEndian.PutUint64(b.page[8:], uint64(ordinal))
		binary.LittleEndian.PutUint64(b.page[16:], timestamp)
		key := Key(ordinal, timestamp)
		b.header.PageSet(b.pageNumber, &key, b.entries)
	}
	b.last, b.lastStamp = ordinal, timestamp
}

// Finish seals the block, which has at least one row. The caller has to write the used pages of the
// buffer.
func (b *Builder) Finish(cluster wire.U128, address uint64, partial bool) storage.Table {
	assert.That(b.open, "a block that is finished has begun")
	assert.That(b.entries > 0, "a block has rows")
	b.pageClose()
	b.open = false
	keyMax := Key(b.last, b.lastStamp)
	ref := block.SealHeader(&b.shape.Geometry, b.buffer, &block.Fields{
		Cluster: cluster, Address: address, Kind: block.KindTable, Tree: storage.TreeTransferLog, Encoding: storage.EncodingRows,
		Partial: partial, PagesUsed: b.pageNumber + 1, Entries: b.entries, KeyMax: keyMax,
	})
	return storage.Table{
		Ref: ref, Tree: storage.TreeTransferLog, Partial: partial, PagesUsed: uint16(b.pageNumber + 1), Entries: b.entries,
		KeyMin: b.keyMin, KeyMax: keyMax,
	}
}
