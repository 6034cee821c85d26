package forest

import (
	"math/bits"
	"unsafe"

	"ledger/accounting"
	"ledger/storage"
	"ledger/storage/table"
)

// aheadEvents is how many events are looked at together, just before they are executed.
const aheadEvents = 32

// ahead is the rest of a batch that is being executed. Each event needs a dozen cache lines at unrelated places; executed one
// after the other they are fetched one after the other. So the lines of a few events are touched together, in loops without
// dependencies between their turns, which lets the processor fetch many at once. Nothing but one thing is learned that way:
// that no table holds an id, which stays true until the next bar's end.
type ahead struct {
	rest     []accounting.Transfer // behind chunk
	chunk    []accounting.Transfer
	at       int               // in chunk: the next one to be looked for
	maybe    [aheadEvents]bool // the trees may hold the id
	filters  [aheadEvents][]byte
	keys     [aheadEvents]storage.Key
	hashes   [2 * aheadEvents]uint64
	ordinals [2 * aheadEvents]accounting.AccountOrdinal
	sink     uint64 // so that the loads are not optimised away
}

// Lookahead names the transfers that the next calls are about: the body of a request that creates transfers. nil ends it.
func (f *Forest) Lookahead(body []byte) {
	a := &f.ahead
	count := len(body) / int(unsafe.Sizeof(accounting.Transfer{}))
	a.rest, a.chunk, a.at = nil, nil, 0
	if count > 0 {
		a.rest = unsafe.Slice((*accounting.Transfer)(unsafe.Pointer(unsafe.SliceData(body))), count)
		f.touch()
	}
}

// aheadSkip is how many events at the start of a chunk may be refused before they are looked for, and the chunk still be found.
const aheadSkip = 8

// aheadAbsent tells whether id is known to be in no tree. Other ids than the next events' (of pending transfers, say) are
// not known, and move nothing.
func (f *Forest) aheadAbsent(id accounting.U128) bool {
	a := &f.ahead
	for i := a.at; i < len(a.chunk); i++ {
		if a.chunk[i].ID == id {
			a.at = i + 1
			return !a.maybe[i]
		}
	}
	for i := range a.rest[:min(len(a.rest), aheadSkip)] {
		if a.rest[i].ID == id {
			f.touch()
			a.at = i + 1
			return !a.maybe[i]
		}
	}
	return false
}

// touch goes to the next chunk and loads what its events will need.
//
//go:noinline
func (f *Forest) touch() {
	a := &f.ahead
	count := min(len(a.rest), aheadEvents)
	a.chunk, a.rest, a.at = a.rest[:count], a.rest[count:], 0
	f.touchIDs()
	f.touchAccounts()
}

func (f *Forest) touchIDs() {
	a := &f.ahead
	sum := uint64(0)
	filling := &f.filling.ids
	mask := uint64(len(filling.slots) - 1)
	flushing := filling
	if f.flushing != nil {
		flushing = &f.flushing.ids // of the same size
	}
	for i := range a.chunk {
		at := filling.start(hashID(a.chunk[i].ID)) & mask
		sum += filling.slots[at] + flushing.slots[at]
	}
	a.sink += sum
	t := &f.trees[storage.TreeTransferID]
	for i := range a.chunk {
		a.maybe[i] = false
		a.keys[i] = keyOfID(a.chunk[i].ID)
		a.hashes[i] = table.FilterHash(&a.keys[i])
	}
	for _, r := range t.ordered {
		last := r.fences[len(r.fences)-1]
		sum = 0
		for i := range a.chunk {
			k := fenceOf(&a.keys[i])
			if last.less(k) {
				a.filters[i] = nil
				continue
			}
			at := r.search(&a.keys[i], k)
			filter := f.filters.of(r.filters[at], r.tables[at].Entries, &t.shape)
			a.filters[i] = filter
			// FilterHas branches on what it loads, and a wrong guess waits for the load. So the line comes first, without a branch.
			line, _ := bits.Mul64(a.hashes[i]>>32<<32, uint64(len(filter)/32))
			sum += uint64(filter[line*32])
		}
		a.sink += sum
		for i := range a.chunk {
			if a.filters[i] != nil && table.FilterHas(a.filters[i], a.hashes[i]) {
				a.maybe[i] = true
			}
		}
	}
}

func (f *Forest) touchAccounts() {
	a, c := &f.ahead, f.cache
	sum := uint64(0)
	for i := range a.chunk {
		a.hashes[2*i] = hashID(a.chunk[i].DebitAccountID)
		a.hashes[2*i+1] = hashID(a.chunk[i].CreditAccountID)
	}
	hashes := a.hashes[:2*len(a.chunk)]
	for i, hash := range hashes {
		tag, base := hash>>32|1, (hash&c.idMask)*cacheWays
		a.ordinals[i] = 0
		for _, slot := range c.idSlots[base : base+cacheWays] {
			if slot>>32 == tag {
				a.ordinals[i] = accounting.AccountOrdinal(uint32(slot))
			}
		}
	}
	for i := range hashes {
		home := c.home(a.ordinals[i])
		account := &c.accounts[home]
		sum += account.ID.Lo + account.Timestamp + c.states[home]
	}
	a.sink += sum
}
