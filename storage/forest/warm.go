package forest

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
	warmTriesMax   = 8  // a key needs a few pages, one after the other
	warmReadsMax   = 48 // reads in flight; leaves room for a read that execution waits for
	warmPerStepMax = 64
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
	tries uint8
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
func (f *Forest) WarmAccount(id accounting.U128) {
	if f.cache.findID(id, ids.Hash(&f.key, id)) == noEntry {
		f.warmBegin(warmKey{id: id, kind: warmAccount})
	}
}

// WarmTransfer implements accounting.Warmer.
func (f *Forest) WarmTransfer(id accounting.U128) {
	if !f.levels.Tree(storage.TreeTransferID).IsEmpty() {
		f.warmBegin(warmKey{id: id, kind: warmTransfer})
	}
}

// WarmPending implements accounting.Warmer.
func (f *Forest) WarmPending(id accounting.U128) {
	if !f.levels.Tree(storage.TreeTransferID).IsEmpty() {
		f.warmBegin(warmKey{id: id, kind: warmPending})
	}
}

func (f *Forest) warmBegin(k warmKey) {
	if f.warm.count > 0 && f.pages.InFlight() >= warmReadsMax || !f.warmTry(&k) {
		f.warm.push(k)
	}
}

// WarmStep continues with keys whose pages may have arrived. It never waits. It is called after the
// grid has made progress.
func (f *Forest) WarmStep() {
	q := &f.warm
	for steps := min(q.count, warmPerStepMax); steps > 0 && f.pages.InFlight() < warmReadsMax; steps-- {
		k := q.keys[q.head]
		q.head = (q.head + 1) % uint32(len(q.keys))
		q.count--
		k.tries++
		if !f.warmTry(&k) && k.tries < warmTriesMax {
			q.push(k)
		}
	}
}

// warmTry starts the read of the next page that a key needs. It returns true if all pages are in
// memory.
func (f *Forest) warmTry(k *warmKey) bool {
	key := keys.ID(k.id)
	var value [8]byte
	if k.kind == warmAccount {
		found, complete := f.levels.Try(storage.TreeAccountID, &key, value[:4])
		if !found || !complete {
			return complete
		}
		return f.warmTryAccount(accounting.AccountOrdinal(binary.LittleEndian.Uint32(value[:])))
	}
	found, complete := f.levels.Try(storage.TreeTransferID, &key, value[:])
	ordinal := binary.LittleEndian.Uint64(value[:])
	if !found || !complete || k.kind == warmTransfer || ordinal == storage.TransferDeadMark {
		return complete
	}
	if k.kind == warmRow {
		return f.warmTryRow(accounting.TransferOrdinal(ordinal))
	}
	return f.warmTryPending(accounting.TransferOrdinal(ordinal))
}

func (f *Forest) warmTryAccount(ordinal accounting.AccountOrdinal) bool {
	if f.cache.find(ordinal) != noEntry {
		return true
	}
	key := keys.Account(ordinal)
	_, complete := f.levels.Try(storage.TreeAccount, &key, nil)
	_, completeBalances := f.levels.Try(storage.TreeBalances, &key, nil)
	return complete && completeBalances
}

func (f *Forest) warmTryPending(ordinal accounting.TransferOrdinal) bool {
	if row := f.pendings.find(ordinal); row != nil {
		return f.warmTryAccount(row.Debit) && f.warmTryAccount(row.Credit)
	}
	key := keys.Number(uint64(ordinal))
	_, complete := f.levels.Try(storage.TreePending, &key, nil)
	return f.warmTryRow(ordinal) && complete
}

// warmTryRow does the same for a row of the log and its accounts.
func (f *Forest) warmTryRow(ordinal accounting.TransferOrdinal) bool {
	if ordinal >= f.tail.first {
		return true
	}
	at := lastAtMost(f.log.firsts[:f.log.count], uint64(ordinal))
	ref := f.log.tables[at].Ref
	header, ok := f.pages.Try(ref, 0)
	if !ok {
		return false
	}
	number := f.rowShape.PageFind(block.HeaderPage(header), uint32(uint64(ordinal)-f.log.firsts[at]))
	page, ok := f.pages.Try(ref, number)
	if !ok {
		return false
	}
	var transfer accounting.Transfer
	debit, credit := rowlog.ReadObject(page, ordinal, &transfer)
	return f.warmTryAccount(debit) && f.warmTryAccount(credit)
}
