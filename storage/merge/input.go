package merge

import (
	"fmt"

	"ledger/assert"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/table"
)

// input is one run as a stream of entries. While one of its tables is consumed, the next is being read.
type input struct {
	run     int
	tables  []storage.Table // those that are not consumed, the current one first
	buffers [2]inputBuffer
	current int // the buffer of tables[0]

	header     block.HeaderPage
	pageNumber uint32
	page       []byte
	index      int // in page, of keys[0]
	at, count  int // in keys
	keys       [table.BatchEntries]table.Words
}

type inputBuffer struct {
	data    []byte
	reading bool
	slot    int
	address uint64
	bytes   uint32
}

// head of the current entry.
func (in *input) head() head { return head{Words: in.keys[in.at], run: in.run} }

// open starts a run behind fromKey (at its beginning without). It returns false if nothing is left of the run, or on a fault.
func (m *Merger) open(in *input, run int, tables []storage.Table, from bool, fromKey *storage.Key) bool {
	in.run, in.tables, in.current = run, tables, 0
	for len(in.tables) > 0 && from && in.tables[0].KeyMax.Compare(fromKey) <= 0 {
		in.tables = in.tables[1:]
	}
	if len(in.tables) == 0 {
		return false
	}
	m.readAhead(in, 0)
	m.readAhead(in, 1)
	return true
}

// position finds the first entry behind fromKey, once its table is there.
func (m *Merger) position(in *input, shape *table.Shape, from bool, fromKey *storage.Key) bool {
	if !m.openTable(in) {
		return false
	}
	if !from || in.tables[0].KeyMin.Compare(fromKey) > 0 {
		return m.openPage(in, shape, 1, 0)
	}
	number := shape.PageFind(in.header, fromKey)
	if !m.provePage(in, number) {
		return false
	}
	index, exact := shape.Search(in.page, fromKey)
	if exact {
		index++
	}
	if index == shape.Count(in.page) {
		number, index = number+1, 0 // the table has an entry behind fromKey, so the page exists
	}
	return m.openPage(in, shape, number, index)
}

// readAhead reads tables[offset] into its buffer.
func (m *Merger) readAhead(in *input, offset int) {
	if offset >= len(in.tables) {
		return
	}
	t := &in.tables[offset]
	which := (in.current + offset) % len(in.buffers)
	b := &in.buffers[which]
	assert.That(!b.reading, "a buffer is filled once at a time")
	b.slot, b.address = in.run*len(in.buffers)+which, t.Address
	b.bytes = (uint32(t.PagesUsed) - m.shapes[t.Tree].FilterPages(t.Entries)) * m.geometry.PageBytes
	m.readStart(b)
}

func (m *Merger) readStart(b *inputBuffer) {
	b.reading = true
	m.statistics.BytesRead += uint64(b.bytes)
	m.reader.ReadStart(b.slot, b.address, b.data[:b.bytes])
}

// await waits until a buffer's read has ended.
func (m *Merger) await(b *inputBuffer) (errno int32) {
	for b.reading {
		done, result := m.reader.ReadDone(b.slot)
		if done {
			b.reading = false
			return result
		}
		m.waiter.Wait()
	}
	return 0
}

// openTable waits for the current table and verifies its header page. What fails is read once more.
func (m *Merger) openTable(in *input) bool {
	t, b := &in.tables[0], &in.buffers[in.current]
	for attempt := 0; ; attempt++ {
		errno := m.await(b)
		reason, what := "", "block"
		if errno != 0 {
			what, reason = "disk", fmt.Sprintf("the read of a block failed (errno %d)", errno)
		} else {
			reason = block.VerifyHeader(&m.geometry, b.data[:m.geometry.PageBytes], t.Ref, m.cluster)
		}
		if reason == "" {
			break
		}
		if attempt > 0 {
			m.fail(what, t.Address, 0, reason)
			return false
		}
		m.readStart(b)
	}
	in.header = block.HeaderPage(b.data[:m.geometry.PageBytes])
	assert.Equal(uint8(in.header.Tree()), uint8(t.Tree), "a table is of the tree that names it")
	assert.Equal(in.header.Entries(), t.Entries, "a table has the entries that its name says")
	assert.Equal((in.header.DataPages()+1)*m.geometry.PageBytes, b.bytes, "all data pages of a table were read")
	return true
}

// provePage verifies a page of the current table and makes it the current page. A damaged one is read once more.
func (m *Merger) provePage(in *input, number uint32) bool {
	b := &in.buffers[in.current]
	page := b.data[number*m.geometry.PageBytes : (number+1)*m.geometry.PageBytes]
	reason := block.VerifyPage(in.header, number, page)
	if reason != "" {
		m.readStart(b)
		if !m.openTable(in) {
			return false
		}
		if reason = block.VerifyPage(in.header, number, page); reason != "" {
			m.fail("block", in.tables[0].Address, number, reason)
			return false
		}
	}
	in.pageNumber, in.page = number, page
	m.spend(160) // a page's checksum
	return true
}

// openPage goes to an entry of a page of the current table.
func (m *Merger) openPage(in *input, shape *table.Shape, number uint32, index int) bool {
	if !m.provePage(in, number) {
		return false
	}
	return m.fill(in, shape, index)
}

// fill decodes the entries from index on, as many as a batch holds.
func (m *Merger) fill(in *input, shape *table.Shape, index int) bool {
	// Batches end where a group of a prefix page ends, so that each but the first starts with one.
	count := table.BatchEntries - index%table.BatchEntries
	in.index, in.at = index, 0
	in.count = shape.DecodeWords(in.page, index, in.keys[:count])
	assert.That(in.count > 0, "a page has the entry that is wanted")
	return true
}

// refill goes to the entry behind the batch. It returns false at the end of the run, and on a fault.
func (m *Merger) refill(in *input, shape *table.Shape) bool {
	if next := in.index + in.count; next < shape.Count(in.page) {
		return m.fill(in, shape, next)
	}
	if in.pageNumber < in.header.DataPages() {
		return m.openPage(in, shape, in.pageNumber+1, 0)
	}
	in.tables = in.tables[1:]
	if len(in.tables) == 0 {
		return false
	}
	in.current = (in.current + 1) % len(in.buffers)
	m.readAhead(in, 1)
	return m.openTable(in) && m.openPage(in, shape, 1, 0)
}

// abandon waits for reads that are not needed any more: their buffers belong to the disk until then.
func (m *Merger) abandon(in *input) {
	for i := range in.buffers {
		m.await(&in.buffers[i])
	}
}
