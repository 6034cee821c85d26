package rows

import (
	"ledger/accounting"
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/forest/keys"
)

// PendingRead implements accounting.Store.
func (s *Rows) PendingRead(ordinal accounting.TransferOrdinal) accounting.PendingStatus {
	m := s.filling
	if ordinal >= m.transfersFirst {
		return m.statuses[ordinal-m.transfersFirst]
	}
	if row := s.pendings.find(ordinal); row != nil {
		return row.Status
	}
	if index, ok := m.changeOf.Find(uint64(ordinal)); ok {
		return m.changes[index].Status
	}
	if m = s.flushing; m != nil {
		if ordinal >= m.transfersFirst {
			return m.statuses[ordinal-m.transfersFirst]
		}
		if index, ok := m.changeOf.Find(uint64(ordinal)); ok {
			return m.changes[index].Status
		}
	}
	key := keys.Number(uint64(ordinal))
	var status [1]byte
	if !s.levels.Find(storage.TreePending, &key, status[:]) {
		return accounting.PendingNone
	}
	return accounting.PendingStatus(status[0])
}

// PendingWrite implements accounting.Store.
func (s *Rows) PendingWrite(ordinal accounting.TransferOrdinal, status accounting.PendingStatus) {
	m := s.filling
	if row := s.pendings.find(ordinal); row != nil {
		row.Status = status
	}
	if ordinal >= m.transfersFirst {
		at := &m.statuses[ordinal-m.transfersFirst]
		if s.chainOpen {
			s.undo.status(ordinal, *at, false)
		}
		assert.That(*at != accounting.PendingNone, "a transfer whose status changes is pending")
		*at = status
		return
	}
	if index, ok := m.changeOf.Find(uint64(ordinal)); ok {
		if s.chainOpen {
			s.undo.status(ordinal, m.changes[index].Status, false)
		}
		m.changes[index].Status = status
		return
	}
	index := m.changesCount
	m.changesCount++
	m.changes[index] = statusChange{Ordinal: ordinal, Status: status}
	if m.changeOf.Full() {
		m.changeOf.Grow(m.changeOrdinal)
	}
	m.changeOf.Insert(uint64(ordinal), index)
	if s.chainOpen {
		s.undo.status(ordinal, accounting.PendingNone, true)
	}
}

// ExpiredAppend implements accounting.Store.
func (s *Rows) ExpiredAppend(row *accounting.ExpiredRow) {
	m := s.filling
	if m.expiredCount > 0 {
		assert.That(row.Timestamp > m.expired[m.expiredCount-1].Timestamp, "expiries come in order of timestamps")
	}
	m.expired[m.expiredCount] = *row
	m.expiredAt[m.expiredCount] = m.rowsCount
	m.expiredCount++
	if s.chainOpen {
		s.undo.mark(undoExpiredAppend)
	}
}
