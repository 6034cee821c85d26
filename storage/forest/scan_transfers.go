package forest

import (
	"ledger/accounting"
	"ledger/storage"
	"ledger/storage/block"
)

// readAhead is how many rows of a query are known, and their pages asked for, before the first of them is read.
const readAhead = 64

// transferScan is an open query over transfers: the trees' part by postings, then (or, newest first, before it) the part
// that only the memtables know, row by row.
type transferScan struct {
	query    accounting.TransferScan
	disk     intersection
	cursors  [conditionsMax + 1]postingCursor
	memory   bool   // the part in memory has its turn
	at, end  uint64 // ordinals in memory: at..end-1
	memFirst uint64
	memEnd   uint64

	ahead      [readAhead]uint64 // ordinals found, to be read
	aheadAt    uint32
	aheadCount uint32
}

func newTransferScan() transferScan {
	var s transferScan
	for i := range s.cursors {
		s.cursors[i] = newPostingCursor()
	}
	return s
}

// transferRange turns timestamps into ordinals: first..end-1.
func (f *Forest) transferRange(timestampMin, timestampMax uint64) (first, end uint64) {
	first = f.transferAtStamp(timestampMin)
	end = uint64(f.filling.transfersNext())
	if timestampMax < ^uint64(0) {
		end = f.transferAtStamp(timestampMax + 1)
	}
	return first, end
}

// TransfersOpen implements accounting.Store.
func (f *Forest) TransfersOpen(query *accounting.TransferScan) {
	s := &f.scan
	s.query = *query
	s.aheadAt, s.aheadCount = 0, 0
	first, end := f.transferRange(query.TimestampMin, query.TimestampMax)
	flushed := uint64(f.transfersFlushed())
	s.memFirst, s.memEnd = max(first, flushed), max(end, flushed)
	s.memory = query.Reversed
	s.at, s.end = s.memFirst, s.memEnd
	s.disk.open(first, min(end, flushed), query.Reversed)
	if s.disk.ended {
		return
	}
	used := 0
	cursor := func(id storage.TreeID, value accounting.U128) *postingCursor {
		c := &s.cursors[used]
		used++
		c.open(f, id, value, query.Reversed)
		return c
	}
	if query.ByAccount {
		account := accounting.U128{Lo: uint64(query.Account)}
		switch {
		case query.Debits && query.Credits:
			s.disk.add(cursor(storage.TreeTransferDebit, account), cursor(storage.TreeTransferCredit, account))
		case query.Debits:
			s.disk.add(cursor(storage.TreeTransferDebit, account))
		case query.Credits:
			s.disk.add(cursor(storage.TreeTransferCredit, account))
		default:
			s.disk.ended, s.memFirst, s.memEnd, s.at, s.end = true, 0, 0, 0, 0
			return
		}
	}
	values := [fieldsCount]accounting.U128{
		fieldUser128: query.UserData128, fieldUser64: {Lo: query.UserData64}, fieldUser32: {Lo: uint64(query.UserData32)},
		fieldLedger: {Lo: uint64(query.Ledger)}, fieldCode: {Lo: uint64(query.Code)},
	}
	for field, value := range values {
		if !value.IsZero() {
			s.disk.add(cursor(storage.TreeTransferUser128+storage.TreeID(field), value))
		}
	}
	s.disk.choose()
}

// matches tells whether a row fulfils the query, its range of timestamps apart.
func (s *transferScan) matches(row *accounting.TransferRow) bool {
	q, t := &s.query, &row.Transfer
	if q.ByAccount && !s.touches(uint32(row.DebitOrdinal), uint32(row.CreditOrdinal)) {
		return false
	}
	return (q.UserData128.IsZero() || q.UserData128 == t.UserData128) &&
		(q.UserData64 == 0 || q.UserData64 == t.UserData64) &&
		(q.UserData32 == 0 || q.UserData32 == t.UserData32) &&
		(q.Ledger == 0 || q.Ledger == t.Ledger) &&
		(q.Code == 0 || q.Code == t.Code)
}

// TransfersNext implements accounting.Store.
func (f *Forest) TransfersNext(row *accounting.TransferRow) bool {
	s := &f.scan
	for range 2 {
		if s.memory && f.scanMemory(row) || !s.memory && f.scanDisk(row) {
			return true
		}
		if s.memory == !s.query.Reversed {
			return false // the second part has ended
		}
		s.memory = !s.memory
	}
	return false
}

func (f *Forest) scanMemory(row *accounting.TransferRow) bool {
	s := &f.scan
	for steps := 1; s.at < s.end; steps++ {
		if steps%4096 == 0 {
			f.waiter.Breathe()
		}
		var ordinal uint64
		if s.query.Reversed {
			s.end--
			ordinal = s.end
		} else {
			ordinal = s.at
			s.at++
		}
		m := f.filling
		if ordinal < uint64(m.transfersFirst) {
			m = f.flushing
		}
		index := ordinal - uint64(m.transfersFirst)
		if s.query.ByAccount && !s.touches(m.debits[index], m.credits[index]) {
			continue
		}
		if s.matches(&m.rows[index]) {
			*row = m.rows[index]
			return true
		}
	}
	return false
}

// touches tells whether the account asked for is on a side asked for.
func (s *transferScan) touches(debit, credit uint32) bool {
	account := uint32(s.query.Account)
	return s.query.Debits && debit == account || s.query.Credits && credit == account
}

func (f *Forest) scanDisk(row *accounting.TransferRow) bool {
	s := &f.scan
	for steps := 1; ; steps++ {
		if steps%256 == 0 {
			f.waiter.Breathe()
		}
		if s.aheadAt == s.aheadCount {
			s.aheadAt, s.aheadCount = 0, 0
			for s.aheadCount < readAhead {
				ordinal, ok := s.disk.next()
				if !ok {
					break
				}
				s.ahead[s.aheadCount] = ordinal
				s.aheadCount++
				f.warmRow(accounting.TransferOrdinal(ordinal))
			}
			if s.aheadCount == 0 {
				return false
			}
		}
		ordinal := s.ahead[s.aheadAt]
		s.aheadAt++
		if s.aheadAt+16 < s.aheadCount {
			f.warmRow(accounting.TransferOrdinal(s.ahead[s.aheadAt+16])) // the header page was missing at first, perhaps
		}
		f.rowRead(accounting.TransferOrdinal(ordinal), row)
		if s.matches(row) {
			return true
		}
	}
}

// warmRow asks for the page of a row, or for the header page that names it, without waiting.
func (f *Forest) warmRow(ordinal accounting.TransferOrdinal) {
	if ordinal >= f.tail.first {
		return
	}
	at := lastAtMost(f.log.firsts[:f.log.count], uint64(ordinal))
	t := &f.log.tables[at]
	header := f.grid.Lookup(t.Ref, 0)
	if header == nil {
		f.grid.Warm(t.Ref, 0)
		return
	}
	number := f.rowShape.PageFind(block.HeaderPage(header), uint32(uint64(ordinal)-f.log.firsts[at]))
	if f.grid.Lookup(t.Ref, number) == nil {
		f.grid.Warm(t.Ref, number)
	}
}
