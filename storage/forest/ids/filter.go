package ids

import (
	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/storage/table"
)

const (
	// filterBits is the number of filter bits per id. A full generation lets about one new id in
	// 1,000 pass, which is then looked for run by run.
	filterBits = 16
	// generationsMax is more than the memory has room for, because each generation is as
	// large as all before it.
	generationsMax = 40
	// filterChunk is the number of ids that are added together.
	filterChunk = 64
	// touchBytes is the step at which memory is touched before it is used.
	touchBytes = 4096
)

// Filter is one filter over the ids in all runs of the tree of transfer ids. Ids are never
// deleted, and merges only move them between runs, so a merge does not change the filter. Nearly
// all ids are new. A new id costs one cache line per generation, instead of several per run.
//
// A run is covered if all of its ids are in the filter. Runs of ids that counted up are not
// covered. The fences of such a run tell that an id lies beside it, so adding its ids would only
// take memory and time.
//
// A generation is a filter like that of a table, but larger. It does not change any more when it is
// full. The next one is then as large as all before together, so the number of generations grows
// with the logarithm of the number of ids. The filter does not affect the data file.
//
// An opened checkpoint with many ids gets a generation of its own for those of them that are added
// in the background, beside a small one for those that are added before the first request and for
// new ids. So a start touches little memory.
type Filter struct {
	first       []byte // memory of the first generation; touched at start in production
	memory      []byte // memory of the other generations
	usedBytes   uint64 // of memory, by generations
	firstBytes  uint64 // of first, by the first generation: all or none
	touched     uint64 // bytes behind usedBytes that were touched for the next generation
	generations [generationsMax]generation
	count       int
	early, late *generation // of the ids of a checkpoint
	idsFirst    uint64      // room of the first generation
	idsFeed     uint64      // room that a memtable reserves
	idsSum      uint64      // room of all generations but late
	hashes      [filterChunk]uint64
	sink        byte // keeps the compiler from removing loads
}

type generation struct {
	filter  []byte
	ids     uint64
	idsKept uint64 // room that memtables have reserved, added ids included
	idsMax  uint64
}

// NewFilter reserves memory for idsMax ids. Runs with further ids are not covered.
//
// idsFeed: the largest number of ids of a memtable.
func NewFilter(a *arena.Arena, l *limits.Limits, idsMax, idsFeed uint64) Filter {
	idsFirst := 16 * uint64(l.MemtableRowsSeal)
	if l.TouchesMemoryAtStart() {
		idsFirst *= 8 // 16 MiB
	}
	idsFirst = max(idsFirst, 2*idsFeed) // two memtables can reserve room at the same time
	const name = "filters"
	return Filter{
		first:    a.BytesWith(filterBytes(idsFirst), 64, name, arena.Bulk(arena.Index, l.TouchesMemoryAtStart())),
		memory:   a.BytesWith(filterBytes(idsMax), 64, name, arena.Options{Class: arena.Index, HugePages: true}),
		idsFirst: idsFirst,
		idsFeed:  idsFeed,
	}
}

// filterBytes is the size of the filter of a generation for this many ids.
func filterBytes(ids uint64) uint64 {
	const idsPerBucket = table.FilterBucketBytes * 8 / filterBits
	return (ids + idsPerBucket - 1) / idsPerBucket * table.FilterBucketBytes
}

// reserve reserves room for ids in a generation. It returns nil if there is no memory for them.
func (f *Filter) reserve(ids uint64) *generation {
	if f.count > 0 {
		if g := &f.generations[f.count-1]; g.idsKept+ids <= g.idsMax {
			g.idsKept += ids
			return g
		}
	}
	idsMax := max(f.idsNext(), ids)
	g := f.begin(idsMax)
	if g != nil {
		g.idsKept = ids
		f.idsSum += idsMax
	}
	return g
}

// begin makes a generation. It returns nil if there is no memory for it.
func (f *Filter) begin(idsMax uint64) *generation {
	bytes := filterBytes(idsMax)
	filter := f.first
	if f.firstBytes > 0 || bytes > uint64(len(f.first)) {
		if f.count == len(f.generations) || f.usedBytes+bytes > uint64(len(f.memory)) {
			return nil
		}
		filter = f.memory[f.usedBytes : f.usedBytes+bytes]
		f.usedBytes += bytes
	} else {
		f.firstBytes = uint64(len(f.first))
	}
	g := &f.generations[f.count]
	*g = generation{filter: filter, idsMax: idsMax}
	f.count++
	f.touched = 0
	return g
}

// idsNext is the room of the next generation.
func (f *Filter) idsNext() uint64 { return max(f.idsFirst, f.idsSum) }

// Open makes room for the ids of a checkpoint, which a Loader then adds. It adds room for a third
// more late ids if there is memory for that, and returns this number. ok is false if there is not
// even memory for the ids.
//
// early: ids that are added before the first request; late: those that are added afterwards.
func (f *Filter) Open(early, late uint64) (room uint64, ok bool) {
	room = late / 3
	if ids := early + late; ids+room <= f.idsFirst {
		g := f.reserve(ids + room)
		f.early, f.late = g, g
		return room, g != nil
	}
	if late > 0 {
		if f.late = f.begin(late + room); f.late == nil {
			room = 0
			f.late = f.begin(late)
		}
		if f.late == nil {
			return 0, false
		}
		f.late.idsKept = f.late.idsMax // no room for new ids
	}
	if early > 0 {
		f.early = f.reserve(early)
		return room, f.early != nil
	}
	return room, true
}

// Memory is the memory of the late ids of a checkpoint, at most.
func (f *Filter) Memory(late uint64) []byte {
	bytes := filterBytes(late + late/3)
	if late <= f.idsFirst || bytes > uint64(len(f.memory)) {
		return nil
	}
	return f.memory[:bytes]
}

// add puts ids into a generation in which room was reserved for them.
func (f *Filter) add(g *generation, ids []accounting.U128) {
	for len(ids) > 0 {
		part := ids[:min(len(ids), filterChunk)]
		for i, id := range part {
			f.hashes[i] = table.FilterHash(id.Hi, id.Lo)
		}
		f.addHashes(g, f.hashes[:len(part)])
		ids = ids[len(part):]
	}
}

// addHashes is add for up to filterChunk hashes of ids.
func (f *Filter) addHashes(g *generation, hashes []uint64) {
	g.ids += uint64(len(hashes))
	assert.AtMost(g.ids, g.idsKept, "ids for which room was reserved")
	f.load(g, hashes)
	f.touch(g)
}

// load adds ids for which Open made room. An id may come twice.
func (f *Filter) load(g *generation, hashes []uint64) {
	sum := byte(0)
	for _, hash := range hashes { // the cache lines are distant: load all before using one
		sum += table.FilterBucket(g.filter, hash)[0]
	}
	f.sink += sum
	for _, hash := range hashes {
		table.FilterAdd(g.filter, hash)
	}
}

// touch makes the kernel map the next generation's memory, little by little, while the last quarter
// of the newest generation fills. Ids touch pages all over a filter, so without this all pages
// would fault at once.
func (f *Filter) touch(g *generation) {
	if 4*g.ids < 3*g.idsMax || g != &f.generations[f.count-1] {
		return
	}
	bytes := filterBytes(f.idsNext())
	part := uint64(float64(bytes) * float64(4*g.ids-3*g.idsMax) / float64(g.idsMax))
	next := f.memory[f.usedBytes:]
	for part = min(part, uint64(len(next))); f.touched < part; f.touched += touchBytes {
		next[f.touched] = 0
	}
}

// Generations is the number of filters that a lookup asks.
func (f *Filter) Generations() int { return f.count }

// Reset forgets all ids. It clears up to bytesMax bytes of memory, and has to be called until it
// returns false.
func (f *Filter) Reset(bytesMax uint64) (more bool) {
	f.count, f.idsSum, f.touched, f.early, f.late = 0, 0, 0, nil, nil
	memory, used := f.memory, &f.usedBytes
	if *used == 0 {
		memory, used = f.first, &f.firstBytes
	}
	part := min(*used, bytesMax)
	clear(memory[*used-part : *used])
	*used -= part
	return f.usedBytes+f.firstBytes > 0
}
