package forest

import (
	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/hashing"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/forest/expiry"
	"ledger/storage/forest/ids"
	"ledger/storage/forest/levels"
	"ledger/storage/forest/pages"
	"ledger/storage/forest/query"
	"ledger/storage/forest/rows"
	"ledger/storage/freeset"
	"ledger/storage/grid"
)

// Forest joins the parts. It belongs to one thread.
type Forest struct {
	*rows.Rows   // transfers and accounts: most of accounting.Store, accounting.Warmer
	*query.Query // scans: the rest of it

	limits     limits.Limits
	geometry   block.Geometry
	grid       *grid.Grid
	waiter     storage.Waiter
	pages      *pages.Reader
	freeSet    *freeset.Set
	levels     *levels.Levels
	filter     ids.Filter
	loader     ids.Loader
	expiry     *expiry.Index
	keeper     rows.Keeper
	checkpoint checkpoint
	scrub      scrub
	isOpen     bool // Open has given it the state of a checkpoint, or the empty one
}

var _ accounting.Store = (*Forest)(nil)
var _ accounting.Warmer = (*Forest)(nil)

// New reserves all memory and returns an empty forest. Open gives it the state of a checkpoint.
//
// waiter: suspends the caller of Store until a page has been read.
func New(l limits.Limits, a *arena.Arena, g *grid.Grid, waiter storage.Waiter) *Forest {
	key := hashing.NewKey(l.HashSeed)
	f := &Forest{
		limits: l, geometry: block.GeometryOf(l), grid: g, waiter: waiter,
		pages: pages.New(g, waiter), freeSet: freeset.New(a, freeset.AddressesMax(l)),
	}
	f.levels = levels.New(&l, a, f.pages, f.freeSet, rows.BlocksMax(&l))
	f.filter = ids.NewFilter(a, &l, f.levels.FilterIDsMax(), uint64(l.MemtableRowsMax()))
	f.loader = ids.NewLoader(a, &f.filter)
	f.expiry = expiry.New(&l, a, &key, f.pages, f.levels)
	f.Rows = rows.New(&l, a, &key, rows.Parts{Pages: f.pages, Levels: f.levels, Expiry: f.expiry, Filter: &f.filter, Free: f.freeSet})
	f.Query = query.New(&l, f.pages, f.levels, f.Reader())
	f.keeper = f.Keeper()
	f.checkpoint = newCheckpoint(f, a)
	return f
}

// Fault returns the reason why the forest cannot go on, or nil.
func (f *Forest) Fault() *storage.Fault { return f.pages.Fault() }

// AccountStampMax implements accounting.Store.
func (f *Forest) AccountStampMax() uint64 { return f.Rows.AccountStampMax() }

// Breathe implements accounting.Store.
func (f *Forest) Breathe() { f.pages.Breathe() }

// BlocksHigh is the highest block address ever used.
func (f *Forest) BlocksHigh() uint64 { return f.freeSet.High() }

// Counters are the forest's figures for metrics and tests.
type Counters struct {
	PageWaits      uint64 // reads of pages that were not in memory
	BlocksAcquired uint64
	BlocksWaiting  uint64
	BlocksLost     uint64 // acquired, but not waiting nor named by manifest, trailers or plan: 0
	AccountLoads   uint64 // accounts that were not in the account cache
	RowsFilling    uint32
	DirtyEvicted   uint64 // changed accounts that left the cache for the memtable

	levels.Counters
}

// Counters returns the current figures.
func (f *Forest) Counters() Counters {
	r := f.keeper.Counters()
	c := Counters{
		PageWaits: f.pages.Waits(), BlocksAcquired: f.freeSet.AcquiredCount(), BlocksWaiting: f.freeSet.WaitingCount(),
		AccountLoads: r.AccountLoads, RowsFilling: r.RowsFilling, DirtyEvicted: r.DirtyEvicted,
	}
	f.levels.Count(&c.Counters)
	if f.isOpen && !f.pages.Failed() { // a fault leaves the counts as they are
		c.BlocksLost = c.BlocksAcquired - c.BlocksWaiting - c.Named - r.Named - f.checkpoint.trailersCount
	}
	return c
}
