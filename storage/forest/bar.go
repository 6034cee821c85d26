package forest

import (
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/forest/levels"
)

// BarPlan ends a bar. It seals the memtable if that is due, and plans a generation. nil: there is
// nothing to do. checkpoint tells that op is a checkpoint op. Then everything is flushed, including
// the partial block of rows.
func (f *Forest) BarPlan(op uint64, checkpoint bool) *storage.Generation {
	assert.That(f.limits.IsBarEnd(op), "planning is done at a bar's end")
	assert.That(!f.chainOpen, "a bar ends between requests")
	f.levels.PlanBegin(op, uint64(f.filling.rowsAll()-f.rowsBarStart))
	f.rowsBarStart = f.filling.rowsAll()
	f.flushedRows = 0
	if f.filling.rowsAll() >= f.limits.MemtableRowsSeal || checkpoint && f.wantsFlush() {
		f.flushedRows = max(1, uint64(f.filling.rowsAll()))
		f.seal()
		f.rowsBarStart = 0
		if m := f.flushing; m.rowsCount > 0 || checkpoint && f.tail.count > 0 && f.log.partial.IsZero() {
			f.levels.PlanRows(m, f.rowShape.BlocksMax(uint64(m.RowsCount())), checkpoint)
		}
		f.levels.PlanFlush(f.flushing)
	}
	f.levels.PlanMerges()
	generation := f.levels.PlanEnd()
	assert.That(generation != nil || f.flushing == nil, "a sealed memtable has something to flush")
	return generation
}

// wantsFlush tells whether memory holds anything that a checkpoint would miss.
func (f *Forest) wantsFlush() bool {
	m := f.filling
	return m.rowsAll()+m.changesCount+m.removesCount > 0 || f.tail.count > 0 && f.log.partial.IsZero()
}

// BarInstall makes the results of the previous generation visible. It is called at the end of each
// bar, with nil if there was no generation. All jobs of the generation must have run. Unused
// addresses are given back, and inputs are released.
func (f *Forest) BarInstall(generation *storage.Generation) {
	f.levels.Collect(generation)
	if generation == nil {
		return
	}
	var flushed levels.Flushed
	m := f.flushing
	if m != nil {
		f.identityFeedEnd(m)
		flushed = levels.Flushed{
			Source: m, Rows: f.flushedRows, Covered: f.flushingFed,
			TransfersFirst: uint64(m.transfersFirst), TransfersEnd: uint64(m.transfersNext()),
			AccountsFirst: uint64(m.accountsFirst), AccountsEnd: uint64(m.accountsNext()),
		}
		if first := &generation.Jobs[0]; first.Kind == storage.JobFlushRows {
			f.installRows(first)
		}
	}
	f.levels.Install(generation, &flushed)
	if m != nil {
		f.expiryFlushed(m)
		f.flushing, f.flushingFed = nil, false
	}
	f.selfCheck()
}

// installRows adds the blocks of a flush to the log and carries the rows that are in none.
func (f *Forest) installRows(job *storage.Job) {
	m := f.flushing
	if !f.log.partial.IsZero() {
		f.freeSet.Release(f.log.partial.Address) // its rows were carried into this flush
		f.log.partial = storage.Table{}
	}
	for i := range job.Tables {
		t := &job.Tables[i]
		if t.Partial {
			assert.That(i == len(job.Tables)-1 && job.PartialWritten, "a partial block is the last of a checkpoint's flush")
			f.log.partial = *t
			continue
		}
		if !f.log.add(t) {
			f.pages.Fail(&storage.Fault{What: storage.FaultStorageLimit,
				Reason: "the manifest is full: the data file holds more rows than this release supports"})
		}
	}
	f.tail.carry(m, job.RowsWritten)
}
