package forest

import (
	"unsafe"

	"ledger/accounting"
	"ledger/storage"
)

// lookupsAtOnce is how many ids are asked for when a page was missing.
const lookupsAtOnce = 64

// lookups is the rest of a request that looks ids up. As long as all pages are in memory it is of
// no use and costs nothing. When one is missing, those of the ids that follow are likely to be
// missing as well: they are asked for together, where they would be read one after the other.
type lookups struct {
	ids  []accounting.U128 // that were not asked for
	kind warmKind
}

// LookupTransfers names the ids that the next calls are about: the body of a request that looks
// transfers up. nil ends it.
func (f *Forest) LookupTransfers(body []byte) { f.lookups = lookups{idsOf(body), warmRow} }

// LookupAccounts does the same for accounts.
func (f *Forest) LookupAccounts(body []byte) { f.lookups = lookups{idsOf(body), warmAccount} }

func idsOf(body []byte) []accounting.U128 {
	count := len(body) / int(unsafe.Sizeof(accounting.U128{}))
	if count == 0 {
		return nil
	}
	return unsafe.Slice((*accounting.U128)(unsafe.Pointer(unsafe.SliceData(body))), count)
}

// lookupsAsk goes on with some ids. Some of them may have been looked up already: that costs a
// search.
func (f *Forest) lookupsAsk() {
	l := &f.lookups
	for range min(lookupsAtOnce, len(l.ids)) {
		if f.grid.InFlight() >= warmReadsMax {
			return
		}
		id := l.ids[0]
		l.ids = l.ids[1:]
		if l.kind == warmAccount {
			f.WarmAccount(id)
		} else if f.trees[storage.TreeTransferID].runsCount > 0 {
			f.warmBegin(warmKey{id: id, kind: l.kind})
		}
	}
}
