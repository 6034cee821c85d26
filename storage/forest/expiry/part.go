package expiry

import (
	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/hashing"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/forest/ids"
	"ledger/storage/forest/keys"
)

// added is a call of Add.
type added struct {
	keys.Expiry
	Removed bool // removed again within the same part: nothing of it reaches the disk
	InHeap  bool
	_       [6]byte
}

// heapItem is an add in the heap, with a copy of its key. The adds themselves are spread over
// memory.
type heapItem struct {
	keys.Expiry
	add uint32
	_   uint32
}

// Part is what one memtable has of the index. After its Seal it does not change until it is
// flushed, apart from its heap.
type Part struct {
	adds          []added
	addsCount     uint32
	addOf         ids.Numbers // transfer ordinal -> adds
	live          []uint32    // at the seal: adds that were not taken back
	liveCount     uint32
	heap          []heapItem // adds by key
	heapCount     uint32
	removes       []keys.Expiry // expiries that earlier parts added
	removesCount  uint32
	removeOf      ids.Numbers        // transfer ordinal -> removes
	removesWarmed [len(ahead)]uint32 // Ahead has named the removes before these
}

func newPart(l *limits.Limits, a *arena.Arena, key *hashing.Key) Part {
	const name = "memtables"
	rows := l.MemtableRowsMax()
	bulk, first := arena.Bulk(arena.Table, true), rows
	if !l.TouchesMemoryAtStart() {
		bulk, first = arena.Bulk(arena.Table, false), max(1, l.MemtableRowsSeal/4)
	}
	return Part{
		adds:     arena.SliceWith[added](a, uint64(rows), name, bulk),
		addOf:    ids.NewNumbers(a, key, first, rows, name, bulk),
		live:     arena.SliceWith[uint32](a, uint64(rows), name, bulk),
		heap:     arena.SliceWith[heapItem](a, uint64(rows), name, bulk),
		removes:  arena.SliceWith[keys.Expiry](a, uint64(rows), name, bulk),
		removeOf: ids.NewNumbers(a, key, first, rows, name, bulk),
	}
}

// begin empties the part.
func (p *Part) begin() {
	p.addOf.Reset(p.addOrdinal)
	p.removeOf.Reset(p.removeOrdinal)
	p.addsCount, p.heapCount, p.removesCount, p.liveCount = 0, 0, 0, 0
	p.removesWarmed = [len(ahead)]uint32{}
}

// seal lists the adds that reach the disk.
func (p *Part) seal() {
	p.liveCount = 0
	for i := range p.addsCount {
		if !p.adds[i].Removed {
			p.live[p.liveCount] = i
			p.liveCount++
		}
	}
}

// Ordinals of the entries, for the number tables.
func (p *Part) addOrdinal(i uint32) uint64    { return uint64(p.adds[i].Ordinal) }
func (p *Part) removeOrdinal(i uint32) uint64 { return uint64(p.removes[i].Ordinal) }

// RemovesCount is the number of expiries of older parts that this part removes.
func (p *Part) RemovesCount() uint32 { return p.removesCount }

// EntriesCount is the number of entries that a sealed part brings into the tree.
func (p *Part) EntriesCount() uint32 { return p.liveCount + p.removesCount }

// Entry returns an entry of a sealed part: first the adds, then the removals.
func (p *Part) Entry(index uint32) (key storage.Key, tombstone bool) {
	if index < p.liveCount {
		return keys.OfExpiry(p.adds[p.live[index]].Expiry), false
	}
	return keys.OfExpiry(p.removes[index-p.liveCount]), true
}

// least is the least expiry that a sealed part brings into the tree.
func (p *Part) least() keys.Expiry {
	low := keys.ExpiryMax
	for _, index := range p.live[:p.liveCount] {
		if p.adds[index].Less(low) {
			low = p.adds[index].Expiry
		}
	}
	return low
}

// add adds an expiry.
func (p *Part) add(expiry keys.Expiry) {
	index := p.addsCount
	p.addsCount++
	p.adds[index] = added{Expiry: expiry}
	if p.addOf.Full() {
		p.addOf.Grow(p.addOrdinal)
	}
	p.addOf.Insert(uint64(expiry.Ordinal), index)
	p.heapPush(index)
}

// undoAdd takes back the last add.
func (p *Part) undoAdd() {
	p.addsCount--
	index := p.addsCount
	p.addOf.RemoveLast(uint64(p.adds[index].Ordinal))
	if p.adds[index].InHeap {
		p.heapDelete(index)
	}
}

// remove notes the removal of an expiry that an older part added.
func (p *Part) remove(expiry keys.Expiry) {
	index := p.removesCount
	p.removesCount++
	p.removes[index] = expiry
	if p.removeOf.Full() {
		p.removeOf.Grow(p.removeOrdinal)
	}
	p.removeOf.Insert(uint64(expiry.Ordinal), index)
}

// undoRemove takes back the last removal.
func (p *Part) undoRemove() keys.Expiry {
	p.removesCount--
	key := p.removes[p.removesCount]
	p.removeOf.RemoveLast(uint64(key.Ordinal))
	return key
}

// removed tells whether the part removes an expiry of an older one.
func (p *Part) removed(ordinal accounting.TransferOrdinal) bool {
	_, ok := p.removeOf.Find(uint64(ordinal))
	return ok
}

// restore puts an add back that First has taken off the heap.
func (p *Part) restore(index uint32) {
	if !p.adds[index].InHeap {
		p.heapPush(index)
	}
}
