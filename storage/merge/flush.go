package merge

import (
	"slices"

	"ledger/accounting"
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/table"
)

// flushTree writes one tree of a sealed memtable as the tables of a run.
func (m *Merger) flushTree(job *storage.Job) {
	if job.Tree == storage.TreeBalances {
		m.flushBalances(job)
		return
	}
	if job.Source.Columns(job.Tree, &m.columns.source) {
		m.flushColumns(job, &m.columns.source)
		return
	}
	shape := &m.shapes[job.Tree]
	count := job.Source.EntriesCount(job.Tree)
	assert.AtMost(uint64(count), m.entriesMax, "entries of a tree in a memtable")
	records := m.records[0][:count]
	inOrder := m.extract(job, records)
	if !inOrder {
		m.sort(records, m.records[1][:count])
	}
	width := 1
	if shape.Encoding == storage.EncodingPrefix {
		width = m.widthOf(records)
	}
	m.packer.Reset(shape, width)
	value := m.value[:shape.ValueBytes]
	for i := range records {
		r := &records[i]
		if len(value) > 0 && !r.tombstone {
			job.Source.Value(job.Tree, r.index, value)
		}
		m.add(job, r.Words, r.tombstone, value)
		m.spend(1)
	}
	m.finishTable(job)
	m.statistics.EntriesFlushed += uint64(count)
}

// extract copies the keys of the job's tree and tells whether they ascend already.
func (m *Merger) extract(job *storage.Job, records []record) (inOrder bool) {
	inOrder = true
	tree := job.Tree
	var last table.Words
	for i := range records {
		key, tombstone := job.Source.Entry(tree, uint32(i))
		words := m.shapes[tree].WordsOf(&key)
		records[i] = record{Words: words, index: uint32(i), tombstone: tombstone}
		if i > 0 && !last.Less(words) {
			inOrder = false
		}
		last = words
		if i%512 == 511 {
			m.spend(256)
		}
	}
	return inOrder
}

// widthOf is the number of bytes of the highest ordinal of postings.
func (m *Merger) widthOf(records []record) int {
	highest := uint64(0)
	for part := range slices.Chunk(records, passRecords) {
		for i := range part {
			highest = max(highest, part[i].C)
		}
		m.spend(len(part) / 16)
	}
	return table.OrdinalWidth(highest)
}

// flushRows writes the rows of a sealed memtable in full blocks. Before a checkpoint, it writes the
// remaining rows as a partial block.
func (m *Merger) flushRows(job *storage.Job) {
	first, count := job.Source.RowsFirst(), job.Source.RowsCount()
	pack := &m.rowPack
	for i := range count {
		row := job.Source.Row(i)
		for {
			if !pack.Open() {
				pack.Begin(&m.rows, m.take())
			}
			if pack.Add(first+accounting.TransferOrdinal(i), row) {
				break
			}
			m.addResult(job, pack.Finish(m.cluster, nextAddress(job), false))
			job.RowsWritten = i // the rows before this one
		}
		m.spend(4)
	}
	if pack.Open() {
		if job.PartialWritten {
			m.addResult(job, pack.Finish(m.cluster, nextAddress(job), true))
		} else {
			pack.Abandon()
		}
	}
	m.statistics.RowsFlushed += uint64(count)
}
