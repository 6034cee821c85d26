package levels

import (
	"ledger/storage/forest/ids"
	"ledger/storage/table"
)

// AskMax is the number of ids that Ask takes. The lines of their filters are loaded together.
const AskMax = 64

// noBucket is the bucket of ids that lie above a run. No id passes it.
var noBucket [table.FilterBucketBytes]byte

// Asker is the place in a run of which a sorted batch of ids is asked. The zero Asker begins at the
// first table.
type Asker struct {
	at   int // the table of the id before
	sink byte
}

// Ask appends to out the indexes of those ids that the filters of a run of transfer ids let pass:
// all that the run holds, and few others. The ids may come in any order. Those that ascend cost
// least.
func (s *Levels) Ask(a *Asker, r *Run, batch []ids.BatchEntry, out []int) []int {
	var buckets [AskMax]*[table.FilterBucketBytes]byte
	at, sum := a.at, byte(0)
	for i := range batch {
		e := &batch[i]
		at = r.seek(fence{e.ID.Hi, e.ID.Lo}, at)
		buckets[i] = &noBucket
		if at < len(r.filters) {
			buckets[i] = (*[table.FilterBucketBytes]byte)(table.FilterBucket(s.filters.of(r.filters[at]), e.Hash))
		}
	}
	for i := range batch { // the cache lines are distant: load all before using one; see ids.LoadBuckets
		sum += buckets[i][0]
	}
	for i := range batch {
		if table.FilterPasses(buckets[i], batch[i].Hash) {
			out = append(out, batch[i].Index)
		}
	}
	a.at = at
	a.sink += sum
	return out
}

// seekSteps is the number of tables that seek walks before it searches.
const seekSteps = 4

// seek is search for a key of 16 bytes that probably lies near table at.
func (l *tableList) seek(k fence, at int) int {
	steps := 0
	for ; at > 0 && !l.fences[at-1].less(k) && steps < seekSteps; steps++ {
		at--
	}
	for ; at < len(l.fences) && l.fences[at].less(k) && steps < seekSteps; steps++ {
		at++
	}
	if (at == 0 || l.fences[at-1].less(k)) && (at == len(l.fences) || !l.fences[at].less(k)) {
		return at
	}
	low, end := l.guess(k)
	return l.bisect(k, low, end-low)
}
