package rows

import (
	"unsafe"

	"ledger/accounting"
	"ledger/storage"
)

// lookupsAtOnce is the number of ids that are asked for after a page was missing.
const lookupsAtOnce = 64

// lookups is the rest of a request that looks ids up. It costs nothing while all pages are in
// memory. If a page is missing, the pages of the next ids are probably missing too. They are then
// read together instead of one after the other.
type lookups struct {
	ids  []accounting.U128 // ids that were not asked for
	kind warmKind
}

// LookupTransfers names the ids of the next calls: the body of a request that looks transfers up.
// nil ends it.
func (s *Rows) LookupTransfers(body []byte) { s.lookups = lookups{idsOf(body), warmRow} }

// LookupAccounts does the same for accounts.
func (s *Rows) LookupAccounts(body []byte) { s.lookups = lookups{idsOf(body), warmAccount} }

func idsOf(body []byte) []accounting.U128 {
	count := len(body) / int(unsafe.Sizeof(accounting.U128{}))
	if count == 0 {
		return nil
	}
	return unsafe.Slice((*accounting.U128)(unsafe.Pointer(unsafe.SliceData(body))), count)
}

// lookupsAsk asks for the pages of the next ids. An id that was looked up already costs only a
// search.
func (s *Rows) lookupsAsk() {
	l := &s.lookups
	for range min(lookupsAtOnce, len(l.ids)) {
		if s.pages.InFlight() >= warmReadsMax {
			return
		}
		id := l.ids[0]
		l.ids = l.ids[1:]
		if l.kind == warmAccount {
			s.WarmAccount(id)
		} else if !s.levels.Tree(storage.TreeTransferID).IsEmpty() {
			s.warmBegin(warmKey{id: id, kind: l.kind})
		}
	}
}
