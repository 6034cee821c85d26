package query

import (
	"encoding/binary"
	"sort"

	"ledger/accounting"
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/forest/keys"
	"ledger/storage/forest/levels"
	"ledger/storage/rowlog"
)

const (
	eventsAhead  = 2048 // rows by which pages are read ahead
	eventsStride = 64   // less than the rows of a page, so that no page is skipped
)

// eventScan is an open query over change events: transfers and expiries, merged by timestamp.
type eventScan struct {
	at, end uint64 // ordinals of transfers
	loaded  bool   // row holds transfer at
	row     accounting.TransferRow
	rows    rowlog.Cursor

	stampMax uint64
	stage    int // runs of the tree, then the memtables
	inStage  bool
	cursor   levels.Cursor
	index    int
	has      bool // expired holds the next expiry
	expired  accounting.ExpiredRow
	stampMin uint64
}

func newEventScan() eventScan { return eventScan{cursor: levels.NewCursor()} }

// EventsOpen implements accounting.Store.
func (q *Query) EventsOpen(timestampMin, timestampMax uint64) {
	s := &q.events
	s.at, s.end = q.rows.TransferRange(timestampMin, timestampMax)
	s.loaded = false
	for at := s.at; at < min(s.at+eventsAhead, s.end); at += eventsStride {
		q.rows.Warm(at)
	}
	s.stampMin, s.stampMax = timestampMin, timestampMax
	s.stage, s.inStage = 0, false
	q.expiredNext()
}

// expiredNext finds the next expiry. Expiries are stored in order of timestamps. So it walks the
// runs of their tree one after the other, then the flushing, then the filling memtable.
func (q *Query) expiredNext() {
	s := &q.events
	ordered := q.levels.Tree(storage.TreeExpired).Runs()
	s.has = false
	for ; s.stage < len(ordered); s.stage, s.inStage = s.stage+1, false {
		c := &s.cursor
		if !s.inStage {
			key := keys.Number(s.stampMin)
			c.Open(q.levels, storage.TreeExpired, ordered[s.stage])
			c.Seek(&key)
			s.inStage = true
		} else {
			c.Next()
		}
		if c.IsValid() {
			key := *c.Key()
			var value [8 + 2*storage.BalancesBytes]byte
			found := q.levels.Find(storage.TreeExpired, &key, value[:])
			assert.That(found, "a key that a cursor found is in its tree")
			keys.GetExpired(binary.BigEndian.Uint64(key[:]), value[:], &s.expired)
			s.has = s.expired.Timestamp <= s.stampMax
			return
		}
	}
	memory := q.rows.Expired()
	for ; s.stage < len(ordered)+len(memory); s.stage, s.inStage = s.stage+1, false {
		expired := memory[s.stage-len(ordered)]
		if s.inStage {
			s.index++
		} else {
			s.index, s.inStage = firstAtStamp(expired, s.stampMin), true
		}
		if s.index < len(expired) {
			s.expired = expired[s.index]
			s.has = s.expired.Timestamp <= s.stampMax
			return
		}
	}
}

// firstAtStamp is the index of the first expiry with at least this timestamp.
func firstAtStamp(expired []accounting.ExpiredRow, timestamp uint64) int {
	return sort.Search(len(expired), func(i int) bool { return expired[i].Timestamp >= timestamp })
}

// EventsNext implements accounting.Store.
func (q *Query) EventsNext(row *accounting.EventRow) bool {
	s := &q.events
	if !s.loaded && s.at < s.end {
		if s.at%eventsStride == 0 && s.at+eventsAhead < s.end {
			q.rows.Warm(s.at + eventsAhead)
		}
		q.rows.ReadNext(&s.rows, accounting.TransferOrdinal(s.at), &s.row)
		s.loaded = true
	}
	if s.loaded && s.has && s.row.Transfer.Timestamp == s.expired.Timestamp {
		q.expiredNext() // the transfer is shown, the expiry with the same timestamp is hidden
	}
	switch {
	case s.loaded && (!s.has || s.row.Transfer.Timestamp < s.expired.Timestamp):
		row.Timestamp, row.Expired, row.Row = s.row.Transfer.Timestamp, false, s.row
		s.loaded = false
		s.at++
		return true
	case s.has:
		row.Timestamp, row.Expired = s.expired.Timestamp, true
		debit, credit := s.expired.DebitAfter, s.expired.CreditAfter
		q.rows.Read(s.expired.Pending, &row.Row)
		row.Row.DebitAfter, row.Row.CreditAfter = debit, credit
		q.expiredNext()
		return true
	default:
		return false
	}
}
