package query

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
	chosen  bool // the conditions of the part on disk are set up

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
	block uint32 // of the log
	page  uint32
}

func newTransferScan(l *limits.Limits) transferScan {
	s := transferScan{disk: newIntersection(), places: make([]rowPlace, foundMax), rowsAhead: rowsAheadOf(l)}
	for i := range s.streams {
		s.streams[i] = newPostings()
	}
	return s
}

// fieldsOf returns a query's values of the indexed fields. Zero means any value.
func fieldsOf(query *accounting.TransferScan) [keys.FieldsCount]accounting.U128 {
	return [keys.FieldsCount]accounting.U128{
		keys.User128: query.UserData128, keys.User64: {Lo: query.UserData64}, keys.User32: {Lo: uint64(query.UserData32)},
		keys.Ledger: {Lo: uint64(query.Ledger)}, keys.Code: {Lo: uint64(query.Code)},
	}
}

// TransfersOpen implements accounting.Store.
func (q *Query) TransfersOpen(query *accounting.TransferScan) {
	s := &q.transfers
	s.query = *query
	s.asked, s.headed, s.steps, s.turns, s.inDisk = 0, 0, 0, 2, !query.Reversed
	first, end := q.rows.TransferRange(query.TimestampMin, query.TimestampMax)
	if query.ByAccount && !query.Debits && !query.Credits {
		end = first
	}
	flushed := q.rows.TransfersFlushed()
	s.memory.open(&s.query, max(first, flushed), max(end, flushed))
	s.disk.open(q, first, min(end, flushed), query.Reversed)
	s.chosen = s.disk.ended
}

// scanChoose sets up the conditions of the part on disk, when its first row is wanted. The newest
// rows often lie in memory, and then nothing is asked of the trees.
func (q *Query) scanChoose() {
	s := &q.transfers
	query := &s.query
	s.chosen = true
	used := 0
	stream := func(id storage.TreeID, value accounting.U128) *postings {
		p := &s.streams[used]
		used++
		p.open(q, id, value, s.disk.first, s.disk.last, query.Reversed)
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
func (q *Query) TransfersNext(row *accounting.TransferRow) bool {
	s := &q.transfers
	for ; s.turns > 0; s.turns, s.inDisk = s.turns-1, !s.inDisk {
		if s.inDisk {
			if q.scanDisk(row) {
				return true
			}
		} else if found := s.memory.next(q); found != nil {
			*row = *found
			return true
		}
	}
	return false
}

func (q *Query) scanDisk(row *accounting.TransferRow) bool {
	s := &q.transfers
	d := &s.disk
	if !s.chosen {
		q.scanChoose()
	}
	for {
		if s.steps++; s.steps%256 == 0 {
			q.pages.Breathe()
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
		if uint64(ordinal) >= q.rows.LogEnd() {
			q.rows.Read(ordinal, row)
		} else {
			q.scanRead(at, ordinal, row)
		}
		if s.matches(row) {
			return true
		}
	}
}

// scanRead reads the row with index at in disk.found.
func (q *Query) scanRead(at int, ordinal accounting.TransferOrdinal, row *accounting.TransferRow) {
	s := &q.transfers
	if s.asked < min(at+s.rowsAhead/2, s.disk.foundCount) {
		q.scanAsk(at)
	}
	for waited := false; ; {
		if at < s.asked {
			ref, number := q.rows.BlockRef(s.places[at].block), s.places[at].page
			if page := q.pages.Lookup(ref, number); page != nil {
				s.rows.Read(page, ordinal, row)
				break
			}
			q.pages.Start(ref, number)
		} else {
			q.pages.Start(q.rows.BlockRef(q.rows.Block(uint64(ordinal))), 0)
		}
		if !waited {
			q.pages.Waited()
			waited = true
		}
		q.scanAsk(at)
		q.pages.Wait()
		q.scanAsk(at)
	}
	q.rows.Name(row)
}

// scanAsk starts reads of the pages of the rows from at on. Further ahead, it starts reads of the
// header pages that name them. It stops when no read is free.
func (q *Query) scanAsk(at int) {
	s := &q.transfers
	end := min(at+s.rowsAhead, s.disk.foundCount)
	for s.headed < end {
		ordinal := s.disk.found[s.headed]
		if ordinal >= q.rows.LogEnd() {
			s.headed++
			continue
		}
		// A neighbour probably lies in the same block.
		in := s.places[max(s.headed, 1)-1].block
		if s.headed == 0 || !q.rows.BlockHas(in, ordinal) {
			in = q.rows.Block(ordinal)
			ref := q.rows.BlockRef(in)
			if q.pages.Lookup(ref, 0) == nil && !q.pages.Warm(ref, 0) {
				break
			}
		}
		s.places[s.headed].block = in
		s.headed++
	}
	for s.asked < s.headed {
		ordinal := s.disk.found[s.asked]
		if ordinal < q.rows.LogEnd() {
			place := &s.places[s.asked]
			ref := q.rows.BlockRef(place.block)
			header := q.pages.Lookup(ref, 0)
			if header == nil {
				return
			}
			place.page = q.rows.BlockPage(place.block, block.HeaderPage(header), ordinal)
			if q.pages.Lookup(ref, place.page) == nil && !q.pages.Warm(ref, place.page) {
				return
			}
		}
		s.asked++
	}
}
