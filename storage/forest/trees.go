package forest

import (
	"encoding/binary"
	"math/bits"

	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/forest/keys"
	"ledger/storage/table"
)

const (
	levelsMax  = storage.LevelsMax
	runsMax    = 128 // of a level: 32 that merge, 32 that wait, and many small flushes for checkpoints during a long merge
	runsMerged = storage.MergeRunsMax
)

// fence is the first 16 bytes of a table's last key, as two numbers.
type fence struct{ Hi, Lo uint64 }

func fenceOf(key *storage.Key) fence {
	return fence{binary.BigEndian.Uint64(key[0:]), binary.BigEndian.Uint64(key[8:])}
}

func (a fence) less(b fence) bool { return a.Hi < b.Hi || a.Hi == b.Hi && a.Lo < b.Lo }

// tableList is the tables of a run, in three parallel slices of the pool.
type tableList struct {
	tables  []storage.Table
	fences  []fence
	filters []uint32 // slots in the memory of filters, from 1; 0: no filter
	offset  uint32   // in the pool
}

func (l *tableList) count() int { return len(l.tables) }

// run is the tables of one flush or one merge: disjoint, ascending.
type run struct {
	tableList
	entries      uint64
	rows         uint64 // rows of the flushes that the run comes from: they pace the next merge
	ordinalFirst uint64 // postings: all ordinals of the run lie in [ordinalFirst, ordinalEnd)
	ordinalEnd   uint64
	covered      bool // transfer ids: all of them are in the filter of all ids
}

// merge is a merge under way: the oldest runs of a level become one run of the next level.
type merge struct {
	inputs      int // the oldest runs of the level; 0: no merge
	output      run // invisible until the merge has ended
	entriesLeft uint64
	entriesAll  uint64
	rowsAll     uint64
	credit      uint64 // entries that may be merged
	from        bool
	fromKey     storage.Key
}

// level holds runs, the oldest first.
type level struct {
	runs  []run
	merge merge
}

// tree is levels of runs. A deeper level is older.
type tree struct {
	id         storage.TreeID
	spec       storage.TreeSpec
	shape      table.Shape
	runsMerged int // a level that holds as many runs is merged
	levels     [levelsMax]level
	ordered    []*run // all visible runs, the oldest first
	runsCount  int
}

// order rebuilds the list of visible runs. It must be called after every change of levels.
func (t *tree) order() {
	t.ordered = t.ordered[:0]
	for i := levelsMax - 1; i >= 0; i-- {
		for j := range t.levels[i].runs {
			t.ordered = append(t.ordered, &t.levels[i].runs[j])
		}
	}
	t.runsCount = len(t.ordered)
}

// search returns the first table whose last key is at least key.
func (r *tableList) search(key *storage.Key, k fence) int {
	low, ok := r.guess(k)
	if !ok {
		low = r.bisect(k)
	}
	// Fences hold 16 bytes of the key. Where fences are equal, the whole keys decide.
	for low < len(r.fences) && r.fences[low] == k && r.tables[low].KeyMax.Compare(key) < 0 {
		low++
	}
	return low
}

// guess looks at the position that the fence would have if keys were spread evenly, and at its
// neighbours. Random ids are spread evenly, so this finds them in a run of any length.
func (r *tableList) guess(k fence) (at int, ok bool) {
	count := len(r.fences)
	if count == 0 {
		return 0, false
	}
	high, _ := bits.Mul64(k.Hi, uint64(count))
	at = int(high)
	if r.fences[at].less(k) {
		at++
		return at, at == count || !r.fences[at].less(k)
	}
	if at == 0 || r.fences[at-1].less(k) {
		return at, true
	}
	at--
	return at, at == 0 || r.fences[at-1].less(k)
}

// bisect finds the first fence that is not below k, without branches. A search with branches would
// mispredict half of them.
func (r *tableList) bisect(k fence) int {
	low, count := 0, len(r.fences)
	for count > 0 {
		half := (count + 1) / 2
		at := r.fences[low+half-1]
		_, less := bits.Sub64(at.Lo, k.Lo, 0)
		_, less = bits.Sub64(at.Hi, k.Hi, less)
		low += half & -int(less)
		count -= half
	}
	return low
}

// treeFind looks for key from the newest run to the oldest and fills value. It returns false if
// there is no such key, or if the newest entry is a removal.
func (f *Forest) treeFind(id storage.TreeID, key *storage.Key, value []byte) bool {
	t := &f.trees[id]
	k := fenceOf(key)
	var filter table.FilterKey
	if t.spec.Filter {
		filter = table.FilterKeyOf(key)
	}
	for i := len(t.ordered) - 1; i >= 0; i-- {
		r := t.ordered[i]
		if last := len(r.fences) - 1; r.fences[last].less(k) {
			continue
		}
		at := r.search(key, k)
		if at == len(r.tables) || r.tables[at].KeyMin.Compare(key) > 0 {
			continue
		}
		if t.spec.Filter && !filter.Has(f.filters.of(r.filters[at], r.tables[at].Entries, &t.shape)) {
			continue
		}
		if found, tombstone := f.tableFind(t, &r.tables[at], key, value); found {
			return !tombstone
		}
	}
	return false
}

// tableFind looks for key in one table.
func (f *Forest) tableFind(t *tree, tab *storage.Table, key *storage.Key, value []byte) (found, tombstone bool) {
	number := t.shape.PageFind(block.HeaderPage(f.pages.Page(tab.Ref, 0)), key)
	page := f.pages.Page(tab.Ref, number)
	index, exact := t.shape.Search(page, key)
	if !exact {
		return false, false
	}
	copy(value, t.shape.Value(page, index))
	return true, t.spec.Tombstones && t.shape.Tombstone(page, index)
}

// tablePool is the memory of the lists of all runs. Each list is a slice whose capacity is a power
// of two. Lists are cut from three parallel arrays.
type tablePool struct {
	tables  []storage.Table
	fences  []fence
	filters []uint32
	used    uint64
	free    [40][]uint32 // offsets of free lists, by class: the logarithm of the capacity
}

func newTablePool(a *arena.Arena, capacity uint64) *tablePool {
	const name = "manifest"
	index := arena.Options{Class: arena.Index}
	p := &tablePool{
		tables:  arena.SliceWith[storage.Table](a, capacity, name, index),
		fences:  arena.SliceWith[fence](a, capacity, name, index),
		filters: arena.SliceWith[uint32](a, capacity, name, index),
	}
	for class := range p.free {
		p.free[class] = make([]uint32, 0, 1024) // hardly ever are more lists of a class free at once
	}
	return p
}

// grow gives a list room for one more table and keeps its content. It returns false if the pool is
// full.
func (p *tablePool) grow(l *tableList) bool {
	class := 0
	for 1<<class <= cap(l.tables) {
		class++
	}
	size := uint64(1) << class
	var offset uint64
	if free := p.free[class]; len(free) > 0 {
		offset = uint64(free[len(free)-1])
		p.free[class] = free[:len(free)-1]
	} else {
		if p.used+size > uint64(len(p.tables)) {
			return false
		}
		offset = p.used
		p.used += size
	}
	bigger := tableList{
		tables:  p.tables[offset : offset : offset+size],
		fences:  p.fences[offset : offset : offset+size],
		filters: p.filters[offset : offset : offset+size],
		offset:  uint32(offset),
	}
	bigger.tables = append(bigger.tables, l.tables...)
	bigger.fences = append(bigger.fences, l.fences...)
	bigger.filters = append(bigger.filters, l.filters...)
	p.release(l)
	*l = bigger
	return true
}

// release gives a list's memory back.
func (p *tablePool) release(l *tableList) {
	if cap(l.tables) > 0 {
		class := 0
		for 1<<class < cap(l.tables) {
			class++
		}
		p.free[class] = append(p.free[class], l.offset)
	}
	*l = tableList{}
}

// tableAppend adds a table to a list.
func (f *Forest) tableAppend(l *tableList, t *storage.Table, filter uint32) {
	if len(l.tables) == cap(l.tables) && !f.pool.grow(l) {
		f.pages.Fail(&storage.Fault{What: storage.FaultStorageLimit,
			Reason: "the manifest is full: the data file holds more tables than this release supports"})
	}
	l.tables = append(l.tables, *t)
	l.fences = append(l.fences, fenceOf(&t.KeyMax))
	l.filters = append(l.filters, filter)
}

// filterPool is the memory of filters. A slot holds the largest filter of a table.
type filterPool struct {
	memory    []byte
	slotBytes uint64
	used      uint32
	free      []uint32
}

func newFilterPool(a *arena.Arena, slotBytes uint64, slots uint64) filterPool {
	memory := a.BytesWith(slotBytes*slots, 64, "filters", arena.Options{Class: arena.Index, HugePages: true})
	return filterPool{memory: memory, slotBytes: slotBytes, free: make([]uint32, 0, 1<<16)}
}

// get takes a slot. It returns 0 if none is left.
func (p *filterPool) get() uint32 {
	if n := len(p.free); n > 0 {
		slot := p.free[n-1]
		p.free = p.free[:n-1]
		return slot
	}
	if uint64(p.used+1)*p.slotBytes > uint64(len(p.memory)) {
		return 0
	}
	p.used++
	return p.used
}

func (p *filterPool) put(slot uint32) {
	if slot != 0 {
		p.free = append(p.free, slot)
	}
}

func (p *filterPool) slot(slot uint32) []byte {
	assert.That(slot > 0, "a filter has a slot")
	start := uint64(slot-1) * p.slotBytes
	return p.memory[start : start+p.slotBytes]
}

// of returns a table's filter.
func (p *filterPool) of(slot uint32, entries uint32, shape *table.Shape) []byte {
	start := uint64(slot-1) * p.slotBytes
	return p.memory[start : start+uint64(shape.FilterBytes(entries))]
}

// accountAtStamp returns the ordinal of the first account with at least this timestamp. If there is
// none, it returns the next ordinal.
func (f *Forest) accountAtStamp(timestamp uint64) uint64 {
	for _, m := range [2]*memtable{f.filling, f.flushing} {
		if m == nil || m.createdCount == 0 {
			continue
		}
		if m.created[0].Timestamp > timestamp && m.accountsFirst > 0 {
			continue // an account before this memtable may match
		}
		low, high := uint32(0), m.createdCount
		for low < high {
			middle := (low + high) / 2
			if m.created[middle].Timestamp < timestamp {
				low = middle + 1
			} else {
				high = middle
			}
		}
		return uint64(m.accountsFirst) + uint64(low)
	}
	key := keys.Number(timestamp)
	c := &f.stampCursor
	for _, r := range f.trees[storage.TreeAccountStamp].ordered { // disjoint runs: accounts come in order of timestamps
		c.open(f, storage.TreeAccountStamp, r)
		if c.seek(&key); !c.valid {
			continue
		}
		found := c.key
		var value [4]byte
		ok := f.treeFind(storage.TreeAccountStamp, &found, value[:])
		assert.That(ok, "a key that a cursor found is in its tree")
		return uint64(binary.LittleEndian.Uint32(value[:]))
	}
	return uint64(f.accountsFlushed())
}

// accountsFlushed is the number of accounts that are in the trees.
func (f *Forest) accountsFlushed() accounting.AccountOrdinal {
	if f.flushing != nil {
		return f.flushing.accountsFirst
	}
	return f.filling.accountsFirst
}

// transfersFlushed is the number of transfers whose ids and postings are in the trees. The rows of
// the last ones may still be in the carried tail.
func (f *Forest) transfersFlushed() accounting.TransferOrdinal {
	if f.flushing != nil {
		return f.flushing.transfersFirst
	}
	return f.filling.transfersFirst
}

// accountStamp is the timestamp of an account.
func (f *Forest) accountStamp(ordinal accounting.AccountOrdinal) uint64 {
	entry := f.cache.find(ordinal)
	if entry == noEntry {
		entry = f.accountLoad(ordinal)
	}
	return f.cache.accounts[entry].Timestamp
}
