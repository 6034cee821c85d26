package forest

import (
	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
)

// window is the front of the expiry tree: its smallest live keys, as many as fit, in order. Any number of expiries may be open; the
// window is read again from the tree when it is used up. It is a view: dropping it (valid = false) is always right.
type window struct {
	valid   bool
	all     bool      // the tree holds no live key behind the window
	low     expiryKey // no live key of the tree is smaller
	next    expiryKey // where to read on
	keys    []expiryKey
	at      uint32 // the first key that may be live
	count   uint32
	cursors []cursor
}

func newWindow(a *arena.Arena, l *limits.Limits) window {
	w := window{
		keys:    arena.Slice[expiryKey](a, uint64(eventsMax(l)), "expiry window"),
		cursors: make([]cursor, levelsMax*runsMax),
	}
	for i := range w.cursors {
		w.cursors[i] = newCursor()
	}
	return w
}

// invalidate forgets the window's keys; none below low is live, nor below what the window knew.
func (w *window) invalidate(low expiryKey) {
	if w.valid {
		switch {
		case w.at < w.count:
			w.low = w.keys[w.at]
		case w.all:
			w.low = low
		default:
			w.low = w.next
		}
	}
	if low.less(w.low) {
		w.low = low
	}
	w.valid = false
}

var expiryKeyMax = expiryKey{^uint64(0), accounting.TransferOrdinal(^uint64(0))}

// ExpiryAdd implements accounting.Store.
func (f *Forest) ExpiryAdd(expiresAtNs uint64, ordinal accounting.TransferOrdinal) {
	m := f.filling
	index := m.addsCount
	m.addsCount++
	m.adds[index] = expiryAdd{expiryKey: expiryKey{expiresAtNs, ordinal}}
	if m.addOf.full() {
		m.addOf.grow(m.addOrdinal)
	}
	m.addOf.insert(uint64(ordinal), index)
	m.heapPush(index)
	if f.chainOpen {
		f.undo.mark(undoExpiryAdd)
	}
}

// ExpiryRemove implements accounting.Store.
func (f *Forest) ExpiryRemove(expiresAtNs uint64, ordinal accounting.TransferOrdinal) {
	m := f.filling
	if index, ok := m.addOf.find(uint64(ordinal)); ok {
		m.adds[index].Removed = true
		if f.chainOpen {
			f.undo.add(undoEntry{Kind: undoExpiryCancel, Index: index})
		}
		return
	}
	index := m.removesCount
	m.removesCount++
	m.removes[index] = expiryKey{expiresAtNs, ordinal}
	if m.removeOf.full() {
		m.removeOf.grow(m.removeOrdinal)
	}
	m.removeOf.insert(uint64(ordinal), index)
	if f.chainOpen {
		f.undo.mark(undoExpiryRemove)
	}
}

func (f *Forest) undoExpiryAdd() {
	m := f.filling
	m.addsCount--
	index := m.addsCount
	m.addOf.removeLast(uint64(m.adds[index].Ordinal))
	if m.adds[index].InHeap {
		m.heapDelete(index)
	}
}

func (f *Forest) undoExpiryCancel(index uint32) {
	m := f.filling
	m.adds[index].Removed = false
	if !m.adds[index].InHeap {
		m.heapPush(index)
	}
}

func (f *Forest) undoExpiryRemove() {
	m := f.filling
	m.removesCount--
	key := m.removes[m.removesCount]
	m.removeOf.removeLast(uint64(key.Ordinal))
	if m := f.flushing; m != nil {
		if index, ok := m.addOf.find(uint64(key.Ordinal)); ok {
			if !m.adds[index].InHeap {
				m.heapPush(index)
			}
			return
		}
	}
	f.window.invalidate(key) // ExpiryFirst may have passed it
}

// ExpiryFirst implements accounting.Store.
func (f *Forest) ExpiryFirst() (expiresAtNs uint64, ordinal accounting.TransferOrdinal, ok bool) {
	best := expiryKeyMax
	m := f.filling
	for m.heapCount > 0 && m.adds[m.heap[0].add].Removed {
		m.heapPop()
	}
	if m.heapCount > 0 {
		best, ok = m.heap[0].expiryKey, true
	}
	if m := f.flushing; m != nil {
		for m.heapCount > 0 && (m.adds[m.heap[0].add].Removed || f.expiryRemoved(m.heap[0].Ordinal)) {
			m.heapPop()
		}
		if m.heapCount > 0 && m.heap[0].less(best) {
			best, ok = m.heap[0].expiryKey, true
		}
	}
	if f.windowFirst() && f.window.keys[f.window.at].less(best) {
		best, ok = f.window.keys[f.window.at], true
	}
	if !ok {
		return 0, 0, false
	}
	return best.AtNs, best.Ordinal, true
}

// expiryRemoved tells whether a memtable takes back an expiry of an older one.
func (f *Forest) expiryRemoved(ordinal accounting.TransferOrdinal) bool {
	if _, ok := f.filling.removeOf.find(uint64(ordinal)); ok {
		return true
	}
	if f.flushing != nil {
		if _, ok := f.flushing.removeOf.find(uint64(ordinal)); ok {
			return true
		}
	}
	return false
}

// windowFirst moves the window to its first live key, reading on as needed. False: the tree has none.
func (f *Forest) windowFirst() bool {
	w := &f.window
	if f.trees[storage.TreeExpiry].runsCount == 0 {
		return false
	}
	if !w.valid {
		f.windowFill(w.low)
	}
	for {
		for w.at < w.count && f.expiryRemoved(w.keys[w.at].Ordinal) {
			w.at++
		}
		if w.at < w.count {
			return true
		}
		if w.all {
			return false
		}
		f.windowFill(w.next)
	}
}

// windowFill reads live keys of the tree from low on: a merge over all runs, where a removal in any run takes the key away.
func (f *Forest) windowFill(low expiryKey) {
	w := &f.window
	key := keyOfExpiry(low)
	used := 0
	runs := f.trees[storage.TreeExpiry].ordered
	for i, r := range runs {
		for _, later := range runs[i:] {
			f.warmSeek(later, &key) // all runs at once: what waits for one waits for all
		}
		c := &w.cursors[used]
		c.open(f, storage.TreeExpiry, r)
		if c.seek(&key); c.valid {
			used++
		}
	}
	w.at, w.count, w.valid, w.all = 0, 0, true, false
	for steps := 1; w.count < uint32(len(w.keys)); steps++ {
		if steps%4096 == 0 {
			f.waiter.Breathe()
		}
		least := -1
		for i := range used {
			if c := &w.cursors[i]; c.valid && (least < 0 || c.key.Compare(&w.cursors[least].key) < 0) {
				least = i
			}
		}
		if least < 0 {
			w.all = true
			return
		}
		found, live := w.cursors[least].key, true
		for i := range used {
			if c := &w.cursors[i]; c.valid && c.key == found {
				live = live && !c.tombstone()
				if c.next(); c.valid && c.first == 0 && c.at == 0 {
					c.warmNext()
				}
			}
		}
		if live {
			w.keys[w.count] = expiryOfKey(&found)
			w.count++
		}
		w.next = expiryOfKey(&found)
		w.next.Ordinal++
	}
}

// expiriesAhead is how many rows before its turn a row's page is asked for: what expires takes a microsecond, a page some hundred. And again
// later, because the first time may only bring the header page.
var expiriesAhead = [2]uint32{512, 256}

// warmSeek asks for the pages that a cursor needs to seek key in a run of the expiry tree, and for the page behind.
func (f *Forest) warmSeek(r *run, key *storage.Key) {
	at := r.search(key, fenceOf(key))
	if at == len(r.tables) {
		return
	}
	ref := r.tables[at].Ref
	if header, ok := f.grid.Try(ref, 0); ok {
		header := block.HeaderPage(header)
		number := f.trees[storage.TreeExpiry].shape.PageFind(header, key)
		for end := min(number+1, header.DataPages()); number <= end; number++ {
			f.grid.Try(ref, number)
		}
	}
}

// warmExpiries asks for the rows that a pulse will read after this one: it first takes back all expiries that are due, and then
// reads their transfers in the same order.
func (f *Forest) warmExpiries(ordinal accounting.TransferOrdinal) {
	m := f.filling
	index, ok := m.removeOf.find(uint64(ordinal))
	if !ok {
		return
	}
	for pass, distance := range expiriesAhead {
		warmed := &m.removesWarmed[pass]
		*warmed = max(*warmed, index+1)
		for end := min(index+distance, m.removesCount); *warmed < end && f.grid.InFlight() < warmReadsMax; *warmed++ {
			if next := m.removes[*warmed].Ordinal; f.pendings.find(next) == nil {
				f.warmRow(next)
			}
		}
	}
}

// expiryFlushed tells the window that a memtable's expiries are in the tree now.
func (f *Forest) expiryFlushed(m *memtable) {
	if m.addsLive.count+m.removesCount == 0 {
		return
	}
	low := expiryKeyMax
	for _, index := range m.addsLive.indexes[:m.addsLive.count] {
		if m.adds[index].less(low) {
			low = m.adds[index].expiryKey
		}
	}
	f.window.invalidate(low)
}

// The heap of a memtable's adds: the smallest key first.

func (m *memtable) heapLess(i, j uint32) bool { return m.heap[i].less(m.heap[j].expiryKey) }

func (m *memtable) heapPush(index uint32) {
	at := m.heapCount
	m.heap[at] = heapItem{expiryKey: m.adds[index].expiryKey, add: index}
	m.heapCount++
	m.adds[index].InHeap = true
	m.heapUp(at)
}

func (m *memtable) heapUp(at uint32) {
	for at > 0 {
		parent := (at - 1) / 2
		if !m.heapLess(at, parent) {
			return
		}
		m.heap[at], m.heap[parent] = m.heap[parent], m.heap[at]
		at = parent
	}
}

func (m *memtable) heapDown(at uint32) {
	for {
		child := 2*at + 1
		if child >= m.heapCount {
			return
		}
		if child+1 < m.heapCount && m.heapLess(child+1, child) {
			child++
		}
		if !m.heapLess(child, at) {
			return
		}
		m.heap[at], m.heap[child] = m.heap[child], m.heap[at]
		at = child
	}
}

func (m *memtable) heapPop() { m.heapRemoveAt(0) }

func (m *memtable) heapRemoveAt(at uint32) {
	m.adds[m.heap[at].add].InHeap = false
	m.heapCount--
	m.heap[at] = m.heap[m.heapCount]
	if at < m.heapCount {
		m.heapDown(at)
		m.heapUp(at)
	}
}

// heapDelete takes an add out of the heap, wherever it is: rollback only, and what was added last is near the end.
func (m *memtable) heapDelete(index uint32) {
	for at := m.heapCount; at > 0; at-- {
		if m.heap[at-1].add == index {
			m.heapRemoveAt(at - 1)
			return
		}
	}
}
