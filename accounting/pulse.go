package accounting

import (
	"ledger/internal/assert"
	"ledger/wire"
)

// Pulse expires the pending transfers whose timeout has passed at timestamp, the earliest first,
// and at most as many as one request could create. It returns their number. Source: accounting, 7.2
// and 7.3.
func (m *Machine) Pulse(timestamp uint64, requestBytesMax uint32) (expiredCount int) {
	assert.AtMost(timestamp, TimestampMax, "timestamp of a pulse")
	assert.That(requestBytesMax > wire.HeaderBytes, "the request limit leaves room for a body")
	countMax := int(wire.ExpiriesPerPulseMax(requestBytesMax - wire.HeaderBytes))
	assert.That(countMax > 0, "a pulse may expire something")
	assert.AtMost(countMax, len(m.due), "expiries of a pulse")

	// The event times end at timestamp, so the number of expiries must be known before the first
	// one.
	next := TimestampMax
	dueList := m.due[:0]
	for len(dueList) < countMax {
		expiresAtNs, ordinal, ok := m.store.ExpiryFirst()
		if !ok {
			break
		}
		if expiresAtNs > timestamp {
			next = expiresAtNs
			break
		}
		m.store.ExpiryRemove(expiresAtNs, ordinal)
		dueList = append(dueList, due{expiresAtNs, ordinal})
	}
	eventTime := timestamp - uint64(len(dueList))
	for i := range dueList {
		eventTime++
		m.expire(eventTime, dueList[i])
		m.breathe(i)
	}
	if len(dueList) == countMax {
		next = dueList[countMax-1].expiresAtNs // in the past, so another pulse follows at once
	}
	m.nextPulse = next
	return len(dueList)
}

func (m *Machine) expire(eventTime uint64, expiry due) {
	debitOrdinal, creditOrdinal := m.store.TransferRead(expiry.ordinal, &m.pending)
	assert.That(m.store.PendingRead(expiry.ordinal) == PendingOpen, "what expires was open")
	assert.Equal(m.pending.Timestamp+uint64(m.pending.Timeout)*secondNs, expiry.expiresAtNs, "time of expiry")
	m.store.AccountRead(debitOrdinal, &m.debit)
	m.store.AccountRead(creditOrdinal, &m.credit)
	m.release(&m.pending, true)
	m.store.AccountWrite(debitOrdinal, &m.debit)
	m.store.AccountWrite(creditOrdinal, &m.credit)
	m.store.PendingWrite(expiry.ordinal, PendingExpired)
	m.expired.Timestamp = eventTime
	m.expired.Pending = expiry.ordinal
	m.expired.DebitOrdinal, m.expired.CreditOrdinal = debitOrdinal, creditOrdinal
	balancesOf(&m.expired.DebitAfter, &m.debit)
	balancesOf(&m.expired.CreditAfter, &m.credit)
	m.store.ExpiredAppend(&m.expired)
}
