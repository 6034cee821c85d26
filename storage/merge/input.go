package merge

import (
	"fmt"

	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/table"
)

// readPages is the number of pages of one read. A job often needs only a part of each table, and
// the next job continues from there. Longer reads would read more pages for nothing.
const readPages = 4

// input is one run as a stream of entries. It reads a few pages ahead, also into the next table.
type input struct {
	tables  []storage.Table // tables that are not consumed, the current one first
	buffers [2]inputBuffer
	current int // index of the buffer of tables[0]

	header     block.HeaderPage
	pageNumber uint32
	page       []byte
	index      int // index in the page: of keys[0] (key by key), or of the next entry to decode (by windows)
	at, count  int // in keys
	keys       []table.Words
	ended      bool // no entries are left, except those in keys
}

// inputBuffer holds the pages of a table, at their offsets in the block. One read at a time fills
// it.
type inputBuffer struct {
	data    []byte
	slot    int
	address uint64
	pages   uint32 // header and data pages of the table
	asked   uint32 // the pages before it are read or being read; 0: the table was not begun
	ready   uint32 // the pages before it have arrived
	reading bool
}

// open starts a run behind fromKey, or at its beginning if from is false. A run may have nothing
// left.
func (m *Merger) open(in *input, run int, tables []storage.Table, from bool, fromKey *storage.Key) {
	in.tables, in.current = tables, 0
	in.index, in.at, in.count, in.ended = 0, 0, 0, false
	for i := range in.buffers {
		in.buffers[i].asked, in.buffers[i].slot = 0, run*len(in.buffers)+i
	}
	for len(in.tables) > 0 && from && in.tables[0].KeyMax.Compare(fromKey) <= 0 {
		in.tables = in.tables[1:]
	}
	if len(in.tables) == 0 {
		in.ended = true
		return
	}
	firstPages := uint32(1 + readPages)
	if from && in.tables[0].KeyMin.Compare(fromKey) <= 0 {
		firstPages = 1 // the header page tells which page is needed
	}
	m.begin(in, 0, firstPages)
}

// position finds the first entry behind fromKey, after the header page of its table has arrived. It
// decodes no keys.
func (m *Merger) position(in *input, shape *table.Shape, from bool, fromKey *storage.Key) bool {
	if !m.openTable(in) {
		return false
	}
	if !from || in.tables[0].KeyMin.Compare(fromKey) > 0 {
		return m.provePage(in, 1)
	}
	number := shape.PageFind(in.header, fromKey)
	b := &in.buffers[in.current]
	b.asked, b.ready = number, number // the pages before it are not read
	if !m.provePage(in, number) {
		return false
	}
	index, exact := shape.Search(in.page, fromKey)
	if exact {
		index++
	}
	if index == shape.Count(in.page) {
		return m.provePage(in, number+1) // the table has an entry behind fromKey, so this page exists
	}
	in.index = index
	return true
}

// begin starts reading the first pages of tables[offset], if there is such a table and it was not
// begun.
func (m *Merger) begin(in *input, offset int, pages uint32) {
	b := &in.buffers[(in.current+offset)%len(in.buffers)]
	if offset >= len(in.tables) || b.asked > 0 {
		return
	}
	t := &in.tables[offset]
	b.address, b.ready = t.Address, 0
	b.pages = uint32(t.PagesUsed) - m.shapes[t.Tree].FilterPages(t.Entries)
	m.readStart(b, 0, min(pages, b.pages))
	b.asked = min(pages, b.pages)
}

func (m *Merger) readStart(b *inputBuffer, from, to uint32) {
	assert.That(!b.reading, "a buffer is filled by one read at a time")
	b.reading = true
	size := m.geometry.PageBytes
	m.statistics.BytesRead += uint64(to-from) * uint64(size)
	m.reader.ReadStart(b.slot, b.address, from, b.data[from*size:to*size])
}

// await waits until the read of a buffer has ended, if there is one.
func (m *Merger) await(b *inputBuffer) (errno int32) {
	for b.reading {
		done, result := m.reader.ReadDone(b.slot)
		if done {
			b.reading, b.ready = false, b.asked
			return result
		}
		m.waiter.Wait()
	}
	return 0
}

// verify returns "" if page number of the current table is the page that its checksum names.
func (m *Merger) verify(in *input, number uint32) string {
	size := m.geometry.PageBytes
	page := in.buffers[in.current].data[number*size : (number+1)*size]
	if number == 0 {
		return block.VerifyHeader(&m.geometry, page, in.tables[0].Ref, m.cluster)
	}
	return block.VerifyPage(in.header, number, page)
}

// arrive waits for a page of the current table and verifies it. A page that fails is read once
// more, alone. When its block was repaired, it is read twice as well: others may have lost the
// block since then, so a single read that fails may not make it a missing one.
func (m *Merger) arrive(in *input, number uint32) bool {
	b := &in.buffers[in.current]
	for reads := 1; ; reads++ {
		errno, reason := m.await(b), ""
		if errno == 0 {
			if reason = m.verify(in, number); reason == "" {
				return true
			}
		}
		if reads == pageReads {
			if !m.reader.Missing(in.tables[0].Ref, m.waiter) {
				if errno != 0 {
					m.fail(storage.FaultDisk, b.address, number, fmt.Sprintf("the read of a block failed (errno %d)", errno))
				} else {
					m.fail(storage.FaultBlock, b.address, number, reason)
				}
				return false
			}
			reads = 0
		}
		m.readStart(b, number, number+1)
	}
}

// pageReads is how often a page is read until its block is missing.
const pageReads = 2

// openTable waits for the header page of the current table.
func (m *Merger) openTable(in *input) bool {
	if !m.arrive(in, 0) {
		return false
	}
	t, b := &in.tables[0], &in.buffers[in.current]
	in.header = block.HeaderPage(b.data[:m.geometry.PageBytes])
	assert.Equal(uint8(in.header.Tree()), uint8(t.Tree), "a table is of the tree that names it")
	assert.Equal(in.header.Entries(), t.Entries, "a table has the entries that its name says")
	assert.Equal(in.header.DataPages()+1, b.pages, "a table has the pages that its name says")
	return true
}

// provePage verifies a page of the current table, makes it the current page, and reads on.
func (m *Merger) provePage(in *input, number uint32) bool {
	b := &in.buffers[in.current]
	if number >= b.ready && !b.reading {
		m.readOn(b)
	}
	if number >= b.ready || m.verify(in, number) != "" {
		if !m.arrive(in, number) {
			return false
		}
	}
	in.pageNumber, in.page = number, b.data[number*m.geometry.PageBytes:(number+1)*m.geometry.PageBytes]
	if b.asked < b.pages {
		if !b.reading && b.asked <= number+1+readPages/2 {
			m.readOn(b)
		}
	} else if b.pages <= number+1+readPages/2 {
		m.begin(in, 1, 1+readPages)
	}
	m.spend(160) // a page's checksum
	return true
}

// readOn starts reading the next pages.
func (m *Merger) readOn(b *inputBuffer) {
	from := b.asked
	b.asked = min(from+readPages, b.pages)
	m.readStart(b, from, b.asked)
}

// nextPage goes to the first entry of the next page, or marks the end of the run. It returns false
// on a fault.
func (m *Merger) nextPage(in *input) bool {
	in.index = 0
	if in.pageNumber < in.header.DataPages() {
		return m.provePage(in, in.pageNumber+1)
	}
	in.tables = in.tables[1:]
	in.buffers[in.current].asked = 0
	in.current = (in.current + 1) % len(in.buffers)
	if len(in.tables) == 0 {
		in.ended = true
		return true
	}
	return m.openTable(in) && m.provePage(in, 1)
}

// refill decodes the entries behind the keys, up to the end of a group. At the end of the run it
// sets ended. It returns false on a fault.
func (m *Merger) refill(in *input, shape *table.Shape) bool {
	in.index += in.count
	in.at, in.count = 0, 0
	if in.index == shape.Count(in.page) && !m.nextPage(in) {
		return false
	}
	if !in.ended {
		in.count = shape.DecodeWords(in.page, in.index, in.keys[:table.BatchEntries-in.index%table.BatchEntries])
		assert.That(in.count > 0, "a page has the entry that is wanted")
	}
	return true
}

// topUp keeps the unused keys and decodes further ones behind them, page after page, until there is
// no room. It returns false on a fault.
func (m *Merger) topUp(in *input, shape *table.Shape) bool {
	in.count = copy(in.keys, in.keys[in.at:in.count])
	in.at = 0
	for {
		rest := shape.Count(in.page) - in.index
		if rest == 0 {
			if !m.nextPage(in) {
				return false
			}
			if in.ended {
				return true
			}
			continue
		}
		taken := min(rest, len(in.keys)-in.count)
		if taken < rest {
			taken -= (in.index + taken) % table.BatchEntries // a group is decoded from its front
		}
		if taken <= 0 {
			return true
		}
		shape.DecodeNumbers(in.page, in.index, in.keys[in.count:in.count+taken])
		in.index += taken
		in.count += taken
	}
}

// abandon waits for reads that are no longer needed. Until they end, their buffers belong to the
// disk.
func (m *Merger) abandon(in *input) {
	for i := range in.buffers {
		m.await(&in.buffers[i])
	}
}
