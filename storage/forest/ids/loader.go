package ids

import (
	"slices"

	"ledger/internal/arena"
)

const (
	partsCount = 256
	partIDs    = 4096
)

// Loader adds many ids to the filter. Added in the order in which they come, each id would
// touch another page of memory and miss the TLB. So ids are gathered by 256 parts of the filter,
// and a part takes its ids together.
type Loader struct {
	to     *Filter
	hashes []uint64 // lists of partIDs
	counts [partsCount]uint64
}

// NewLoader returns a loader for the first generation of a filter.
func NewLoader(memory *arena.Arena, to *Filter) Loader {
	return Loader{to: to, hashes: arena.Slice[uint64](memory, partsCount*partIDs, "open")}
}

// Add adds hashes of ids, now or at the end.
func (l *Loader) Add(hashes []uint64) {
	for _, hash := range hashes {
		part := hash >> 56 // a bucket's position ascends with the hash
		at := l.counts[part]
		l.hashes[part*partIDs+at] = hash
		l.counts[part]++
		if at+1 == partIDs {
			l.empty(part)
		}
	}
}

func (l *Loader) empty(part uint64) {
	for chunk := range slices.Chunk(l.hashes[part*partIDs:][:l.counts[part]], filterChunk) {
		l.to.addHashes(&l.to.generations[0], chunk)
	}
	l.counts[part] = 0
}

// End adds what is left.
func (l *Loader) End() {
	for part := range uint64(partsCount) {
		l.empty(part)
	}
}
