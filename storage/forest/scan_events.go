package forest

import (
	"encoding/binary"

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
	index    uint32
	has      bool // expired holds the next expiry
	expired  accounting.ExpiredRow
	stampMin uint64
}

func newEventScan() eventScan { return eventScan{cursor: levels.NewCursor()} }

// EventsOpen implements accounting.Store.
func (f *Forest) EventsOpen(timestampMin, timestampMax uint64) {
	s := &f.eventScan
	s.at, s.end = f.transferRange(timestampMin, timestampMax)
	s.loaded = false
	for at := s.at; at < min(s.at+eventsAhead, s.end); at += eventsStride {
		f.warmRow(accounting.TransferOrdinal(at))
	}
	s.stampMin, s.stampMax = timestampMin, timestampMax
	s.stage, s.inStage = 0, false
	f.expiredNext()
}

// expiredNext finds the next expiry. Expiries are stored in order of timestamps. So it walks the
// runs of their tree one after the other, then the flushing, then the filling memtable.
func (f *Forest) expiredNext() {
	s := &f.eventScan
	ordered := f.levels.Tree(storage.TreeExpired).Runs()
	s.has = false
	for ; s.stage < len(ordered); s.stage, s.inStage = s.stage+1, false {
		c := &s.cursor
		if !s.inStage {
			key := keys.Number(s.stampMin)
			c.Open(f.levels, storage.TreeExpired, ordered[s.stage])
			c.Seek(&key)
			s.inStage = true
		} else {
			c.Next()
		}
		if c.IsValid() {
			key := *c.Key()
			var value [8 + 2*storage.BalancesBytes]byte
			found := f.levels.Find(storage.TreeExpired, &key, value[:])
			assert.That(found, "a key that a cursor found is in its tree")
			keys.GetExpired(binary.BigEndian.Uint64(key[:]), value[:], &s.expired)
			s.has = s.expired.Timestamp <= s.stampMax
			return
		}
	}
	for ; s.stage < len(ordered)+2; s.stage, s.inStage = s.stage+1, false {
		m := f.filling
		if s.stage == len(ordered) {
			m = f.flushing
		}
		if m == nil {
			continue
		}
		if !s.inStage {
			s.index, s.inStage = 0, true
			low, high := uint32(0), m.expiredCount
			for low < high {
				middle := (low + high) / 2
				if m.expired[middle].Timestamp < s.stampMin {
					low = middle + 1
				} else {
					high = middle
				}
			}
			s.index = low
		} else {
			s.index++
		}
		if s.index < m.expiredCount {
			s.expired = m.expired[s.index]
			s.has = s.expired.Timestamp <= s.stampMax
			return
		}
	}
}

// EventsNext implements accounting.Store.
func (f *Forest) EventsNext(row *accounting.EventRow) bool {
	s := &f.eventScan
	if !s.loaded && s.at < s.end {
		if s.at%eventsStride == 0 && s.at+eventsAhead < s.end {
			f.warmRow(accounting.TransferOrdinal(s.at + eventsAhead))
		}
		f.rowReadNext(&s.rows, accounting.TransferOrdinal(s.at), &s.row)
		s.loaded = true
	}
	if s.loaded && s.has && s.row.Transfer.Timestamp == s.expired.Timestamp {
		f.expiredNext() // the transfer is shown, the expiry with the same timestamp is hidden
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
		f.rowRead(s.expired.Pending, &row.Row)
		row.Row.DebitAfter, row.Row.CreditAfter = debit, credit
		f.expiredNext()
		return true
	default:
		return false
	}
}
