package forest

import (
	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/storage/table"
)

const (
	// identityBits is the number of filter bits per id. A full generation lets about one new id in
	// 1,000 pass, which is then looked for run by run.
	identityBits = 16
	// identityGenerationsMax is more than the memory has room for, because each generation is as
	// large as all before it.
	identityGenerationsMax = 40
	// identityChunk is the number of ids that are added together.
	identityChunk = 64
	// identityOlderOf: a memtable's ids are added if more than one in identityOlderOf was not above
	// all ids before it.
	identityOlderOf = 64
	// identityPageBytes is the step at which memory is touched before it is used.
	identityPageBytes = 4096
)

// identities is one filter over the ids in all runs of the tree of transfer ids. Ids are never
// deleted, and merges only move them between runs, so a merge does not change the filter. Nearly
// all ids are new. A new id costs one cache line per generation, instead of several per run.
//
// A run is covered if all of its ids are in the filter. Runs of ids that counted up are not
// covered. The fences of such a run tell that an id lies beside it, so adding its ids would only
// take memory and time.
//
// A generation is a filter like that of a table, but larger. It does not change any more when it is
// full. The next one is then as large as all before together, so the number of generations grows
// with the logarithm of the number of ids. The filter does not affect the data file. A start builds
// one generation from the tables of ids.
type identities struct {
	first       []byte // memory of the first generation; touched at start in production
	memory      []byte // memory of the other generations
	usedBytes   uint64 // of memory, by generations
	touched     uint64 // bytes behind usedBytes that were touched for the next generation
	generations [identityGenerationsMax]identityGeneration
	count       int
	idsFirst    uint64 // room of the first generation
	idsSum      uint64 // room of all generations
	hashes      [identityChunk]uint64
	sink        byte // keeps the compiler from removing loads
}

type identityGeneration struct {
	filter  []byte
	ids     uint64
	idsKept uint64 // room that memtables have reserved, added ids included
	idsMax  uint64
}

// newIdentities reserves memory for idsMax ids. Runs with further ids are not covered.
func newIdentities(a *arena.Arena, l *limits.Limits, idsMax uint64) identities {
	idsFirst := 16 * uint64(l.MemtableRowsSeal)
	if l.TouchesMemoryAtStart() {
		idsFirst *= 8 // 16 MiB
	}
	idsFirst = max(idsFirst, 2*uint64(l.MemtableRowsMax())) // two memtables can reserve room at the same time
	const name = "filters"
	return identities{
		first:    a.BytesWith(identityBytes(idsFirst), 64, name, arena.Bulk(arena.Index, l.TouchesMemoryAtStart())),
		memory:   a.BytesWith(identityBytes(idsMax), 64, name, arena.Options{Class: arena.Index, HugePages: true}),
		idsFirst: idsFirst,
	}
}

// identityBytes is the size of the filter of a generation for this many ids.
func identityBytes(ids uint64) uint64 {
	const idsPerBucket = table.FilterBucketBytes * 8 / identityBits
	return (ids + idsPerBucket - 1) / idsPerBucket * table.FilterBucketBytes
}

// reserve reserves room for ids in a generation. It returns nil if there is no memory for them.
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

// open makes the first generation for the ids that exist at start. It adds room for a third more if
// there is memory for that. It returns false if there is not even memory for the ids.
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

// add puts ids into a generation in which room was reserved for them.
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
	for _, hash := range hashes { // the cache lines are distant: load all before using one
		sum += table.FilterBucket(g.filter, hash)[0]
	}
	s.sink += sum
	for _, hash := range hashes {
		table.FilterAdd(g.filter, hash)
	}
	s.touch(g)
}

// touch makes the kernel map the next generation's memory, little by little, while the last quarter
// of the newest generation fills. Ids touch pages all over a filter, so without this all pages
// would fault at once.
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

// maybe moves the ids that a covered run may hold to the front and returns their number.
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

// askBuckets loads the buckets' cache lines, which are all distant, before they are compared. The
// loop is so short that the processor looks ahead over many turns and fetches their lines together.
// If the loop also branched on the loaded bytes, each misprediction would wait for its line.
func askBuckets(older []olderID, sink *byte) {
	sum := byte(0)
	for i := range older {
		sum += older[i].bucket[0]
	}
	*sink += sum
}

// identityFeed is the progress of adding a memtable's ids to the filter of all ids. The ids of a
// request are added after it. Their cache lines were read just before and may still be in the
// cache.
type identityFeed struct {
	to   *identityGeneration // nil: the ids are not added
	rows uint32              // ids of rows that were added
	dead uint32              // dead ids that were added
}

// identityFeedStep adds up to idsMax ids of a memtable. It runs between requests, when no chain is
// open. all: all ids of the memtable are in the filter.
func (f *Forest) identityFeedStep(m *memtable, idsMax uint32) (all bool) {
	feed := &m.feed
	if feed.to == nil {
		if m.idsOlder <= (m.rowsCount+m.deadCount)/identityOlderOf {
			return false
		}
		if feed.to = f.identities.reserve(uint64(f.limits.MemtableRowsMax())); feed.to == nil {
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

// identityFeedBegin adds the ids that have come since the previous request. It tells askIDs whether
// the flushing memtable is in the filter.
func (f *Forest) identityFeedBegin() {
	idsMax := 2 * f.limits.OpEventsMax() // more than one request brings, so that a late start catches up
	f.flushingFed = f.flushing != nil && f.identityFeedStep(f.flushing, idsMax)
	f.identityFeedStep(f.filling, idsMax)
}

// identityFeedEnd adds the remaining ids of a memtable that was flushed. After that its run is
// covered.
func (f *Forest) identityFeedEnd(m *memtable) {
	f.flushingFed = f.identityFeedStep(m, m.rowsCount+m.deadCount)
	if feed := &m.feed; feed.to != nil {
		feed.to.idsKept -= uint64(f.limits.MemtableRowsMax() - feed.rows - feed.dead)
	}
}
