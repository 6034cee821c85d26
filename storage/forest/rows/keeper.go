package rows

import (
	"ledger/accounting"
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/forest/levels"
	"ledger/storage/forest/manifest"
)

// Keeper does what the ends of bars and checkpoints demand of the rows.
type Keeper struct{ s *Rows }

// BarRows returns the number of rows that came since it was called last.
func (k Keeper) BarRows() uint64 {
	s := k.s
	assert.That(!s.chainOpen, "a bar ends between requests")
	all := s.filling.rowsAll()
	rows := uint64(all - s.barStart)
	s.barStart = all
	return rows
}

// IsDue tells whether the filling memtable is to be flushed. checkpoint tells that the bar ends at
// a checkpoint op. Then everything is flushed.
func (k Keeper) IsDue(checkpoint bool) bool {
	return k.s.filling.rowsAll() >= k.s.limits.MemtableRowsSeal || checkpoint && k.s.wantsFlush()
}

// wantsFlush tells whether memory holds anything that a checkpoint would miss.
func (s *Rows) wantsFlush() bool {
	m := s.filling
	return m.rowsAll()+m.changesCount+m.expiry.RemovesCount() > 0 || s.tail.count > 0 && s.log.partial.IsZero()
}

// Plan seals the filling memtable and plans its flush.
func (k Keeper) Plan(checkpoint bool) {
	s := k.s
	s.flushedRows = max(1, uint64(s.filling.rowsAll()))
	s.seal()
	s.barStart = 0
	m := s.flushing
	if m.rowsCount > 0 || checkpoint && s.tail.count > 0 && s.log.partial.IsZero() {
		s.levels.PlanRows(m, s.shape.BlocksMax(uint64(m.RowsCount())), checkpoint)
	}
	s.levels.PlanFlush(m)
}

// CheckOnDisk asserts that the rows before the filling memtable are on disk.
func (k Keeper) CheckOnDisk() {
	s := k.s
	assert.That(s.flushing == nil, "the state of a checkpoint is on disk")
	if s.tail.count > 0 {
		assert.Equal(s.log.partial.Entries, s.tail.count, "the partial block holds the carried rows")
	}
}

// Install takes the rows of a generation that was collected, and returns what the trees have to
// know of the flushed memtable. Its ids are in the filter of all ids then, if they belong there.
func (k Keeper) Install(generation *storage.Generation) (flushed levels.Flushed) {
	s := k.s
	s.changes++
	m := s.flushing
	if m == nil {
		return flushed
	}
	s.feedEnd(m)
	if first := &generation.Jobs[0]; first.Kind == storage.JobFlushRows {
		s.installRows(first)
	}
	return levels.Flushed{
		Source: m, Rows: s.flushedRows, Covered: s.flushingFed,
		TransfersFirst: uint64(m.transfersFirst), TransfersEnd: uint64(m.transfersNext()),
		AccountsFirst: uint64(m.accountsFirst), AccountsEnd: uint64(m.accountsNext()),
	}
}

// Installed tells that the trees have what Install described.
func (k Keeper) Installed() {
	s := k.s
	if s.flushing != nil {
		s.expiry.Flushed()
		s.flushing, s.flushingFed = nil, false
	}
}

// installRows adds the blocks of a flush to the log and carries the rows that are in none.
func (s *Rows) installRows(job *storage.Job) {
	m := s.flushing
	if !s.log.partial.IsZero() {
		s.free.Release(s.log.partial.Address) // its rows were carried into this flush
		s.log.partial = storage.Table{}
	}
	for i := range job.Tables {
		t := &job.Tables[i]
		if t.Partial {
			assert.That(i == len(job.Tables)-1 && job.PartialWritten, "a partial block is the last of a checkpoint's flush")
			s.log.partial = *t
			continue
		}
		if !s.log.add(t) {
			s.pages.Fail(&storage.Fault{What: storage.FaultStorageLimit,
				Reason: "the manifest is full: the data file holds more rows than this release supports"})
		}
	}
	s.tail.carry(m, job.RowsWritten)
}

// BlocksMax is the number of blocks of rows for which there is room.
func (k Keeper) BlocksMax() uint64 { return uint64(len(k.s.log.tables)) }

// Head fills in what the head of the manifest says of the rows. Everything before the filling
// memtable is on disk.
func (k Keeper) Head(head *manifest.Head) {
	s := k.s
	m := s.filling
	head.Transfers, head.Accounts = uint64(m.transfersFirst), uint64(m.accountsFirst)
	head.TransferStamp, head.AccountStamp = m.transferStampFirst, m.accountStampFirst
	head.TailFirst, head.LogCount, head.Partial = uint64(s.tail.first), uint64(s.log.count), !s.log.partial.IsZero()
}

// EncodedBytes is the size of what Encode writes.
func (k Keeper) EncodedBytes() uint64 { return k.blocksCount() * manifest.TableBytes }

// blocksCount is the number of blocks with rows.
func (k Keeper) blocksCount() uint64 {
	if k.s.log.partial.IsZero() {
		return uint64(k.s.log.count)
	}
	return uint64(k.s.log.count) + 1
}

// Encode writes the rows' part of the manifest.
func (k Keeper) Encode(w *manifest.Writer) {
	l := &k.s.log
	for i := range l.count {
		w.Table(&l.tables[i])
	}
	if !l.partial.IsZero() {
		w.Table(&l.partial)
	}
}

// Decode fills an empty state with the rows' part of a manifest. After a failure of the reader, the
// rows must not be used. The carried rows are still missing: OpenTail reads them.
func (k Keeper) Decode(r *manifest.Reader, head *manifest.Head) {
	s := k.s
	if !r.Expect(head.LogCount <= k.BlocksMax()) {
		return
	}
	s.tail.first = accounting.TransferOrdinal(head.TailFirst)
	next := uint64(0) // ordinal
	for range head.LogCount {
		t := r.Table(storage.TreeTransferLog)
		if r.Failed() {
			return
		}
		s.log.add(&t)
		if !r.Expect(!t.Partial && s.log.firsts[s.log.count-1] == next) {
			return
		}
		next += uint64(t.Entries)
	}
	if head.Partial {
		s.log.partial = r.Table(storage.TreeTransferLog)
		r.Expect(s.log.partial.Partial)
	}
	if !r.Expect(next == uint64(s.tail.first) && uint64(s.tail.first)+uint64(s.log.partial.Entries) == head.Transfers) {
		return
	}
	s.filling.begin(accounting.TransferOrdinal(head.Transfers), accounting.AccountOrdinal(head.Accounts),
		head.TransferStamp, head.AccountStamp)
	s.barStart = 0
}

// IDStored tells that a transfer or a dead id with this id is stored.
func (k Keeper) IDStored(id accounting.U128) { k.s.idStored(id) }

// Counters are the figures of the rows for metrics and tests.
type Counters struct {
	AccountLoads uint64 // accounts that were not in the account cache
	RowsFilling  uint32
	DirtyEvicted uint64 // changed accounts that left the cache for the memtable
	Named        uint64 // blocks with rows
}

// Counters returns the current figures.
func (k Keeper) Counters() Counters {
	s := k.s
	return Counters{AccountLoads: s.accountLoads, RowsFilling: s.filling.rowsAll(), DirtyEvicted: s.evictedCount, Named: k.blocksCount()}
}

// Check asserts the invariants of the rows, and gives name the address of each block. It walks
// everything, so only tests and builds with the invariants tag call it.
func (k Keeper) Check(name func(address uint64, owner string)) {
	s := k.s
	next := uint64(0)
	for i := range s.log.count {
		name(s.log.tables[i].Address, "the row log")
		assert.Equal(s.log.firsts[i], next, "rows follow each other")
		next += uint64(s.log.tables[i].Entries)
	}
	assert.Equal(next, uint64(s.tail.first), "the tail follows the log")
	assert.Equal(next+uint64(s.tail.count), uint64(s.transfersFlushed()), "the memtables follow the tail")
	if !s.log.partial.IsZero() {
		name(s.log.partial.Address, "the partial block")
	}
	s.cache.check()
}
