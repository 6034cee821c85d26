package forest

import (
	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/forest/keys"
	"ledger/storage/forest/levels"
	"ledger/storage/forest/manifest"
)

// window is a read buffer over the front of the expiry tree: the smallest live keys, in order, as
// many as fit. The tree may hold any number of expiries; the window is filled again from the tree
// when its keys are used up. It is derived from the tree, so dropping it (valid = false) is always
// correct.
type window struct {
	valid   bool
	all     bool        // the tree holds no live key behind the window
	low     keys.Expiry // lower bound: no live key of the tree is smaller
	next    keys.Expiry // the key from which the next fill reads
	keys    []keys.Expiry
	at      uint32 // the first key that may be live
	count   uint32
	cursors []levels.Cursor
}

func newWindow(a *arena.Arena, l *limits.Limits) window {
	w := window{
		keys:    arena.Slice[keys.Expiry](a, uint64(l.OpEventsMax()), "expiry window"),
		cursors: make([]levels.Cursor, storage.LevelsMax*manifest.RunsMax),
	}
	for i := range w.cursors {
		w.cursors[i] = levels.NewCursor()
	}
	return w
}

// reset makes the window what newWindow returned.
func (w *window) reset() {
	w.valid, w.all = false, false
	w.low, w.next = keys.Expiry{}, keys.Expiry{}
	w.at, w.count = 0, 0
}

// invalidate forgets the window's keys and keeps a lower bound for the next fill: the smaller of
// low and the first key that the window had left.
func (w *window) invalidate(low keys.Expiry) {
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
	if low.Less(w.low) {
		w.low = low
	}
	w.valid = false
}

// ExpiryAdd implements accounting.Store.
func (f *Forest) ExpiryAdd(expiresAtNs uint64, ordinal accounting.TransferOrdinal) {
	m := f.filling
	index := m.addsCount
	m.addsCount++
	m.adds[index] = expiryAdd{Expiry: keys.Expiry{AtNs: expiresAtNs, Ordinal: ordinal}}
	if m.addOf.Full() {
		m.addOf.Grow(m.addOrdinal)
	}
	m.addOf.Insert(uint64(ordinal), index)
	m.heapPush(index)
	if f.chainOpen {
		f.undo.mark(undoExpiryAdd)
	}
}

// ExpiryRemove implements accounting.Store.
func (f *Forest) ExpiryRemove(expiresAtNs uint64, ordinal accounting.TransferOrdinal) {
	m := f.filling
	if index, ok := m.addOf.Find(uint64(ordinal)); ok {
		m.adds[index].Removed = true
		if f.chainOpen {
			f.undo.add(undoEntry{Kind: undoExpiryCancel, Index: index})
		}
		return
	}
	index := m.removesCount
	m.removesCount++
	m.removes[index] = keys.Expiry{AtNs: expiresAtNs, Ordinal: ordinal}
	if m.removeOf.Full() {
		m.removeOf.Grow(m.removeOrdinal)
	}
	m.removeOf.Insert(uint64(ordinal), index)
	if f.chainOpen {
		f.undo.mark(undoExpiryRemove)
	}
}

func (f *Forest) undoExpiryAdd() {
	m := f.filling
	m.addsCount--
	index := m.addsCount
	m.addOf.RemoveLast(uint64(m.adds[index].Ordinal))
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
	m.removeOf.RemoveLast(uint64(key.Ordinal))
	if m := f.flushing; m != nil {
		if index, ok := m.addOf.Find(uint64(key.Ordinal)); ok {
			if !m.adds[index].InHeap {
				m.heapPush(index)
			}
			return
		}
	}
	f.window.invalidate(key) // ExpiryFirst may have moved the window past this key
}

// ExpiryFirst implements accounting.Store.
func (f *Forest) ExpiryFirst() (expiresAtNs uint64, ordinal accounting.TransferOrdinal, ok bool) {
	best := keys.ExpiryMax
	m := f.filling
	for m.heapCount > 0 && m.adds[m.heap[0].add].Removed {
		m.heapPop()
	}
	if m.heapCount > 0 {
		best, ok = m.heap[0].Expiry, true
	}
	if m := f.flushing; m != nil {
		for m.heapCount > 0 && (m.adds[m.heap[0].add].Removed || f.expiryRemoved(m.heap[0].Ordinal)) {
			m.heapPop()
		}
		if m.heapCount > 0 && m.heap[0].Less(best) {
			best, ok = m.heap[0].Expiry, true
		}
	}
	if f.windowFirst() && f.window.keys[f.window.at].Less(best) {
		best, ok = f.window.keys[f.window.at], true
	}
	if !ok {
		return 0, 0, false
	}
	return best.AtNs, best.Ordinal, true
}

// expiryRemoved tells whether a memtable holds a removal for an expiry of the tree or of an older
// memtable.
func (f *Forest) expiryRemoved(ordinal accounting.TransferOrdinal) bool {
	if _, ok := f.filling.removeOf.Find(uint64(ordinal)); ok {
		return true
	}
	if f.flushing != nil {
		if _, ok := f.flushing.removeOf.Find(uint64(ordinal)); ok {
			return true
		}
	}
	return false
}

// windowFirst moves the window to the tree's first live key and fills it as needed. It returns
// false if the tree has no live key.
func (f *Forest) windowFirst() bool {
	w := &f.window
	if f.levels.Tree(storage.TreeExpiry).IsEmpty() {
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

// windowFill fills the window with the tree's live keys from low on. It merges all runs. A
// tombstone in any run hides the key.
func (f *Forest) windowFill(low keys.Expiry) {
	w := &f.window
	key := keys.OfExpiry(low)
	used := 0
	runs := f.levels.Tree(storage.TreeExpiry).Runs()
	for i, r := range runs {
		for _, later := range runs[i:] {
			f.warmSeek(later, &key) // start the reads of all runs, so that they overlap
		}
		c := &w.cursors[used]
		c.Open(f.levels, storage.TreeExpiry, r)
		if c.Seek(&key); c.IsValid() {
			used++
		}
	}
	w.at, w.count, w.valid, w.all = 0, 0, true, false
	for steps := 1; w.count < uint32(len(w.keys)); steps++ {
		if steps%4096 == 0 {
			f.pages.Breathe()
		}
		least := -1
		for i := range used {
			if c := &w.cursors[i]; c.IsValid() && (least < 0 || c.Key().Compare(w.cursors[least].Key()) < 0) {
				least = i
			}
		}
		if least < 0 {
			w.all = true
			return
		}
		found, live := *w.cursors[least].Key(), true
		for i := range used {
			if c := &w.cursors[i]; c.IsValid() && *c.Key() == found {
				live = live && !c.Tombstone()
				if c.Next(); c.IsValid() && c.BeginsPage() {
					c.WarmNext()
				}
			}
		}
		if live {
			w.keys[w.count] = keys.ExpiryOf(&found)
			w.count++
		}
		w.next = keys.ExpiryOf(&found)
		w.next.Ordinal++
	}
}

// expiriesAhead is the read-ahead distance of expiries, in rows. One expiry takes about a
// microsecond and the read of a page about a hundred, so the read starts hundreds of rows before
// the row's turn. There are two distances because the first request may only read the table's
// header page; the second then reads the row's page.
var expiriesAhead = [2]uint32{512, 256}

// warmSeek starts reads of the pages that a cursor needs to seek key in a run of the expiry tree,
// and of the page behind them.
func (f *Forest) warmSeek(r *levels.Run, key *storage.Key) {
	at := r.Search(key)
	if at == r.Count() {
		return
	}
	ref := r.Table(at).Ref
	if header, ok := f.pages.Try(ref, 0); ok {
		header := block.HeaderPage(header)
		number := f.levels.Tree(storage.TreeExpiry).Shape().PageFind(header, key)
		for end := min(number+1, header.DataPages()); number <= end; number++ {
			f.pages.Try(ref, number)
		}
	}
}

// warmExpiries starts reads of the rows that a pulse will need after the row of ordinal. A pulse
// first removes all expiries that are due, and then reads their transfers in the same order. So the
// memtable's removals tell the rows that come next.
func (f *Forest) warmExpiries(ordinal accounting.TransferOrdinal) {
	m := f.filling
	index, ok := m.removeOf.Find(uint64(ordinal))
	if !ok {
		return
	}
	for pass, distance := range expiriesAhead {
		warmed := &m.removesWarmed[pass]
		*warmed = max(*warmed, index+1)
		for end := min(index+distance, m.removesCount); *warmed < end && f.pages.InFlight() < warmReadsMax; *warmed++ {
			if next := m.removes[*warmed].Ordinal; f.pendings.find(next) == nil {
				f.warmRow(next)
			}
		}
	}
}

// expiryFlushed invalidates the window after a flush has moved a memtable's expiries into the tree.
func (f *Forest) expiryFlushed(m *memtable) {
	if m.addsLive.count+m.removesCount == 0 {
		return
	}
	low := keys.ExpiryMax
	for _, index := range m.addsLive.indexes[:m.addsLive.count] {
		if m.adds[index].Less(low) {
			low = m.adds[index].Expiry
		}
	}
	f.window.invalidate(low)
}

// The adds of a memtable are a binary min-heap: the smallest key is first.

func (m *memtable) heapLess(i, j uint32) bool { return m.heap[i].Less(m.heap[j].Expiry) }

func (m *memtable) heapPush(index uint32) {
	at := m.heapCount
	m.heap[at] = heapItem{Expiry: m.adds[index].Expiry, add: index}
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

// heapDelete removes an add from any place of the heap. It searches linearly from the end. Only
// rollback calls it, and the adds that rollback removes were pushed last and are near the end.
func (m *memtable) heapDelete(index uint32) {
	for at := m.heapCount; at > 0; at-- {
		if m.heap[at-1].add == index {
			m.heapRemoveAt(at - 1)
			return
		}
	}
}
