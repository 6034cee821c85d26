package ids

import (
	"ledger/accounting"
	"ledger/storage"
	"ledger/storage/table"
)

// Candidate is an id of a batch that is not above all stored ids, so the trees may hold it.
type Candidate struct {
	Index  int // in the batch
	ID     accounting.U128
	Key    storage.Key // of the tree
	Filter table.FilterKey
	Bucket []byte // of the filter that is asked; LoadBuckets loads it
	maybe  bool   // some covered run may hold the id
}

// Maybe moves the ids that a covered run may hold to the front and returns their number.
func (f *Filter) Maybe(candidates []Candidate) (count int) {
	for i := range candidates {
		candidates[i].maybe = false
	}
	for n := range f.generations[:f.count] {
		filter := f.generations[n].filter
		for i := range candidates {
			candidates[i].Bucket = candidates[i].Filter.Bucket(filter)
		}
		LoadBuckets(candidates, &f.sink)
		for i := range candidates {
			if c := &candidates[i]; c.Filter.In(c.Bucket) {
				c.maybe = true
			}
		}
	}
	for i := range candidates {
		if candidates[i].maybe {
			candidates[count], candidates[i] = candidates[i], candidates[count]
			count++
		}
	}
	return count
}

// LoadBuckets loads the buckets' cache lines, which are all distant, before they are compared. The
// loop is so short that the processor looks ahead over many turns and fetches their lines together.
// If the loop also branched on the loaded bytes, each misprediction would wait for its line.
func LoadBuckets(candidates []Candidate, sink *byte) {
	sum := byte(0)
	for i := range candidates {
		sum += candidates[i].Bucket[0]
	}
	*sink += sum
}
