package rows

import (
	"slices"
	"unsafe"

	"ledger/accounting"
	"ledger/storage"
	"ledger/storage/forest/ids"
	"ledger/storage/forest/keys"
	"ledger/storage/forest/levels"
	"ledger/storage/table"
)

// aheadEvents is the number of events that are looked at together, just before they are executed.
const aheadEvents = 32

// ahead is the part of a batch that is not executed yet. An event needs a dozen cache lines at
// unrelated addresses. If events are executed one by one, these lines are also fetched one by one.
// So the lines of 32 events are loaded together, in loops without dependencies between the turns.
// The processor then fetches many lines at once.
//
// The loads also give two results. One is that neither a table nor the flushing memtable holds an
// id; this stays true until the end of the bar. The other is the place of an account in the cache.
// This is a guess, because the account may leave the cache before the event is executed. The
// account that lies there tells.
type ahead struct {
	rest     []accounting.Transfer // the events behind chunk
	chunk    []accounting.Transfer
	at       int                     // in chunk: the event that is looked for next
	now      int                     // in chunk: the event that was looked for last
	accounts [2 * aheadEvents]uint32 // guesses: the cache's entries of the events' accounts
	ids      []whereID               // of the whole batch
	first    int                     // index of chunk in the batch

	hashes     [2 * aheadEvents]uint64 // of the events' ids, then of their accounts' ids
	older      [aheadEvents]ids.Candidate
	suspects   [aheadEvents]ids.Candidate // a covered run may hold these; they are collected and looked for together
	uncovered  []*levels.Run              // the runs that were not covered when the batch came
	batch      ids.Batch                  // the ids that those runs are asked for
	passed     [levels.AskMax]int
	breath     askBreath
	sink       uint64 // keeps the compiler from removing the loads
	bucketSink byte
}

// whereID says where an id may be, apart from the filling memtable.
type whereID uint8

const (
	inTree whereID = 1 << iota
	inFlushing
)

// Lookahead names the transfers of the next calls: the body of a request that creates transfers.
// nil ends it.
func (s *Rows) Lookahead(body []byte) {
	a := &s.ahead
	count := len(body) / int(unsafe.Sizeof(accounting.Transfer{}))
	a.rest, a.chunk, a.at, a.first = nil, nil, 0, 0
	if count > 0 {
		s.feedBegin()
		a.rest = unsafe.Slice((*accounting.Transfer)(unsafe.Pointer(unsafe.SliceData(body))), count)
		s.askIDs()
		s.touch()
	}
}

// askBreath is how much is done between two breaths: each takes some 100 µs.
type askBreath struct {
	events  int // ids that are looked for in the filter of all ids
	lookups int // look-ups of an id in the filter of a run
}

// askIDs finds the ids of the batch that the trees may hold. It asks for all pages that will decide
// at once. Without it, the events would wait one by one, each for its own page.
func (s *Rows) askIDs() {
	a := &s.ahead
	t := s.levels.Tree(storage.TreeTransferID)
	nowhere := whereID(0) // for ids that no filter knows
	if s.flushing != nil && !s.flushingFed {
		nowhere = inFlushing
	}
	for i := range a.ids[:len(a.rest)] {
		a.ids[i] = nowhere
	}
	if t.IsEmpty() && !s.flushingFed {
		return
	}
	// A run that becomes covered during a breath is asked all the same: some ids passed the filter
	// of all ids before the run's ids were in it.
	a.uncovered = a.uncovered[:0]
	for _, r := range t.Runs() {
		if !r.IsCovered() {
			a.uncovered = append(a.uncovered, r)
		}
	}
	a.batch.Clear()
	olderSum, suspects := 0, a.suspects[:0]
	for first := 0; first < len(a.rest); first += aheadEvents {
		events := a.rest[first:min(first+aheadEvents, len(a.rest))]
		count := 0
		for i := range events {
			if id := events[i].ID; !s.idMax.Less(id) {
				o := &a.older[count]
				o.Index = first + i
				o.ID, o.Key = id, keys.ID(id)
				count++
			}
		}
		if count == 0 {
			continue
		}
		older := a.older[:count]
		for i := range older {
			o := &older[i]
			o.Filter = table.FilterKeyOf(&o.Key)
			if len(a.uncovered) > 0 {
				a.batch.Add(ids.BatchEntry{ID: o.ID, Hash: o.Filter.Hash(), Index: o.Index})
			}
		}
		for _, o := range older[:s.filter.Maybe(older)] {
			a.ids[o.Index] |= inFlushing
			if suspects = append(suspects, o); len(suspects) == len(a.suspects) {
				s.askCovered(suspects)
				suspects = suspects[:0]
			}
		}
		if olderSum += count; olderSum >= a.breath.events {
			olderSum = 0
			s.pages.Breathe()
		}
	}
	s.askCovered(suspects)
	s.askUncovered()
}

// askUncovered looks for the ids of the batch in the filters of the runs that are not covered. All
// ids are asked of one run before the next one, in order: then a lookup begins at the table of the
// id before.
func (s *Rows) askUncovered() {
	a := &s.ahead
	batch := a.batch.Sort()
	count := 0
	for _, r := range a.uncovered {
		asker := levels.Asker{}
		for chunk := range slices.Chunk(batch, levels.AskMax) {
			for _, index := range s.levels.Ask(&asker, r, chunk, a.passed[:0]) {
				if a.ids[index]&inTree == 0 {
					a.ids[index] |= inTree
					s.WarmTransfer(a.rest[index].ID)
				}
			}
			if count += len(chunk); count >= a.breath.lookups {
				count = 0
				s.pages.Breathe()
			}
		}
	}
}

// aheadSkip is the number of events at the start of a chunk that may be refused before they are
// looked for. With more of them, the chunk is not found.
const aheadSkip = 8

// aheadSeek moves on to the event with this id and tells whether there is one. An id that is none
// of the next events' (that of a pending transfer, for example) is not found and moves nothing.
func (s *Rows) aheadSeek(id accounting.U128) bool {
	a := &s.ahead
	for i := a.at; i < len(a.chunk); i++ {
		if a.chunk[i].ID == id {
			a.now, a.at = i, i+1
			return true
		}
	}
	for i := range a.rest[:min(len(a.rest), aheadSkip)] {
		if a.rest[i].ID == id {
			s.touch()
			a.now, a.at = i, i+1
			return true
		}
	}
	return false
}

// touch goes to the next chunk and loads the memory that its events will need.
//
//go:noinline
func (s *Rows) touch() {
	a := &s.ahead
	a.first += len(a.chunk)
	count := min(len(a.rest), aheadEvents)
	a.chunk, a.rest, a.at = a.rest[:count], a.rest[count:], 0
	s.touchIDs()
	s.touchAccounts()
}

func (s *Rows) touchIDs() {
	a := &s.ahead
	hashes, isOlder := a.hashes[:len(a.chunk)], false
	for i := range a.chunk {
		id := a.chunk[i].ID
		hashes[i] = ids.Hash(&s.key, id)
		isOlder = isOlder || !s.idMax.Less(id)
	}
	sum := s.filling.ids.Load(hashes)
	if isOlder && s.flushing != nil && !s.flushingFed {
		sum += s.flushing.ids.Load(hashes)
	}
	a.sink += uint64(sum)
}

// askCovered looks for ids in the filters of the covered runs and asks for the pages of those that
// it finds.
func (s *Rows) askCovered(older []ids.Candidate) {
	if len(older) == 0 {
		return
	}
	a := &s.ahead
	t := s.levels.Tree(storage.TreeTransferID)
	for _, r := range t.Runs() {
		if !r.IsCovered() {
			continue
		}
		for i := range older {
			o := &older[i]
			o.Bucket = noBucket[:]
			if filter := s.levels.FilterOf(t, r, &o.Key); filter != nil {
				o.Bucket = o.Filter.Bucket(filter)
			}
		}
		ids.LoadBuckets(older, &a.bucketSink)
		for i := range older {
			if o := &older[i]; o.Filter.In(o.Bucket) {
				a.ids[o.Index] |= inTree
			}
		}
	}
	for i := range older {
		if at := older[i].Index; a.ids[at]&inTree != 0 {
			s.WarmTransfer(a.rest[at].ID)
		}
	}
}

// noBucket is used for a run whose keys are all below an id. No key is in it.
var noBucket [table.FilterBucketBytes]byte

// touchAccounts finds the accounts in the cache. With many accounts in use, each step reads a
// distant cache line. So each step has a loop of its own, and the loops that fetch lines are short;
// see ids.LoadBuckets.
func (s *Rows) touchAccounts() {
	a, c := &s.ahead, s.cache
	hashes := a.hashes[:2*len(a.chunk)]
	entries := a.accounts[:2*len(a.chunk)]
	for i := range a.chunk {
		t := &a.chunk[i]
		hashes[2*i], hashes[2*i+1] = ids.Hash(&s.key, t.DebitAccountID), ids.Hash(&s.key, t.CreditAccountID)
	}
	found := c.ids.Load(hashes)
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

// aheadAccount returns the cache's entry of an account of the current event, or noEntry.
func (s *Rows) aheadAccount(id accounting.U128) uint32 {
	c := s.cache
	now := s.ahead.now
	for _, entry := range s.ahead.accounts[2*now : 2*now+2] {
		if c.accounts[entry].ID == id && c.states[entry] != 0 {
			c.states[entry] |= stateUsed
			return entry
		}
	}
	return noEntry
}
