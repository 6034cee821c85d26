package forest

import (
	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/hashing"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/forest/expiry"
	"ledger/storage/forest/ids"
	"ledger/storage/forest/levels"
	"ledger/storage/forest/pages"
	"ledger/storage/freeset"
	"ledger/storage/grid"
	"ledger/storage/rowlog"
)

// logBlocksMax is the room of the manifest in blocks of rows, for 2 TiB. A forest that needs more
// treats it as a full disk.
const logBlocksMax = 1 << 22

// Forest is the whole state. It belongs to one thread.
type Forest struct {
	limits   limits.Limits
	geometry block.Geometry
	pages    *pages.Reader
	grid     *grid.Grid
	waiter   storage.Waiter

	memtables [2]*memtable
	filling   *memtable
	flushing  *memtable // nil, or one of memtables
	epoch     uint32    // counts memtables; tells which one has the last change of a cached account
	tail      tail
	cache     *cache
	pendings  pendings
	chainOpen bool
	undo      undo
	idMax     accounting.U128 // no transfer and no dead id is above it, so an id above is new

	levels   *levels.Levels
	log      rowLog
	rowShape rowlog.Shape
	expiry   *expiry.Index

	identities  ids.Filter
	loader      ids.Loader
	flushingFed bool // as of the last Lookahead, identities has all ids of the flushing memtable

	freeSet      *freeset.Set
	flushedRows  uint64 // of the memtable that is flushed
	rowsBarStart uint32 // rows of the filling memtable when the bar began
	checkpoint   checkpoint

	stampCursor levels.Cursor
	scan        transferScan
	accountScan accountScan
	eventScan   eventScan
	warm        warmQueue
	ahead       ahead
	lookups     lookups
	key         hashing.Key // of the hash tables

	accountScratch  accounting.Account
	balancesScratch accounting.Balances
	transferScratch accounting.Transfer
	rowScratch      accounting.TransferRow
	accountLoads    uint64
	evictedCount    uint64
}

// New reserves all memory and returns an empty forest. Open gives it the state of a checkpoint.
//
// waiter: suspends the caller of Store until a page has been read.
func New(l limits.Limits, a *arena.Arena, g *grid.Grid, waiter storage.Waiter) *Forest {
	addressesMax := freeset.AddressesMax(l)
	pendingsMax := l.CacheAccountsMax // one number for both caches
	if !l.TouchesMemoryAtStart() {
		pendingsMax /= 4 // a development server stays small
	}
	key := hashing.NewKey(l.HashSeed)
	f := &Forest{
		key:         key,
		limits:      l,
		geometry:    block.GeometryOf(l),
		pages:       pages.New(g, waiter),
		grid:        g,
		waiter:      waiter,
		cache:       newCache(a, &key, l.CacheAccountsMax, l.TouchesMemoryAtStart()),
		pendings:    newPendings(a, &key, pendingsMax, l.TouchesMemoryAtStart()),
		undo:        newUndo(a, &l),
		log:         newRowLog(a, min(addressesMax, logBlocksMax)),
		rowShape:    rowlog.ShapeOf(l),
		freeSet:     freeset.New(a, addressesMax),
		stampCursor: levels.NewCursor(),
	}
	rowBlocks := f.rowShape.BlocksMax(uint64(l.MemtableRowsMax()) + uint64(f.rowShape.RowsPerBlockMax()))
	f.levels = levels.New(&l, a, f.pages, f.freeSet, rowBlocks)
	f.identities = ids.NewFilter(a, &l, f.levels.FilterIDsMax(), uint64(l.MemtableRowsMax()))
	f.loader = ids.NewLoader(a, &f.identities)
	f.tail.rows = arena.SliceWith[accounting.TransferRow](a, uint64(f.rowShape.RowsPerBlockMax()), memtableName,
		arena.Bulk(arena.Table, false))
	f.expiry = expiry.New(&l, a, &key, f.pages, f.levels)
	f.memtables[0] = newMemtable(a, &l, &f.tail, f.expiry.Part(0))
	f.memtables[1] = newMemtable(a, &l, &f.tail, f.expiry.Part(1))
	f.filling = f.memtables[0]
	f.epoch = 1
	f.pages.OnMissing(f)
	f.checkpoint = newCheckpoint(f, a)
	f.scan = newTransferScan(&l)
	f.ahead.ids = make([]whereID, l.OpEventsMax())
	f.accountScan = newAccountScan()
	f.eventScan = newEventScan()
	f.warm = newWarmQueue(&l)
	return f
}

// Fault returns the reason why the forest cannot go on, or nil.
func (f *Forest) Fault() *storage.Fault { return f.pages.Fault() }

// AccountsCount and TransfersCount are the sizes of the state.
func (f *Forest) AccountsCount() uint64 { return uint64(f.filling.accountsNext()) }

// TransfersCount is the number of transfers.
func (f *Forest) TransfersCount() uint64 { return uint64(f.filling.transfersNext()) }

// BlocksHigh is the highest block address ever used.
func (f *Forest) BlocksHigh() uint64 { return f.freeSet.High() }

// Counters are the forest's figures for metrics and tests.
type Counters struct {
	PageWaits      uint64 // reads of pages that were not in memory
	AccountLoads   uint64 // accounts that were not in the account cache
	BlocksAcquired uint64
	BlocksWaiting  uint64
	RowsFilling    uint32
	BlocksLost     uint64 // acquired, but not waiting nor named by manifest, trailers or plan: 0
	DirtyEvicted   uint64 // changed accounts that left the cache for the memtable

	levels.Counters
}

// Counters returns the current figures.
func (f *Forest) Counters() Counters {
	c := Counters{
		PageWaits: f.pages.Waits(), AccountLoads: f.accountLoads,
		BlocksAcquired: f.freeSet.AcquiredCount(), BlocksWaiting: f.freeSet.WaitingCount(), RowsFilling: f.filling.rowsAll(),
		DirtyEvicted: f.evictedCount,
	}
	f.levels.Count(&c.Counters)
	named := c.Named + uint64(f.log.count) + f.checkpoint.trailersCount
	if !f.log.partial.IsZero() {
		named++
	}
	if !f.pages.Failed() { // a fault leaves the counts as they are
		c.BlocksLost = c.BlocksAcquired - c.BlocksWaiting - named
	}
	return c
}

// seal makes the filling memtable the flushing one.
func (f *Forest) seal() {
	assert.That(f.flushing == nil, "the flush before is installed")
	m := f.filling
	m.seal()
	f.expiry.Seal()
	next := f.memtables[0]
	if next == m {
		next = f.memtables[1]
	}
	next.begin(m.transfersNext(), m.accountsNext(), m.transferStampMax(), m.accountStampMax())
	f.flushing, f.filling = m, next
	f.epoch++
	assert.Below(f.epoch, epochMax, "memtables since the start")
}
