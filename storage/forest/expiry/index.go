package expiry

import (
	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/hashing"
	"ledger/limits"
	"ledger/storage/forest/keys"
	"ledger/storage/forest/levels"
	"ledger/storage/forest/pages"
)

// ahead is the read-ahead distance of expiries, in rows. One expiry takes about a microsecond and
// the read of a page about a hundred, so the read starts hundreds of rows before the row's turn.
// There are two distances because the first request may only read the table's header page; the
// second then reads the row's page.
var ahead = [...]uint32{512, 256}

// change is one change within a chain, with the data that reverts it.
type change struct {
	index uint32
	kind  changeKind
}

// changeKind of a change.
type changeKind uint8

const (
	changeAdd    changeKind = iota + 1
	changeCancel            // an add of the filling part was cancelled
	changeRemove
)

// Index is the index. It belongs to one thread.
type Index struct {
	levels   *levels.Levels
	pages    *pages.Reader
	parts    [2]Part
	filling  *Part
	flushing *Part // nil, or one of parts
	window   window

	chainOpen bool
	changes   []change // of the open chain
	count     int      // of changes
}

// New reserves all memory and returns an empty index.
func New(l *limits.Limits, a *arena.Arena, key *hashing.Key, p *pages.Reader, trees *levels.Levels) *Index {
	x := &Index{
		levels: trees, pages: p,
		parts:   [2]Part{newPart(l, a, key), newPart(l, a, key)},
		window:  newWindow(a, l),
		changes: make([]change, 2*(l.OpEventsMax()+1)), // an event adds or removes one expiry
	}
	x.filling = &x.parts[0]
	return x
}

// Part returns the part of a memtable: 0 fills first, and then they take turns.
func (x *Index) Part(number int) *Part { return &x.parts[number] }

// NarrowWindow makes the window smaller. Tests use it, so that the window is filled more often.
func (x *Index) NarrowWindow(keys int) { x.window.keys = x.window.keys[:keys] }

// Reset makes the index empty.
func (x *Index) Reset() {
	for i := range x.parts {
		x.parts[i].begin()
	}
	x.filling, x.flushing = &x.parts[0], nil
	x.chainOpen, x.count = false, 0
	x.window.reset()
}

// Seal makes the filling part the flushing one.
func (x *Index) Seal() {
	assert.That(x.flushing == nil, "the flush before is installed")
	x.filling.seal()
	x.flushing = x.filling
	x.filling = &x.parts[0]
	if x.filling == x.flushing {
		x.filling = &x.parts[1]
	}
	x.filling.begin()
}

// Flushed tells that the tree has the entries of the flushing part.
func (x *Index) Flushed() {
	if x.flushing.EntriesCount() > 0 {
		x.window.invalidate(x.flushing.least())
	}
	x.flushing = nil
}

func (x *Index) note(kind changeKind, index uint32) {
	if x.chainOpen {
		x.changes[x.count] = change{index, kind}
		x.count++
	}
}

// Add adds the expiry of a transfer.
func (x *Index) Add(expiresAtNs uint64, ordinal accounting.TransferOrdinal) {
	x.filling.add(keys.Expiry{AtNs: expiresAtNs, Ordinal: ordinal})
	x.note(changeAdd, 0)
}

// Remove removes the expiry of a transfer.
func (x *Index) Remove(expiresAtNs uint64, ordinal accounting.TransferOrdinal) {
	if index, ok := x.filling.addOf.Find(uint64(ordinal)); ok {
		x.filling.adds[index].Removed = true
		x.note(changeCancel, index)
		return
	}
	x.filling.remove(keys.Expiry{AtNs: expiresAtNs, Ordinal: ordinal})
	x.note(changeRemove, 0)
}

// ChainOpen begins a chain.
func (x *Index) ChainOpen() { x.chainOpen, x.count = true, 0 }

// ChainCommit keeps the changes of the chain.
func (x *Index) ChainCommit() { x.chainOpen = false }

// ChainRollback reverts the changes of the chain, the last one first. So every table and list
// shrinks in the reverse order of its growth and ends exactly as it was.
func (x *Index) ChainRollback() {
	x.chainOpen = false
	for ; x.count > 0; x.count-- {
		switch c := x.changes[x.count-1]; c.kind {
		case changeAdd:
			x.filling.undoAdd()
		case changeCancel:
			x.filling.adds[c.index].Removed = false
			x.filling.restore(c.index)
		case changeRemove:
			x.undoRemove()
		default:
			assert.That(false, "the kind of a change is known")
		}
	}
}

func (x *Index) undoRemove() {
	key := x.filling.undoRemove()
	if p := x.flushing; p != nil {
		if index, ok := p.addOf.Find(uint64(key.Ordinal)); ok {
			p.restore(index)
			return
		}
	}
	x.window.invalidate(key) // First may have moved the window past this key
}

// First returns the least live expiry.
func (x *Index) First() (expiresAtNs uint64, ordinal accounting.TransferOrdinal, ok bool) {
	best := keys.ExpiryMax
	p := x.filling
	for p.heapCount > 0 && p.adds[p.heap[0].add].Removed {
		p.heapPop()
	}
	if p.heapCount > 0 {
		best, ok = p.heap[0].Expiry, true
	}
	if p := x.flushing; p != nil {
		for p.heapCount > 0 && (p.adds[p.heap[0].add].Removed || x.isRemoved(p.heap[0].Ordinal)) {
			p.heapPop()
		}
		if p.heapCount > 0 && p.heap[0].Less(best) {
			best, ok = p.heap[0].Expiry, true
		}
	}
	if x.windowFirst() && x.window.keys[x.window.at].Less(best) {
		best, ok = x.window.keys[x.window.at], true
	}
	if !ok {
		return 0, 0, false
	}
	return best.AtNs, best.Ordinal, true
}

// isRemoved tells whether a part holds a removal for an expiry of the tree or of an older part.
func (x *Index) isRemoved(ordinal accounting.TransferOrdinal) bool {
	return x.filling.removed(ordinal) || x.flushing != nil && x.flushing.removed(ordinal)
}

// Removal returns the place of a removal among those of the filling part.
//
// A pulse first removes all expiries that are due, and then reads their transfers in the same
// order. So the removals behind tell the transfers that come next.
func (x *Index) Removal(ordinal accounting.TransferOrdinal) (index uint32, ok bool) {
	return x.filling.removeOf.Find(uint64(ordinal))
}

// Passes is the number of passes of Ahead.
func (x *Index) Passes() int { return len(ahead) }

// Ahead returns the next transfer whose row should be read while the pulse is at the removal of
// index. It names each transfer once in each pass; ok is false if the pass is far enough ahead.
func (x *Index) Ahead(pass int, index uint32) (next accounting.TransferOrdinal, ok bool) {
	p := x.filling
	warmed := &p.removesWarmed[pass]
	*warmed = max(*warmed, index+1)
	if *warmed >= min(index+ahead[pass], p.removesCount) {
		return 0, false
	}
	next = p.removes[*warmed].Ordinal
	*warmed++
	return next, true
}
