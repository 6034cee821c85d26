package forest

import (
	"encoding/binary"

	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/hashing"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/forest/ids"
	"ledger/storage/forest/keys"
)

// expiryAdd is a call of ExpiryAdd.
type expiryAdd struct {
	keys.Expiry
	Removed bool // removed again within the same memtable: nothing of it reaches the disk
	InHeap  bool
	_       [6]byte
}

// heapItem is an add in the heap, with a copy of its key. The adds themselves are spread over
// memory.
type heapItem struct {
	keys.Expiry
	add uint32
	_   uint32
}

// statusChange is a new status of a pending transfer that an earlier memtable holds.
type statusChange struct {
	Ordinal accounting.TransferOrdinal
	Status  accounting.PendingStatus
	_       [7]byte
}

// indexList lists the rows that have a value in one indexed field.
type indexList struct {
	indexes []uint32
	count   uint32
}

// valueList lists the rows that have a value in one indexed field, with the values in an array of
// their width. A flush reads these arrays and leaves the rows alone, which are 272 bytes each.
type valueList struct {
	indexList      // the rows; only used with gaps
	gaps      bool // some row has no value, so the rows are listed; without gaps, entry i is of row i
	narrow    []uint32
	numbers   []uint64
	wide      []accounting.U128
}

// valueLists has one list for each indexed field.
type valueLists [keys.FieldsCount]valueList

func newValueLists(a *arena.Arena, rows uint64, name string, options, gaps arena.Options) (lists valueLists) {
	for i := range lists {
		lists[i].indexes = arena.SliceWith[uint32](a, rows, name, gaps)
		switch i {
		case keys.User128:
			lists[i].wide = arena.SliceWith[accounting.U128](a, rows, name, options)
		case keys.User64:
			lists[i].numbers = arena.SliceWith[uint64](a, rows, name, options)
		default:
			lists[i].narrow = arena.SliceWith[uint32](a, rows, name, options)
		}
	}
	return lists
}

// add adds the fields of a row that are not zero.
func (l *valueLists) add(index uint32, user128 accounting.U128, user64 uint64, user32, ledger uint32, code uint16) {
	if user128.Lo|user128.Hi != 0 {
		l[keys.User128].addWide(index, user128)
	}
	if user64 != 0 {
		l[keys.User64].addNumber(index, user64)
	}
	if user32 != 0 {
		l[keys.User32].addNarrow(index, user32)
	}
	if ledger != 0 {
		l[keys.Ledger].addNarrow(index, ledger)
	}
	if code != 0 {
		l[keys.Code].addNarrow(index, uint32(code))
	}
}

// column shows the list of one field. rows is the number of rows of the memtable. A query calls it
// while the memtable fills. Then the last rows may have no value, and no later row has revealed
// that gap yet.
func (l *valueList) column(rows uint32, out *storage.Columns) {
	if l.count < rows {
		if !l.gaps {
			l.noteGaps()
		}
		out.Rows = l.indexes[:l.count]
	}
	switch {
	case l.wide != nil:
		out.Wide = l.wide[:l.count]
	case l.numbers != nil:
		out.Numbers = l.numbers[:l.count]
	default:
		out.Narrow = l.narrow[:l.count]
	}
}

func (l *valueList) addNarrow(index, value uint32) {
	l.narrow[l.count] = value
	l.add(index)
}

func (l *valueList) addNumber(index uint32, value uint64) {
	l.numbers[l.count] = value
	l.add(index)
}

func (l *valueList) addWide(index uint32, value accounting.U128) {
	l.wide[l.count] = value
	l.add(index)
}

// add adds a row whose value is already in its array.
func (l *valueList) add(index uint32) {
	if !l.gaps {
		if index == l.count {
			l.count++
			return
		}
		l.noteGaps()
	}
	l.indexList.add(index)
}

func (l *valueList) noteGaps() {
	l.gaps = true
	for i := range l.indexes[:l.count] {
		l.indexes[i] = uint32(i)
	}
}

// seal completes the lists for their flush. rows is the number of rows of the memtable.
func (l *valueLists) seal(rows uint32) {
	for i := range l {
		if list := &l[i]; list.count < rows && !list.gaps {
			list.noteGaps()
		}
	}
}

func (l *indexList) add(index uint32) {
	l.indexes[l.count] = index
	l.count++
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

	adds          []expiryAdd
	addsCount     uint32
	addOf         ids.Numbers // transfer ordinal -> adds
	addsLive      indexList   // at the seal: adds that were not taken back
	heap          []heapItem  // adds by key
	heapCount     uint32
	removes       []keys.Expiry // expiries that earlier memtables added
	removesCount  uint32
	removeOf      ids.Numbers // transfer ordinal -> removes
	removesWarmed [2]uint32   // warmExpiries has looked at the removes before these

	expired      []accounting.ExpiredRow
	expiredAt    []uint32 // beside expired: the number of rows that came before
	expiredCount uint32

	transferStampFirst uint64 // the newest timestamps before this memtable
	accountStampFirst  uint64

	tail *tail // carried rows, the first rows of the flush
	key  hashing.Key
}

// tail is the rows that are in no full block. They are the end of the flushed rows.
type tail struct {
	first accounting.TransferOrdinal
	rows  []accounting.TransferRow
	count uint32
}

// memtableName is what the memtables' memory is reserved for.
const memtableName = "memtables"

func newMemtable(a *arena.Arena, l *limits.Limits, carried *tail) *memtable {
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
	key := hashing.NewKey(l.HashSeed)
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
		spill:         newSpill(a, &key, 2*first, 2*rows, name), // a transfer changes two accounts
		changes:       arena.SliceWith[statusChange](a, uint64(rows), name, bulk),
		changeOf:      ids.NewNumbers(a, &key, first, rows, name, bulk),
		adds:          arena.SliceWith[expiryAdd](a, uint64(rows), name, bulk),
		addOf:         ids.NewNumbers(a, &key, first, rows, name, bulk),
		addsLive:      list(),
		heap:          arena.SliceWith[heapItem](a, uint64(rows), name, bulk),
		removes:       arena.SliceWith[keys.Expiry](a, uint64(rows), name, bulk),
		removeOf:      ids.NewNumbers(a, &key, first, rows, name, bulk),
		expired:       arena.SliceWith[accounting.ExpiredRow](a, uint64(rows), name, some),
		expiredAt:     arena.SliceWith[uint32](a, uint64(rows), name, some),
		tail:          carried,
		key:           key,
	}
	return m
}

// begin empties the memtable. Its rows continue behind the existing ones.
func (m *memtable) begin(transfers accounting.TransferOrdinal, accounts accounting.AccountOrdinal, transferStamp, accountStamp uint64) {
	m.ids.Reset()
	m.accountIDs.Reset()
	m.spill.reset()
	m.changeOf.Reset(m.changeOrdinal)
	m.addOf.Reset(m.addOrdinal)
	m.removeOf.Reset(m.removeOrdinal)
	m.transfersFirst, m.accountsFirst = transfers, accounts
	m.rowsCount, m.deadCount, m.accountsChanged, m.createdCount, m.changesCount = 0, 0, 0, 0, 0
	m.addsCount, m.heapCount, m.removesCount, m.expiredCount, m.idsOlder = 0, 0, 0, 0, 0
	m.pending.count, m.addsLive.count = 0, 0
	m.feed = ids.Feed{}
	m.removesWarmed = [2]uint32{}
	for i := range m.fields {
		m.fields[i].count, m.accountFields[i].count = 0, 0
		m.fields[i].gaps, m.accountFields[i].gaps = false, false
	}
	m.transferStampFirst, m.accountStampFirst = transferStamp, accountStamp
}

// Ordinals of the entries, for the number tables.
func (m *memtable) changeOrdinal(i uint32) uint64 { return uint64(m.changes[i].Ordinal) }
func (m *memtable) addOrdinal(i uint32) uint64    { return uint64(m.adds[i].Ordinal) }
func (m *memtable) removeOrdinal(i uint32) uint64 { return uint64(m.removes[i].Ordinal) }

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
	m.addsLive.count = 0
	for i := range m.addsCount {
		if !m.adds[i].Removed {
			m.addsLive.add(i)
		}
	}
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

// EntriesCount implements storage.FlushSource.
func (m *memtable) EntriesCount(tree storage.TreeID) uint32 {
	switch tree {
	case storage.TreeTransferLog:
		return m.RowsCount()
	case storage.TreeTransferID:
		return m.rowsCount + m.deadCount
	case storage.TreeAccountID, storage.TreeAccount, storage.TreeAccountStamp:
		return m.createdCount
	case storage.TreeBalances:
		return m.accountsChanged
	case storage.TreePending:
		return m.pending.count + m.changesCount
	case storage.TreeExpiry:
		return m.addsLive.count + m.removesCount
	case storage.TreeExpired:
		return m.expiredCount
	case storage.TreeTransferDebit, storage.TreeTransferCredit:
		return m.rowsCount
	}
	if tree <= storage.TreeTransferCode {
		return m.fields[tree-storage.TreeTransferUser128].count
	}
	assert.Below(tree, storage.TreesCount, "trees")
	return m.accountFields[tree-storage.TreeAccountUser128].count
}

// Columns implements storage.FlushSource: for ids and postings.
func (m *memtable) Columns(tree storage.TreeID, out *storage.Columns) bool {
	switch {
	case tree == storage.TreeTransferID || keys.IsTransferPosting(tree):
		*out = storage.Columns{OrdinalFirst: uint64(m.transfersFirst)}
	case tree == storage.TreeAccountID || keys.IsPosting(tree):
		*out = storage.Columns{OrdinalFirst: uint64(m.accountsFirst)}
	default:
		return false
	}
	switch {
	case tree == storage.TreeTransferID:
		out.Wide, out.Dead = m.rowIDs[:m.rowsCount], m.dead[:m.deadCount]
	case tree == storage.TreeAccountID:
		out.Wide = m.createdIDs[:m.createdCount]
	case tree == storage.TreeTransferDebit:
		out.Narrow = m.debits[:m.rowsCount]
	case tree == storage.TreeTransferCredit:
		out.Narrow = m.credits[:m.rowsCount]
	case tree <= storage.TreeTransferCode:
		m.fields[tree-storage.TreeTransferUser128].column(m.rowsCount, out)
	default:
		m.accountFields[tree-storage.TreeAccountUser128].column(m.createdCount, out)
	}
	return true
}

// Changes implements storage.FlushSource.
func (m *memtable) Changes(out *storage.Changes) {
	*out = storage.Changes{
		Debits: m.debits[:m.rowsCount], Credits: m.credits[:m.rowsCount], Rows: m.rows[:m.rowsCount],
		Expired: m.expired[:m.expiredCount], ExpiredAt: m.expiredAt[:m.expiredCount],
	}
}

// Entry implements storage.FlushSource, for the trees that have no columns.
func (m *memtable) Entry(tree storage.TreeID, index uint32) (key storage.Key, tombstone bool) {
	switch tree {
	case storage.TreeAccount:
		return keys.Account(m.accountsFirst + accounting.AccountOrdinal(index)), false
	case storage.TreeAccountStamp:
		return keys.Number(m.created[index].Timestamp), false
	case storage.TreePending:
		if index < m.pending.count {
			return keys.Number(uint64(m.transfersFirst) + uint64(m.pending.indexes[index])), false
		}
		return keys.Number(uint64(m.changes[index-m.pending.count].Ordinal)), false
	case storage.TreeExpiry:
		if index < m.addsLive.count {
			return keys.OfExpiry(m.adds[m.addsLive.indexes[index]].Expiry), false
		}
		return keys.OfExpiry(m.removes[index-m.addsLive.count]), true
	case storage.TreeExpired:
		return keys.Number(m.expired[index].Timestamp), false
	}
	assert.That(false, "a tree without columns is known")
	return key, false
}

// Value implements storage.FlushSource. Values are little-endian.
func (m *memtable) Value(tree storage.TreeID, index uint32, value []byte) {
	switch tree {
	case storage.TreeAccountID, storage.TreeAccountStamp:
		binary.LittleEndian.PutUint32(value, uint32(m.accountsFirst)+index)
	case storage.TreeAccount:
		keys.PutAccount(value, &m.created[index])
	case storage.TreePending:
		if index < m.pending.count {
			value[0] = byte(m.statuses[m.pending.indexes[index]])
		} else {
			value[0] = byte(m.changes[index-m.pending.count].Status)
		}
	case storage.TreeExpired:
		keys.PutExpired(value, &m.expired[index])
	default:
		assert.That(storage.Trees[tree].ValueBytes == 0, "the tree has no values")
	}
}

// RowsFirst implements storage.FlushSource.
func (m *memtable) RowsFirst() accounting.TransferOrdinal { return m.tail.first }

// RowsCount implements storage.FlushSource.
func (m *memtable) RowsCount() uint32 { return m.tail.count + m.rowsCount }

// Row implements storage.FlushSource.
func (m *memtable) Row(index uint32) *accounting.TransferRow {
	if index < m.tail.count {
		return &m.tail.rows[index]
	}
	assert.Below(index-m.tail.count, m.rowsCount, "rows of a memtable")
	return &m.rows[index-m.tail.count]
}

// carry makes the rows that are not in full blocks the tail of the next flush. written is the
// number of rows in full blocks.
func (t *tail) carry(m *memtable, written uint32) {
	all := m.RowsCount()
	assert.AtMost(written, all, "rows in full blocks")
	count := all - written
	assert.AtMost(count, uint32(len(t.rows)), "carried rows")
	kept := uint32(0) // rows of the tail that stay in it
	if written < t.count {
		kept = uint32(copy(t.rows, t.rows[written:t.count]))
	}
	copy(t.rows[kept:], m.rows[m.rowsCount-(count-kept):m.rowsCount])
	t.first += accounting.TransferOrdinal(written)
	t.count = count
}
