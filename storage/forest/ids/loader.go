package ids

import (
	"slices"

	"ledger/internal/arena"
)

const (
	partsCount = 256
	partIDs    = 4096
)

// Loader adds the many ids of a checkpoint to the filter. Added in the order in which they
// come, each id would touch another page of memory and miss the TLB. So ids are gathered by 256
// parts of the filter, and a part takes its ids together.
type Loader struct {
	to     *Filter
	into   *generation
	hashes []uint64 // lists of partIDs
	counts [partsCount]uint64
	next   uint64 // parts before it are empty once Empty is called
}

// NewLoader reserves the memory of a loader.
func NewLoader(a *arena.Arena, to *Filter) Loader {
	return Loader{to: to, hashes: arena.SliceWith[uint64](a, partsCount*partIDs, "opening", arena.Options{Class: arena.Index})}
}

// Begin says to which ids those belong that are added next: the early ones, or the late ones.
func (l *Loader) Begin(isEarly bool) {
	if l.into = l.to.late; isEarly {
		l.into = l.to.early
	}
}

// Add gathers hashes of ids. They are in the filter when Empty has returned false.
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
	l.next = 0
}

func (l *Loader) empty(part uint64) {
	for chunk := range slices.Chunk(l.hashes[part*partIDs:][:l.counts[part]], filterChunk) {
		l.to.load(l.into, chunk)
	}
	l.counts[part] = 0
}

// Empty adds the ids of one part that were gathered. It returns false if there are no more.
func (l *Loader) Empty() (more bool) {
	for ; l.next < partsCount; l.next++ {
		if l.counts[l.next] > 0 {
			l.empty(l.next)
			return true
		}
	}
	return false
}

// Drop forgets the ids that were gathered.
func (l *Loader) Drop() { l.counts, l.next = [partsCount]uint64{}, 0 }
