package forest

import (
	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/storage/table"
)

const (
	// identityBits of filter for each id: about one new id in 1,000 passes a full generation, and is
	// then looked for run by run.
	identityBits = 16
	// identityGenerationsMax is beyond what memory has room for: each generation is as large as all
	// before.
	identityGenerationsMax = 40
	// identityChunk is how many ids are added together, as aheadEvents are looked for together.
	identityChunk = 64
	// identityOlderOf: a memtable's ids are added if more than one of so many was not above all before
	// it.
	identityOlderOf = 64
	// identityPageBytes is the step at which memory is touched before it is used.
	identityPageBytes = 4096
)

// identities is one filter over the ids that all runs of the tree of transfer ids hold together,
// whatever run they are in: ids are never deleted, so merges do not concern it, and an id that is
// new, as nearly all are, costs a line of memory for each generation instead of several for each
// run. A run is covered if all of its ids are in it. Runs of ids that counted up are not: an id
// beside them is told by their fences, and they would only cost memory and time.
//
// A generation is a filter like a table's, only larger, and does not change when it is full: the
// next one is as large as all before together, so there are as many as the number of ids has
// doublings. It says nothing on disk: at start, one generation is made from the tables of ids.
type identities struct {
	first       []byte // memory of the first generation, touched at start where load is expected
	memory      []byte // of the others
	usedBytes   uint64 // of memory, by generations
	touched     uint64 // bytes behind them that were touched for the next one
	generations [identityGenerationsMax]identityGeneration
	count       int
	idsFirst    uint64 // that the first generation has room for
	idsSum      uint64 // that all have room for
	hashes      [identityChunk]uint64
	sink        byte // so that loads are not optimised away
}

type identityGeneration struct {
	filter  []byte
	ids     uint64
	idsKept uint64 // room that memtables have reserved, ids that were added included
	idsMax  uint64
}

// newIdentities reserves memory for so many ids; beyond, runs are not covered.
func newIdentities(a *arena.Arena, l *limits.Limits, idsMax uint64) identities {
	idsFirst := 16 * uint64(l.MemtableRowsSeal)
	if l.TouchesMemoryAtStart() {
		idsFirst *= 8 // 16 MiB
	}
	idsFirst = max(idsFirst, 2*uint64(rowsMax(l))) // two memtables reserve room at a time
	const name = "filters"
	return identities{
		first:    a.BytesWith(identityBytes(idsFirst), 64, name, arena.Bulk(arena.Index, l.TouchesMemoryAtStart())),
		memory:   a.BytesWith(identityBytes(idsMax), 64, name, arena.Options{Class: arena.Index, HugePages: true}),
		idsFirst: idsFirst,
	}
}

// identityBytes is the size of the filter of a generation.
func identityBytes(ids uint64) uint64 {
	const idsPerBucket = table.FilterBucketBytes * 8 / identityBits
	return (ids + idsPerBucket - 1) / idsPerBucket * table.FilterBucketBytes
}

// reserve keeps room for so many ids in a generation. nil: there is no memory for them.
func (s *identities) reserve(ids uint64) *identityGeneration {
	if s.count > 0 {
		if g := &s.generations[s.count-1]; g.idsKept+ids <= g.idsMax {
			g.idsKept += ids
			return g
		}
	}
	idsMax := max(s.idsNext(), ids)
	bytes := identityBytes(idsMax)
	filter := s.first
	if s.count > 0 || bytes > uint64(len(s.first)) {
		if s.count == len(s.generations) || s.usedBytes+bytes > uint64(len(s.memory)) {
			return nil
		}
		filter = s.memory[s.usedBytes : s.usedBytes+bytes]
		s.usedBytes += bytes
	}
	g := &s.generations[s.count]
	*g = identityGeneration{filter: filter, idsKept: ids, idsMax: idsMax}
	s.count++
	s.idsSum += idsMax
	s.touched = 0
	return g
}

// idsNext is the room of the next generation.
func (s *identities) idsNext() uint64 { return max(s.idsFirst, s.idsSum) }

// open makes the first generation, for ids that are there at start, and room for a third as many
// more if there is memory for them. False: there is not even memory for these.
func (s *identities) open(ids uint64) bool {
	g := s.reserve(ids + ids/3)
	if g == nil {
		g = s.reserve(ids)
	}
	if g != nil {
		g.idsKept = ids
	}
	return g != nil
}

// add puts ids into a generation, where room was reserved for them.
func (s *identities) add(g *identityGeneration, ids []accounting.U128) {
	for len(ids) > 0 {
		part := ids[:min(len(ids), identityChunk)]
		for i, id := range part {
			s.hashes[i] = table.FilterHash(id.Hi, id.Lo)
		}
		s.addHashes(g, s.hashes[:len(part)])
		ids = ids[len(part):]
	}
}

// addHashes is add for up to identityChunk hashes of ids.
func (s *identities) addHashes(g *identityGeneration, hashes []uint64) {
	g.ids += uint64(len(hashes))
	assert.AtMost(g.ids, g.idsKept, "ids for which room was reserved")
	sum := byte(0)
	for _, hash := range hashes { // the lines are far away: all are asked for before one is waited for
		sum += table.FilterBucket(g.filter, hash)[0]
	}
	s.sink += sum
	for _, hash := range hashes {
		table.FilterAdd(g.filter, hash)
	}
	s.touch(g)
}

// touch has the next generation's memory faulted in, a little at a time, while the newest one's
// last quarter fills: its ids go all over it, so its pages would be missing all at once.
func (s *identities) touch(g *identityGeneration) {
	if 4*g.ids < 3*g.idsMax || g != &s.generations[s.count-1] {
		return
	}
	bytes := identityBytes(s.idsNext())
	part := uint64(float64(bytes) * float64(4*g.ids-3*g.idsMax) / float64(g.idsMax))
	next := s.memory[s.usedBytes:]
	for part = min(part, uint64(len(next))); s.touched < part; s.touched += identityPageBytes {
		next[s.touched] = 0
	}
}

// maybe moves the ids that a covered run may hold to the front, and returns how many they are.
func (s *identities) maybe(older []olderID) (count int) {
	for i := range older {
		older[i].maybe = false
	}
	for n := range s.generations[:s.count] {
		filter := s.generations[n].filter
		for i := range older {
			older[i].bucket = older[i].filter.Bucket(filter)
		}
		askBuckets(older, &s.sink)
		for i := range older {
			if o := &older[i]; o.filter.In(o.bucket) {
				o.maybe = true
			}
		}
	}
	for i := range older {
		if older[i].maybe {
			older[count], older[i] = older[i], older[count]
			count++
		}
	}
	return count
}

// askBuckets loads the buckets' lines of memory, each far away. They come before they are compared,
// in a loop so short that the processor looks through many of its turns and fetches their lines
// together; behind a branch on what was loaded, a wrong guess would wait for each.
func askBuckets(older []olderID, sink *byte) {
	sum := byte(0)
	for i := range older {
		sum += older[i].bucket[0]
	}
	*sink += sum
}

// identityFeed adds a memtable's ids to the filter of all ids, after each request those that came
// with it: their lines of memory were read just before, and may still be near.
type identityFeed struct {
	to   *identityGeneration // nil: its ids are not added
	rows uint32              // ids of rows that were added
	dead uint32              // the same, of dead ids
}

// identityFeedStep adds ids of a memtable, up to a limit; it comes between requests, so that no
// chain is open. all: they are in the filter.
func (f *Forest) identityFeedStep(m *memtable, idsMax uint32) (all bool) {
	feed := &m.feed
	if feed.to == nil {
		if m.idsOlder <= (m.rowsCount+m.deadCount)/identityOlderOf {
			return false
		}
		if feed.to = f.identities.reserve(uint64(rowsMax(&f.limits))); feed.to == nil {
			return false
		}
	}
	rows := min(idsMax, m.rowsCount-feed.rows)
	f.identities.add(feed.to, m.rowIDs[feed.rows:feed.rows+rows])
	feed.rows += rows
	dead := min(idsMax-rows, m.deadCount-feed.dead)
	f.identities.add(feed.to, m.dead[feed.dead:feed.dead+dead])
	feed.dead += dead
	return feed.rows == m.rowsCount && feed.dead == m.deadCount
}

// identityFeedBegin adds what has come since the request before, and tells what askIDs may rely on.
func (f *Forest) identityFeedBegin() {
	idsMax := 2 * eventsMax(&f.limits) // more than a request brings: a memtable whose first ids counted up catches up
	f.flushingFed = f.flushing != nil && f.identityFeedStep(f.flushing, idsMax)
	f.identityFeedStep(f.filling, idsMax)
}

// identityFeedEnd adds the rest of the memtable that was flushed: then its run is covered.
func (f *Forest) identityFeedEnd(m *memtable) {
	f.flushingFed = f.identityFeedStep(m, m.rowsCount+m.deadCount)
	if feed := &m.feed; feed.to != nil {
		feed.to.idsKept -= uint64(rowsMax(&f.limits) - feed.rows - feed.dead)
	}
}
