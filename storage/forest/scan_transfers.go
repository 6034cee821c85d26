package forest

import (
	"ledger/accounting"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/forest/keys"
	"ledger/storage/rowlog"
)

// rowsAheadMax is the number of rows by which pages are read ahead if the cache is large.
const rowsAheadMax = 512

// transferScan is an open query over transfers. It has two parts: the trees' by postings, and the
// rows that only memtables have. The trees come first, or last if the newest transfers come first.
type transferScan struct {
	query   accounting.TransferScan
	disk    intersection
	streams [conditionsMax + 1]postings
	memory  memoryScan
	inDisk  bool // the part on disk is the current one
	turns   int  // parts that are left, the current one included

	// Read-ahead of disk.found: places[:asked] are known and reads of their pages started. For
	// found[:headed], reads of the header pages have started.
	places []rowPlace
	asked  int
	headed int
	steps  int
	rows   rowlog.Cursor

	rowsAhead int
}

// rowsAheadOf limits the read-ahead to a quarter of the cache. In a small cache, pages that are
// read ahead would otherwise displace each other before they are used.
func rowsAheadOf(l *limits.Limits) int {
	return int(max(1, min(rowsAheadMax, l.CacheGridBytes/uint64(l.PageBytes)/4)))
}

// rowPlace is the place of a row in the log.
type rowPlace struct {
	table uint32 // index in log.tables
	page  uint32
}

func newTransferScan(l *limits.Limits) transferScan {
	s := transferScan{disk: newIntersection(), places: make([]rowPlace, foundMax), rowsAhead: rowsAheadOf(l)}
	for i := range s.streams {
		s.streams[i] = newPostings()
	}
	return s
}

// transferRange converts timestamps into ordinals: first..end-1.
func (f *Forest) transferRange(timestampMin, timestampMax uint64) (first, end uint64) {
	first = f.transferAtStamp(timestampMin)
	end = uint64(f.filling.transfersNext())
	if timestampMax < ^uint64(0) {
		end = f.transferAtStamp(timestampMax + 1)
	}
	return first, end
}

// fieldsOf returns a query's values of the indexed fields. Zero means any value.
func fieldsOf(query *accounting.TransferScan) [keys.FieldsCount]accounting.U128 {
	return [keys.FieldsCount]accounting.U128{
		keys.User128: query.UserData128, keys.User64: {Lo: query.UserData64}, keys.User32: {Lo: uint64(query.UserData32)},
		keys.Ledger: {Lo: uint64(query.Ledger)}, keys.Code: {Lo: uint64(query.Code)},
	}
}

// TransfersOpen implements accounting.Store.
func (f *Forest) TransfersOpen(query *accounting.TransferScan) {
	s := &f.scan
	s.query = *query
	s.asked, s.headed, s.steps, s.turns, s.inDisk = 0, 0, 0, 2, !query.Reversed
	first, end := f.transferRange(query.TimestampMin, query.TimestampMax)
	if query.ByAccount && !query.Debits && !query.Credits {
		end = first
	}
	flushed := uint64(f.transfersFlushed())
	s.memory.open(&s.query, max(first, flushed), max(end, flushed))
	s.disk.open(f, first, min(end, flushed), query.Reversed)
	if s.disk.ended {
		return
	}
	used := 0
	stream := func(id storage.TreeID, value accounting.U128) *postings {
		p := &s.streams[used]
		used++
		p.open(f, id, value, s.disk.first, s.disk.last, query.Reversed)
		return p
	}
	if query.ByAccount {
		account := accounting.U128{Lo: uint64(query.Account)}
		switch {
		case query.Debits && query.Credits:
			s.disk.add(stream(storage.TreeTransferDebit, account), stream(storage.TreeTransferCredit, account))
		case query.Debits:
			s.disk.add(stream(storage.TreeTransferDebit, account))
		default:
			s.disk.add(stream(storage.TreeTransferCredit, account))
		}
	}
	for field, value := range fieldsOf(query) {
		if !value.IsZero() {
			s.disk.add(stream(storage.TreeTransferUser128+storage.TreeID(field), value))
		}
	}
	s.disk.choose(query.LimitRows)
}

// matches tells whether a row satisfies the query, except for its range of timestamps.
func (s *transferScan) matches(row *accounting.TransferRow) bool {
	q, t := &s.query, &row.Transfer
	if q.ByAccount && !(q.Debits && row.DebitOrdinal == q.Account) && !(q.Credits && row.CreditOrdinal == q.Account) {
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
	for ; s.turns > 0; s.turns, s.inDisk = s.turns-1, !s.inDisk {
		if s.inDisk {
			if f.scanDisk(row) {
				return true
			}
		} else if found := s.memory.next(f); found != nil {
			*row = *found
			return true
		}
	}
	return false
}

func (f *Forest) scanDisk(row *accounting.TransferRow) bool {
	s := &f.scan
	d := &s.disk
	for {
		if s.steps++; s.steps%256 == 0 {
			f.pages.Breathe()
		}
		if d.foundAt == d.foundCount {
			s.asked, s.headed = 0, 0
			if !d.fill() {
				return false
			}
		}
		at := d.foundAt
		d.foundAt++
		ordinal := accounting.TransferOrdinal(d.found[at])
		if ordinal >= f.tail.first {
			f.rowRead(ordinal, row)
		} else {
			f.scanRead(at, ordinal, row)
		}
		if s.matches(row) {
			return true
		}
	}
}

// scanRead reads the row with index at in disk.found.
func (f *Forest) scanRead(at int, ordinal accounting.TransferOrdinal, row *accounting.TransferRow) {
	s := &f.scan
	if s.asked < min(at+s.rowsAhead/2, s.disk.foundCount) {
		f.scanAsk(at)
	}
	for waited := false; ; {
		if at < s.asked {
			ref, number := f.log.tables[s.places[at].table].Ref, s.places[at].page
			if page := f.pages.Lookup(ref, number); page != nil {
				s.rows.Read(page, ordinal, row)
				break
			}
			f.pages.Start(ref, number)
		} else {
			f.pages.Start(f.log.tables[f.logTable(uint64(ordinal))].Ref, 0)
		}
		if !waited {
			f.pages.Waited()
			waited = true
		}
		f.scanAsk(at)
		f.pages.Wait()
		f.scanAsk(at)
	}
	row.Transfer.DebitAccountID = f.accountID(row.DebitOrdinal)
	row.Transfer.CreditAccountID = f.accountID(row.CreditOrdinal)
}

// scanAsk starts reads of the pages of the rows from at on. Further ahead, it starts reads of the
// header pages that name them. It stops when no read is free.
func (f *Forest) scanAsk(at int) {
	s := &f.scan
	end := min(at+s.rowsAhead, s.disk.foundCount)
	for s.headed < end {
		ordinal := s.disk.found[s.headed]
		if ordinal >= uint64(f.tail.first) {
			s.headed++
			continue
		}
		// A neighbour probably lies in the same block.
		table := s.places[max(s.headed, 1)-1].table
		if s.headed == 0 || !f.logHas(table, ordinal) {
			table = uint32(f.logTable(ordinal))
			ref := f.log.tables[table].Ref
			if f.pages.Lookup(ref, 0) == nil && !f.pages.Warm(ref, 0) {
				break
			}
		}
		s.places[s.headed].table = table
		s.headed++
	}
	for s.asked < s.headed {
		ordinal := s.disk.found[s.asked]
		if ordinal < uint64(f.tail.first) {
			place := &s.places[s.asked]
			ref := f.log.tables[place.table].Ref
			header := f.pages.Lookup(ref, 0)
			if header == nil {
				return
			}
			place.page = f.rowShape.PageFind(block.HeaderPage(header), uint32(ordinal-f.log.firsts[place.table]))
			if f.pages.Lookup(ref, place.page) == nil && !f.pages.Warm(ref, place.page) {
				return
			}
		}
		s.asked++
	}
}

// warmRow starts reading the page of a row, or the header page that names it. It does not wait.
func (f *Forest) warmRow(ordinal accounting.TransferOrdinal) {
	if ordinal >= f.tail.first {
		return
	}
	at := f.logTable(uint64(ordinal))
	t := &f.log.tables[at]
	header := f.pages.Lookup(t.Ref, 0)
	if header == nil {
		f.pages.Warm(t.Ref, 0)
		return
	}
	number := f.rowShape.PageFind(block.HeaderPage(header), uint32(uint64(ordinal)-f.log.firsts[at]))
	if f.pages.Lookup(t.Ref, number) == nil {
		f.pages.Warm(t.Ref, number)
	}
}
