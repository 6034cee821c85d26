package rows

import (
	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/hashing"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/forest/expiry"
	"ledger/storage/forest/ids"
	"ledger/storage/forest/levels"
	"ledger/storage/forest/pages"
	"ledger/storage/freeset"
	"ledger/storage/rowlog"
)

// Rows are the transfers and accounts. They belong to one thread.
//
// The methods of Rows are those of accounting.Store and accounting.Warmer, apart from the scans,
// and what names the requests that come. Keeper has the rest of a bar's work, Reader what queries
// need.
type Rows struct {
	limits limits.Limits
	key    hashing.Key // of the hash tables
	pages  *pages.Reader
	levels *levels.Levels
	expiry *expiry.Index
	free   *freeset.Set

	memtables [2]*memtable
	filling   *memtable
	flushing  *memtable // nil, or one of memtables
	epoch     uint32    // counts memtables; tells which one has the last change of a cached account
	tail      tail
	log       rowLog
	shape     rowlog.Shape
	cache     *cache
	pendings  pendings
	chainOpen bool
	undo      undo
	idMax     accounting.U128 // no transfer and no dead id is above it, so an id above is new

	filter      *ids.Filter
	flushingFed bool   // as of the last Lookahead, the filter has all ids of the flushing memtable
	flushedRows uint64 // of the memtable that is flushed
	barStart    uint32 // rows of the filling memtable when the bar began
	changes     uint64 // seals and installs

	warm    warmQueue
	ahead   ahead
	lookups lookups

	stampCursor     levels.Cursor
	accountScratch  accounting.Account
	balancesScratch accounting.Balances
	transferScratch accounting.Transfer
	rowScratch      accounting.TransferRow
	accountLoads    uint64
	evictedCount    uint64
}

// Parts are the parts of the forest that the rows use.
type Parts struct {
	Pages  *pages.Reader
	Levels *levels.Levels
	Expiry *expiry.Index
	Filter *ids.Filter
	Free   *freeset.Set
}

// New reserves all memory and returns an empty state.
func New(l *limits.Limits, a *arena.Arena, key *hashing.Key, parts Parts) *Rows {
	pendingsMax := l.CacheAccountsMax // one number for both caches
	if !l.TouchesMemoryAtStart() {
		pendingsMax /= 4 // a development server stays small
	}
	s := &Rows{
		limits: *l, key: *key, pages: parts.Pages, levels: parts.Levels, expiry: parts.Expiry, filter: parts.Filter, free: parts.Free,
		cache:       newCache(a, key, l.CacheAccountsMax, l.TouchesMemoryAtStart()),
		pendings:    newPendings(a, key, pendingsMax, l.TouchesMemoryAtStart()),
		undo:        newUndo(a, l),
		log:         newRowLog(a, min(freeset.AddressesMax(*l), logBlocksMax)),
		shape:       rowlog.ShapeOf(*l),
		stampCursor: levels.NewCursor(),
		warm:        newWarmQueue(l),
		epoch:       1,
	}
	s.tail.rows = arena.SliceWith[accounting.TransferRow](a, uint64(s.shape.RowsPerBlockMax()), memtableName, arena.Bulk(arena.Table, false))
	for i := range s.memtables {
		s.memtables[i] = newMemtable(a, l, key, &s.tail, s.expiry.Part(i))
	}
	s.filling = s.memtables[0]
	s.ahead.ids = make([]whereID, l.OpEventsMax())
	s.ahead.batch, s.ahead.breath = ids.NewBatch(l.OpEventsMax()), askBreath{events: 1024, lookups: 8192}
	s.ahead.uncovered = make([]*levels.Run, 0, levels.RunsMax)
	s.pages.OnMissing(missing{s})
	return s
}

// BlocksMax is the most blocks that a flush writes rows to.
func BlocksMax(l *limits.Limits) uint64 {
	shape := rowlog.ShapeOf(*l)
	return shape.BlocksMax(uint64(l.MemtableRowsMax()) + uint64(shape.RowsPerBlockMax()))
}

// Keeper returns the methods for the ends of bars.
func (s *Rows) Keeper() Keeper { return Keeper{s} }

// Reader returns the methods for queries.
func (s *Rows) Reader() Reader { return Reader{s: s} }

// AccountsCount is the number of accounts.
func (s *Rows) AccountsCount() uint64 { return uint64(s.filling.accountsNext()) }

// TransfersCount is the number of transfers.
func (s *Rows) TransfersCount() uint64 { return uint64(s.filling.transfersNext()) }

// seal makes the filling memtable the flushing one.
func (s *Rows) seal() {
	assert.That(s.flushing == nil, "the flush before is installed")
	m := s.filling
	s.changes++
	m.seal()
	s.expiry.Seal()
	next := s.memtables[0]
	if next == m {
		next = s.memtables[1]
	}
	next.begin(m.transfersNext(), m.accountsNext(), m.transferStampMax(), m.accountStampMax())
	s.flushing, s.filling = m, next
	s.epoch++
	assert.Below(s.epoch, epochMax, "memtables since the start")
}

// missing is told of pages that execution waits for.
type missing struct{ s *Rows }

// PageMissing implements pages.Missing. It reads the pages of the next ids as well.
func (m missing) PageMissing(ref storage.Ref, number uint32) {
	if s := m.s; len(s.lookups.ids) > 0 {
		s.pages.Start(ref, number)
		s.lookupsAsk()
	}
}
