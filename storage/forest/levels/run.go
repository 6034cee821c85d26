package levels

import (
	"encoding/binary"
	"math/bits"

	"ledger/storage"
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
	filters []filterRef
	offset  uint32 // in the pool
}

// filterRef is where a table's filter lies. A lookup reads it instead of the table, which is many
// times as large: the references of a run stay in the processor's cache.
type filterRef struct {
	slot  uint32 // in the memory of filters, from 1; 0: no filter
	bytes uint32
}

func (l *tableList) count() int { return len(l.tables) }

// Run is the tables of one flush or one merge: disjoint, ascending.
type Run struct {
	tableList
	entries      uint64
	rows         uint64 // rows of the flushes that the run comes from: they pace the next merge
	ordinalFirst uint64 // postings: all ordinals of the run lie in [ordinalFirst, ordinalEnd)
	ordinalEnd   uint64

	// Of a run of transfer ids:
	covered  bool // all of its ids are in the filter of all ids
	wanted   bool // its ids are to be added to that filter, because the run overlapped others when it was opened
	early    bool // they are to be added before the first request
	covering bool // they are being added
}

// Count is the number of tables.
func (r *Run) Count() int { return len(r.tables) }

// Table returns a table, in the order of keys.
func (r *Run) Table(at int) *storage.Table { return &r.tables[at] }

// OrdinalFirst and OrdinalEnd bound the ordinals of a run of postings: all lie in [OrdinalFirst,
// OrdinalEnd).
func (r *Run) OrdinalFirst() uint64 { return r.ordinalFirst }

// OrdinalEnd is the upper bound.
func (r *Run) OrdinalEnd() uint64 { return r.ordinalEnd }

// KeyMax is the last key of the run.
func (r *Run) KeyMax() *storage.Key { return &r.tables[len(r.tables)-1].KeyMax }

// IsCovered tells whether all ids of a run of transfer ids are in the filter of all ids.
func (r *Run) IsCovered() bool { return r.covered }

// Search returns the index of the first table whose last key is at least key, or Count.
func (r *Run) Search(key *storage.Key) int { return r.search(key, fenceOf(key)) }

// reachesOver tells whether the keys of two runs overlap.
func (r *Run) reachesOver(other *Run) bool {
	return r.tables[0].KeyMin.Compare(other.KeyMax()) <= 0 && other.tables[0].KeyMin.Compare(r.KeyMax()) <= 0
}

// search returns the first table whose last key is at least key.
func (r *tableList) search(key *storage.Key, k fence) int {
	low, end := r.guess(k)
	low = r.bisect(k, low, end-low)
	// Fences hold 16 bytes of the key. Where fences are equal, the whole keys decide.
	for low < len(r.fences) && r.fences[low] == k && r.tables[low].KeyMax.Compare(key) < 0 {
		low++
	}
	return low
}

// guessReach is how far from its guess guess looks. Tables of a large run are not all full: the
// last table of each job of a merge seldom is.
const guessReach = 7

// guess bounds the first fence that is not below k: it lies in [low, end]. Random ids are spread
// evenly, so the fence is near the position that it would have if all tables held the same number
// of ids.
func (r *tableList) guess(k fence) (low, end int) {
	count := len(r.fences)
	high, _ := bits.Mul64(k.Hi, uint64(count))
	low, end = max(int(high)-guessReach, 0), min(int(high)+guessReach, count)
	if (low == 0 || r.fences[low-1].less(k)) && (end == count || !r.fences[end].less(k)) {
		return low, end
	}
	return 0, count
}

// bisect finds the first of count fences from low on that is not below k, without branches. A
// search with branches would mispredict half of them.
func (r *tableList) bisect(k fence, low, count int) int {
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
