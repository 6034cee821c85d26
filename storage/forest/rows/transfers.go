package rows

import (
	"encoding/binary"

	"ledger/accounting"
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/forest/ids"
	"ledger/storage/forest/keys"
)

// TransferFind implements accounting.Store.
func (s *Rows) TransferFind(id accounting.U128) (accounting.TransferOrdinal, accounting.TransferState) {
	a := &s.ahead
	ahead := false
	if a.at < len(a.chunk) && a.chunk[a.at].ID == id { // the usual case
		ahead = true
		a.now = a.at
		a.at++
	} else if a.chunk != nil {
		ahead = s.aheadSeek(id)
	}
	if s.idMax.Less(id) {
		return 0, accounting.TransferAbsent
	}
	where := inFlushing | inTree
	if ahead {
		where = a.ids[a.first+a.now]
	}
	return s.transferFindOlder(id, where)
}

// transferFindOlder looks for an id that is not above all stored ids: in the filling memtable, and
// in the places that where names.
//
//go:noinline
func (s *Rows) transferFindOlder(id accounting.U128, where whereID) (accounting.TransferOrdinal, accounting.TransferState) {
	if id.IsZero() {
		return 0, accounting.TransferAbsent
	}
	hash := ids.Hash(&s.key, id)
	if ordinal, state := s.filling.transferFind(id, hash); state != accounting.TransferAbsent {
		return ordinal, state
	}
	if s.flushing != nil && where&inFlushing != 0 {
		if ordinal, state := s.flushing.transferFind(id, hash); state != accounting.TransferAbsent {
			return ordinal, state
		}
	}
	if where&inTree == 0 || s.levels.Tree(storage.TreeTransferID).IsEmpty() {
		return 0, accounting.TransferAbsent
	}
	key := keys.ID(id)
	var value [8]byte
	if !s.levels.Find(storage.TreeTransferID, &key, value[:]) {
		return 0, accounting.TransferAbsent
	}
	ordinal := binary.LittleEndian.Uint64(value[:])
	if ordinal == storage.TransferDeadMark {
		return 0, accounting.TransferDead
	}
	return accounting.TransferOrdinal(ordinal), accounting.TransferExists
}

// TransferRead implements accounting.Store.
func (s *Rows) TransferRead(ordinal accounting.TransferOrdinal, transfer *accounting.Transfer) (debit, credit accounting.AccountOrdinal) {
	if row := s.row(ordinal); row != nil {
		*transfer = row.Transfer
		return row.DebitOrdinal, row.CreditOrdinal
	}
	if row := s.pendings.find(ordinal); row != nil {
		*transfer = row.Transfer
		return row.Debit, row.Credit
	}
	return s.logReadTransfer(ordinal, transfer)
}

// TransferRow implements accounting.Store.
func (s *Rows) TransferRow() *accounting.TransferRow { return &s.filling.rows[s.filling.rowsCount] }

// TransferAppend implements accounting.Store.
func (s *Rows) TransferAppend() accounting.TransferOrdinal {
	m := s.filling
	row := &m.rows[m.rowsCount]
	assert.That(row.Transfer.Timestamp > m.transferStampMax(), "transfers come in order of timestamps")
	index := m.rowsCount
	ordinal := m.transfersFirst + accounting.TransferOrdinal(index)
	if ordinal >= accounting.TransferOrdinalMax {
		s.pages.Fail(&storage.Fault{What: storage.FaultStorageLimit, Reason: "the ordinals of transfers are used up"})
	}
	if m.ids.Full() {
		m.growIDs()
	}
	m.rowsCount++
	m.ids.Insert(ids.Hash(&s.key, row.Transfer.ID), index)
	m.rowIDs[index] = row.Transfer.ID
	s.idStored(row.Transfer.ID)
	m.debits[index], m.credits[index] = uint32(row.DebitOrdinal), uint32(row.CreditOrdinal)
	m.statuses[index] = accounting.PendingNone
	if row.Transfer.Flags&accounting.TransferPending != 0 {
		m.statuses[index] = accounting.PendingOpen
		m.pending.add(index)
		s.pendings.put(ordinal, row)
	}
	t := &row.Transfer
	m.fields.add(index, t.UserData128, t.UserData64, t.UserData32, t.Ledger, t.Code)
	if s.chainOpen {
		s.undo.mark(undoTransferAppend)
	}
	return ordinal
}

// TransferKill implements accounting.Store.
func (s *Rows) TransferKill(id accounting.U128) {
	assert.That(!s.chainOpen, "an id dies outside chains")
	m := s.filling
	if m.ids.Full() {
		m.growIDs()
	}
	index := m.deadCount
	m.dead[index] = id
	m.deadCount++
	m.ids.Insert(ids.Hash(&s.key, id), uint32(len(m.rows))+index)
	s.idStored(id)
}

// idStored updates idMax, and counts ids that are not above it.
func (s *Rows) idStored(id accounting.U128) {
	if s.idMax.Less(id) {
		s.idMax = id
	} else {
		s.filling.idsOlder++
	}
}
