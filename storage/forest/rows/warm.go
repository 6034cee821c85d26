package rows

import (
	"encoding/binary"

	"ledger/accounting"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/forest/ids"
	"ledger/storage/forest/keys"
	"ledger/storage/rowlog"
)

const (
	warmTriesMax   = 64 // a key needs some pages, one after the other: two for each run that may have it
	warmReadsMax   = 48 // reads in flight; leaves room for a read that execution waits for
	warmPerStepMax = 64
	// So many keys in a row for which nothing could be done end a step: their pages are on the way.
	warmVainMax = 8
)

// warmKind of a warmKey.
type warmKind uint8

const (
	warmAccount warmKind = iota + 1
	warmTransfer
	warmPending
	warmRow
)

type warmKey struct {
	id    accounting.U128
	kind  warmKind
	tries uint8 // that started a read
}

// warmQueue holds keys whose pages are being read. It is a bounded ring. A key that does not fit is
// read when it is needed.
type warmQueue struct {
	keys  []warmKey
	head  uint32
	count uint32
}

func newWarmQueue(l *limits.Limits) warmQueue {
	return warmQueue{keys: make([]warmKey, 3*l.OpEventsMax()+1)}
}

func (q *warmQueue) push(k warmKey) {
	if q.count == uint32(len(q.keys)) {
		return
	}
	q.keys[(q.head+q.count)%uint32(len(q.keys))] = k
	q.count++
}

// WarmAccount implements accounting.Warmer.
func (s *Rows) WarmAccount(id accounting.U128) {
	if s.cache.findID(id, ids.Hash(&s.key, id)) == noEntry {
		s.warmBegin(warmKey{id: id, kind: warmAccount})
	}
}

// WarmTransfer implements accounting.Warmer.
func (s *Rows) WarmTransfer(id accounting.U128) {
	if !s.levels.Tree(storage.TreeTransferID).IsEmpty() {
		s.warmBegin(warmKey{id: id, kind: warmTransfer})
	}
}

// WarmPending implements accounting.Warmer.
func (s *Rows) WarmPending(id accounting.U128) {
	if !s.levels.Tree(storage.TreeTransferID).IsEmpty() {
		s.warmBegin(warmKey{id: id, kind: warmPending})
	}
}

func (s *Rows) warmBegin(k warmKey) {
	if s.warm.count > 0 && s.pages.InFlight() >= warmReadsMax || !s.warmTry(&k) {
		s.warm.push(k)
	}
}

// WarmStep continues with keys whose pages may have arrived. It never waits. It is called after the
// grid has made progress, and again while it returns true: then keys wait, and no read is under way
// whose end would be progress.
func (s *Rows) WarmStep() (more bool) {
	q, vain := &s.warm, 0
	for steps := min(q.count, warmPerStepMax); steps > 0 && vain < warmVainMax && s.pages.InFlight() < warmReadsMax; steps-- {
		k := q.keys[q.head]
		q.head = (q.head + 1) % uint32(len(q.keys))
		q.count--
		before := s.pages.InFlight()
		isDone := s.warmTry(&k)
		// A key whose page has not arrived yet has not been tried in vain: pages of other keys may
		// arrive many times before it.
		now := s.pages.InFlight()
		if now > before || now == 0 {
			k.tries++
		}
		if vain++; isDone || now > before || now == 0 {
			vain = 0
		}
		if !isDone && k.tries < warmTriesMax {
			q.push(k)
		}
	}
	return q.count > 0 && s.pages.InFlight() == 0
}

// warmTry starts the read of the next page that a key needs. It returns true if all pages are in
// memory.
func (s *Rows) warmTry(k *warmKey) bool {
	key := keys.ID(k.id)
	var value [8]byte
	if k.kind == warmAccount {
		found, complete := s.levels.Try(storage.TreeAccountID, &key, value[:4])
		if !found || !complete {
			return complete
		}
		return s.warmTryAccount(accounting.AccountOrdinal(binary.LittleEndian.Uint32(value[:])))
	}
	found, complete := s.levels.Try(storage.TreeTransferID, &key, value[:])
	ordinal := binary.LittleEndian.Uint64(value[:])
	if !found || !complete || k.kind == warmTransfer || ordinal == storage.TransferDeadMark {
		return complete
	}
	if k.kind == warmRow {
		return s.warmTryRow(accounting.TransferOrdinal(ordinal))
	}
	return s.warmTryPending(accounting.TransferOrdinal(ordinal))
}

func (s *Rows) warmTryAccount(ordinal accounting.AccountOrdinal) bool {
	if s.cache.find(ordinal) != noEntry {
		return true
	}
	key := keys.Account(ordinal)
	_, complete := s.levels.Try(storage.TreeAccount, &key, nil)
	_, completeBalances := s.levels.Try(storage.TreeBalances, &key, nil)
	return complete && completeBalances
}

func (s *Rows) warmTryPending(ordinal accounting.TransferOrdinal) bool {
	if row := s.pendings.find(ordinal); row != nil {
		return s.warmTryAccounts(row.Debit, row.Credit)
	}
	key := keys.Number(uint64(ordinal))
	_, complete := s.levels.Try(storage.TreePending, &key, nil)
	return s.warmTryRow(ordinal) && complete
}

// warmTryRow does the same for a row of the log and its accounts.
func (s *Rows) warmTryRow(ordinal accounting.TransferOrdinal) bool {
	if ordinal >= s.transfersFlushed() {
		return true
	}
	if ordinal >= s.tail.first { // a start knows no accounts of carried rows
		row := &s.tail.rows[ordinal-s.tail.first]
		return s.warmTryAccounts(row.DebitOrdinal, row.CreditOrdinal)
	}
	at := lastAtMost(s.log.firsts[:s.log.count], uint64(ordinal))
	ref := s.log.tables[at].Ref
	header, ok := s.pages.Try(ref, 0)
	if !ok {
		return false
	}
	number := s.shape.PageFind(block.HeaderPage(header), uint32(uint64(ordinal)-s.log.firsts[at]))
	page, ok := s.pages.Try(ref, number)
	if !ok {
		return false
	}
	var transfer accounting.Transfer
	return s.warmTryAccounts(rowlog.ReadObject(page, ordinal, &transfer))
}

// warmTryAccounts does the same for two accounts at once.
func (s *Rows) warmTryAccounts(debit, credit accounting.AccountOrdinal) bool {
	complete := s.warmTryAccount(debit)
	return s.warmTryAccount(credit) && complete
}

// warmRow starts reading the page of a row, or the header page that names it. It does not wait.
func (s *Rows) warmRow(ordinal accounting.TransferOrdinal) {
	if ordinal >= s.tail.first {
		return
	}
	at := s.logTable(uint64(ordinal))
	t := &s.log.tables[at]
	header := s.pages.Lookup(t.Ref, 0)
	if header == nil {
		s.pages.Warm(t.Ref, 0)
		return
	}
	number := s.shape.PageFind(block.HeaderPage(header), uint32(uint64(ordinal)-s.log.firsts[at]))
	if s.pages.Lookup(t.Ref, number) == nil {
		s.pages.Warm(t.Ref, number)
	}
}
