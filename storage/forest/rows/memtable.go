package rows

import (
	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/hashing"
	"ledger/limits"
	"ledger/storage/forest/expiry"
	"ledger/storage/forest/ids"
)

// statusChange is a new status of a pending transfer that an earlier memtable holds.
type statusChange struct {
	Ordinal accounting.TransferOrdinal
	Status  accounting.PendingStatus
	_       [7]byte
}

// memtable is the content of one flush. The accounting rules fill it. Then it is sealed
// (storage.FlushSource), and it does not change until the flush is installed. Its memory is
// reserved for the worst case, and unused memory is not touched.
type memtable struct {
	// Transfers, in order of ordinals from transfersFirst.
	transfersFirst accounting.TransferOrdinal
	rows           []accounting.TransferRow
	statuses       []accounting.PendingStatus // beside rows
	debits         []uint32                   // beside rows: for queries by account, and for a flush
	credits        []uint32                   // the same
	rowIDs         []accounting.U128          // beside rows: for a flush
	rowsCount      uint32
	ids            ids.Table // ids of rows; indexes from len(rows) on are of dead ids
	pending        indexList
	fields         valueLists

	dead      []accounting.U128
	deadCount uint32
	idsOlder  uint32 // ids of rows and dead ids that were not above all stored ids
	feed      ids.Feed

	// Accounts. Changes of an account are only in the rows of transfers and expiries. Its current
	// state is in the cache or in the spill.
	accountsFirst   accounting.AccountOrdinal
	created         []accounting.Account // as they were created, in order of ordinals from accountsFirst
	createdIDs      []accounting.U128    // beside created: for a flush
	createdCount    uint32
	accountIDs      ids.Table // id -> created
	accountFields   valueLists
	accountsChanged uint32 // accounts that rows of this memtable changed
	spill           spill

	changes      []statusChange
	changesCount uint32
	changeOf     ids.Numbers // transfer ordinal -> changes

	expiry *expiry.Part

	expired      []accounting.ExpiredRow
	expiredAt    []uint32 // beside expired: the number of rows that came before
	expiredCount uint32

	transferStampFirst uint64 // the newest timestamps before this memtable
	accountStampFirst  uint64

	tail *tail // carried rows, the first rows of the flush
	key  hashing.Key
}

// memtableName is what the memtables' memory is reserved for.
const memtableName = "memtables"

func newMemtable(a *arena.Arena, l *limits.Limits, key *hashing.Key, carried *tail, part *expiry.Part) *memtable {
	const name = memtableName
	rows := l.MemtableRowsMax()
	assert.AtMost(4*rows, ids.IndexMax, "rows of a memtable")
	// Memory that is accessed at random, or filled in bulk, lies in huge pages. Otherwise every
	// access would miss the TLB. A production server touches at start the memory that full batches
	// fill. Otherwise the first bars would spend a fifth of their time on page faults. There are
	// usually few created accounts and expiries: of their memory the hash table is touched, of
	// which few accounts use all pages, and the beginning of the rest. A development server stays
	// small: it has no huge pages, and its hash tables grow with their content.
	bulk, some, first := arena.Bulk(arena.Table, true), arena.Options{Class: arena.Table, HugePages: true, TouchFirst: true}, rows
	if !l.TouchesMemoryAtStart() {
		bulk, first = arena.Bulk(arena.Table, false), max(1, l.MemtableRowsSeal/4)
		some = bulk
	}
	list := func() indexList {
		return indexList{indexes: arena.SliceWith[uint32](a, uint64(rows), name, bulk)}
	}
	m := &memtable{
		rows:          arena.SliceWith[accounting.TransferRow](a, uint64(rows), name, bulk),
		statuses:      arena.SliceWith[accounting.PendingStatus](a, uint64(rows), name, bulk),
		debits:        arena.SliceWith[uint32](a, uint64(rows), name, bulk),
		credits:       arena.SliceWith[uint32](a, uint64(rows), name, bulk),
		rowIDs:        arena.SliceWith[accounting.U128](a, uint64(rows), name, bulk),
		ids:           ids.NewTable(a, first, rows, 2*rows, name, bulk),
		pending:       list(),
		dead:          arena.SliceWith[accounting.U128](a, uint64(rows), name, some),
		fields:        newValueLists(a, uint64(rows), name, bulk, some),
		created:       arena.SliceWith[accounting.Account](a, uint64(rows), name, some),
		createdIDs:    arena.SliceWith[accounting.U128](a, uint64(rows), name, some),
		accountIDs:    ids.NewTable(a, first, rows, rows, name, bulk),
		accountFields: newValueLists(a, uint64(rows), name, some, some),
		spill:         newSpill(a, key, 2*first, 2*rows, name), // a transfer changes two accounts
		changes:       arena.SliceWith[statusChange](a, uint64(rows), name, bulk),
		changeOf:      ids.NewNumbers(a, key, first, rows, name, bulk),
		expiry:        part,
		expired:       arena.SliceWith[accounting.ExpiredRow](a, uint64(rows), name, some),
		expiredAt:     arena.SliceWith[uint32](a, uint64(rows), name, some),
		tail:          carried,
		key:           *key,
	}
	return m
}

// begin empties the memtable. Its rows continue behind the existing ones.
func (m *memtable) begin(transfers accounting.TransferOrdinal, accounts accounting.AccountOrdinal, transferStamp, accountStamp uint64) {
	m.ids.Reset()
	m.accountIDs.Reset()
	m.spill.reset()
	m.changeOf.Reset(m.changeOrdinal)
	m.transfersFirst, m.accountsFirst = transfers, accounts
	m.rowsCount, m.deadCount, m.accountsChanged, m.createdCount, m.changesCount = 0, 0, 0, 0, 0
	m.expiredCount, m.idsOlder, m.pending.count = 0, 0, 0
	m.feed = ids.Feed{}
	for i := range m.fields {
		m.fields[i].count, m.accountFields[i].count = 0, 0
		m.fields[i].gaps, m.accountFields[i].gaps = false, false
	}
	m.transferStampFirst, m.accountStampFirst = transferStamp, accountStamp
}

// Ordinals of the entries, for the number tables.
func (m *memtable) changeOrdinal(i uint32) uint64 { return uint64(m.changes[i].Ordinal) }

// growIDs doubles the table of ids. Dead ids are inserted first. Rows of an open chain may be
// rolled back and so have to be inserted last; no id has died since the chain began.
//
//go:noinline
func (m *memtable) growIDs() {
	m.ids.Grow()
	for i := range m.deadCount {
		m.ids.Insert(ids.Hash(&m.key, m.dead[i]), uint32(len(m.rows))+i)
	}
	for i := range m.rowsCount {
		m.ids.Insert(ids.Hash(&m.key, m.rowIDs[i]), i)
	}
}

// growAccountIDs doubles the table of created accounts.
//
//go:noinline
func (m *memtable) growAccountIDs() {
	m.accountIDs.Grow()
	for i := range m.createdCount {
		m.accountIDs.Insert(ids.Hash(&m.key, m.createdIDs[i]), i)
	}
}

// rowsAll is the number of rows that counts for the seal.
func (m *memtable) rowsAll() uint32 {
	return m.rowsCount + m.deadCount + m.createdCount + m.expiredCount
}

// seal prepares the memtable for its flush.
func (m *memtable) seal() {
	m.fields.seal(m.rowsCount)
	m.accountFields.seal(m.createdCount)
}

func (m *memtable) transfersNext() accounting.TransferOrdinal {
	return m.transfersFirst + accounting.TransferOrdinal(m.rowsCount)
}

func (m *memtable) accountsNext() accounting.AccountOrdinal {
	return m.accountsFirst + accounting.AccountOrdinal(m.createdCount)
}

// transferStampMax is the newest timestamp of a transfer.
func (m *memtable) transferStampMax() uint64 {
	if m.rowsCount == 0 {
		return m.transferStampFirst
	}
	return m.rows[m.rowsCount-1].Transfer.Timestamp
}

func (m *memtable) accountStampMax() uint64 {
	if m.createdCount == 0 {
		return m.accountStampFirst
	}
	return m.created[m.createdCount-1].Timestamp
}

// idOf returns the id of an index in the table of ids: rows first, dead ids from len(rows) on.
func (m *memtable) idOf(index uint32) accounting.U128 {
	if index < uint32(len(m.rows)) {
		return m.rowIDs[index]
	}
	return m.dead[index-uint32(len(m.rows))]
}

// transferFind looks for an id among rows and dead ids.
func (m *memtable) transferFind(id accounting.U128, hash uint64) (accounting.TransferOrdinal, accounting.TransferState) {
	if m.ids.Count() == 0 {
		return 0, accounting.TransferAbsent
	}
	for at := hash; ; at++ {
		index, ok := m.ids.Probe(&at, hash)
		if !ok {
			return 0, accounting.TransferAbsent
		}
		if m.idOf(index) == id {
			if index >= uint32(len(m.rows)) {
				return 0, accounting.TransferDead
			}
			return m.transfersFirst + accounting.TransferOrdinal(index), accounting.TransferExists
		}
	}
}

// accountFind looks for the id of a created account.
func (m *memtable) accountFind(id accounting.U128, hash uint64) (accounting.AccountOrdinal, bool) {
	if m.accountIDs.Count() == 0 {
		return 0, false
	}
	for at := hash; ; at++ {
		index, ok := m.accountIDs.Probe(&at, hash)
		if !ok {
			return 0, false
		}
		if m.created[index].ID == id {
			return m.accountsFirst + accounting.AccountOrdinal(index), true
		}
	}
}
