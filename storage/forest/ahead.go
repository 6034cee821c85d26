package forest

import (
	"unsafe"

	"ledger/accounting"
	"ledger/storage"
	"ledger/storage/table"
)

// aheadEvents is how many events are looked at together, just before they are executed.
const aheadEvents = 32

// ahead is the rest of a batch that is being executed. Each event needs a dozen cache lines at
// unrelated places; executed one after the other they are fetched one after the other. So the lines
// of a few events are touched together, in loops without dependencies between their turns, which
// lets the processor fetch many at once. Two things are learned that way: that neither a table nor
// the flushing memtable holds an id, which stays true until the next bar's end; and where an
// account is in the cache, which is a guess, for it may have gone: the account that lies there
// tells.
type ahead struct {
	rest     []accounting.Transfer // behind chunk
	chunk    []accounting.Transfer
	at       int                     // in chunk: the next one to be looked for
	now      int                     // in chunk: the one that was looked for last
	accounts [2 * aheadEvents]uint32 // entries of the cache: where the accounts of the events are, most likely
	ids      []whereID               // of the whole batch
	first    int                     // of chunk, in the batch

	hashes   [2 * aheadEvents]uint64 // of the events' ids, then of their accounts'
	older    [aheadEvents]olderID
	suspects [aheadEvents]olderID // that a covered run may hold, as far as they have not been looked for there
	sink     uint64               // so that the loads are not optimised away
}

// whereID says where an id may be, beside the filling memtable.
type whereID uint8

const (
	inTree whereID = 1 << iota
	inFlushing
)

// olderID is an id that is not above all others: the trees may hold it.
type olderID struct {
	index  int // in the batch
	key    storage.Key
	fence  fence
	filter table.FilterKey
	bucket []byte // of a filter
	maybe  bool   // some covered run may hold it
}

// Lookahead names the transfers that the next calls are about: the body of a request that creates
// transfers. nil ends it.
func (f *Forest) Lookahead(body []byte) {
	a := &f.ahead
	count := len(body) / int(unsafe.Sizeof(accounting.Transfer{}))
	a.rest, a.chunk, a.at, a.first = nil, nil, 0, 0
	if count > 0 {
		f.identityFeedBegin()
		a.rest = unsafe.Slice((*accounting.Transfer)(unsafe.Pointer(unsafe.SliceData(body))), count)
		f.askIDs()
		f.touch()
	}
}

// askBreathEvents is how many ids are compared with the filters of all runs between two breaths:
// some 100 µs.
const askBreathEvents = 256

// askIDs finds out which ids of the batch the trees may hold, and asks for the pages that will
// tell, all at once: executed one after the other, each event would wait for its own.
func (f *Forest) askIDs() {
	a := &f.ahead
	t := &f.trees[storage.TreeTransferID]
	nowhere := whereID(0) // of ids that no filter knows
	if f.flushing != nil && !f.flushingFed {
		nowhere = inFlushing
	}
	for i := range a.ids[:len(a.rest)] {
		a.ids[i] = nowhere
	}
	if t.runsCount == 0 && !f.flushingFed {
		return
	}
	olderSum, suspects := 0, a.suspects[:0]
	for first := 0; first < len(a.rest); first += aheadEvents {
		events := a.rest[first:min(first+aheadEvents, len(a.rest))]
		count := 0
		for i := range events {
			if id := events[i].ID; !f.idMax.Less(id) {
				o := &a.older[count]
				o.index = first + i
				o.key, o.fence = keyOfID(id), fence{id.Hi, id.Lo}
				count++
			}
		}
		if count == 0 {
			continue
		}
		older := a.older[:count]
		for i := range older {
			older[i].filter = table.FilterKeyOf(&older[i].key)
		}
		f.askRuns(older, false)
		for _, o := range older[:f.identities.maybe(older)] {
			a.ids[o.index] |= inFlushing
			if suspects = append(suspects, o); len(suspects) == len(a.suspects) {
				f.askRuns(suspects, true)
				suspects = suspects[:0]
			}
		}
		if olderSum += count; olderSum >= askBreathEvents {
			olderSum = 0
			f.waiter.Breathe()
		}
	}
	f.askRuns(suspects, true)
}

// aheadSkip is how many events at the start of a chunk may be refused before they are looked for,
// and the chunk still be found.
const aheadSkip = 8

// aheadSeek moves on to the event with this id and tells whether there is one. Other ids than the
// next events' (of pending transfers, say) are not found, and move nothing.
func (f *Forest) aheadSeek(id accounting.U128) bool {
	a := &f.ahead
	for i := a.at; i < len(a.chunk); i++ {
		if a.chunk[i].ID == id {
			a.now, a.at = i, i+1
			return true
		}
	}
	for i := range a.rest[:min(len(a.rest), aheadSkip)] {
		if a.rest[i].ID == id {
			f.touch()
			a.now, a.at = i, i+1
			return true
		}
	}
	return false
}

// touch goes to the next chunk and loads what its events will need.
//
//go:noinline
func (f *Forest) touch() {
	a := &f.ahead
	a.first += len(a.chunk)
	count := min(len(a.rest), aheadEvents)
	a.chunk, a.rest, a.at = a.rest[:count], a.rest[count:], 0
	f.touchIDs()
	f.touchAccounts()
}

func (f *Forest) touchIDs() {
	a := &f.ahead
	filling := f.filling.ids.slots
	hashes, isOlder := a.hashes[:len(a.chunk)], false
	for i := range a.chunk {
		id := a.chunk[i].ID
		hashes[i] = hashID(&f.key, id)
		isOlder = isOlder || !f.idMax.Less(id)
	}
	// Each place is a line of memory far away. These loops are so short that the processor has all of
	// their loads under way at once. Where clients count, eight ids share a line: with the hashes in
	// the same loop, it got to one line at a time.
	sum := uint32(0)
	mask := uint64(len(filling) - 1)
	for _, hash := range hashes {
		sum += filling[hash&mask]
	}
	if isOlder && f.flushing != nil && !f.flushingFed {
		flushing := f.flushing.ids.slots
		mask = uint64(len(flushing) - 1)
		for _, hash := range hashes {
			sum += flushing[hash&mask]
		}
	}
	a.sink += uint64(sum)
}

// askRuns looks for ids in the filters of the runs that are covered by the filter of all ids, or of
// those that are not, and asks for the pages of the ids that it finds.
func (f *Forest) askRuns(older []olderID, covered bool) {
	if len(older) == 0 {
		return
	}
	a := &f.ahead
	t := &f.trees[storage.TreeTransferID]
	for _, r := range t.ordered {
		if r.covered != covered {
			continue
		}
		last := r.fences[len(r.fences)-1]
		for i := range older {
			o := &older[i]
			if o.bucket = noBucket[:]; last.less(o.fence) {
				continue
			}
			at := r.search(&o.key, o.fence)
			o.bucket = o.filter.Bucket(f.filters.of(r.filters[at], r.tables[at].Entries, &t.shape))
		}
		askBuckets(older, &f.identities.sink)
		for i := range older {
			if o := &older[i]; o.filter.In(o.bucket) {
				a.ids[o.index] |= inTree
			}
		}
	}
	for i := range older {
		if at := older[i].index; a.ids[at]&inTree != 0 {
			f.WarmTransfer(a.rest[at].ID)
		}
	}
}

// noBucket is that of a run whose keys are all below an id: no key is in it.
var noBucket [table.FilterBucketBytes]byte

// touchAccounts finds the accounts in the cache. Where many accounts are in use, each step of that
// is a line of memory far away, so each is a loop of its own, and what fetches lines is short; see
// askBuckets.
func (f *Forest) touchAccounts() {
	a, c := &f.ahead, f.cache
	hashes := a.hashes[:2*len(a.chunk)]
	entries := a.accounts[:2*len(a.chunk)]
	for i := range a.chunk {
		t := &a.chunk[i]
		hashes[2*i], hashes[2*i+1] = hashID(&f.key, t.DebitAccountID), hashID(&f.key, t.CreditAccountID)
	}
	slots := c.ids.slots
	slotsMask := uint64(len(slots) - 1)
	found := uint32(0)
	for _, hash := range hashes {
		found += slots[hash&slotsMask]
	}
	for i, hash := range hashes {
		entries[i] = c.guess(hash)
	}
	sum := uint64(found)
	accounts, states := c.accounts, c.states
	for _, entry := range entries {
		account := &accounts[entry]
		sum += account.ID.Lo + account.Timestamp + states[entry]
	}
	a.sink += sum
}

// aheadAccount returns the cache's entry of an account of the present event, or noEntry.
func (f *Forest) aheadAccount(id accounting.U128) uint32 {
	c := f.cache
	now := f.ahead.now
	for _, entry := range f.ahead.accounts[2*now : 2*now+2] {
		if c.accounts[entry].ID == id && c.states[entry] != 0 {
			c.states[entry] |= stateUsed
			return entry
		}
	}
	return noEntry
}
