package expiry

import (
	"ledger/internal/arena"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/forest/keys"
	"ledger/storage/forest/levels"
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
	return window{
		keys:    arena.Slice[keys.Expiry](a, uint64(l.OpEventsMax()), "expiry window"),
		cursors: levels.NewCursors(a, levels.RunsMax, "expiry cursors"),
	}
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

// windowFirst moves the window to the tree's first live key and fills it as needed. It returns
// false if the tree has no live key.
func (x *Index) windowFirst() bool {
	w := &x.window
	if x.levels.Tree(storage.TreeExpiry).IsEmpty() {
		return false
	}
	if !w.valid {
		x.windowFill(w.low)
	}
	for {
		for w.at < w.count && x.isRemoved(w.keys[w.at].Ordinal) {
			w.at++
		}
		if w.at < w.count {
			return true
		}
		if w.all {
			return false
		}
		x.windowFill(w.next)
	}
}

// windowFill fills the window with the tree's live keys from low on. It merges all runs. A
// tombstone in any run hides the key.
func (x *Index) windowFill(low keys.Expiry) {
	w := &x.window
	key := keys.OfExpiry(low)
	used := 0
	runs := x.levels.Tree(storage.TreeExpiry).Runs()
	for i, r := range runs {
		for _, later := range runs[i:] {
			x.warmSeek(later, &key) // start the reads of all runs, so that they overlap
		}
		c := &w.cursors[used]
		c.Open(x.levels, storage.TreeExpiry, r)
		if c.Seek(&key); c.IsValid() {
			used++
		}
	}
	w.at, w.count, w.valid, w.all = 0, 0, true, false
	for steps := 1; w.count < uint32(len(w.keys)); steps++ {
		if steps%4096 == 0 {
			x.pages.Breathe()
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

// warmSeek starts reads of the pages that a cursor needs to seek key in a run of the expiry tree,
// and of the page behind them.
func (x *Index) warmSeek(r *levels.Run, key *storage.Key) {
	at := r.Search(key)
	if at == r.Count() {
		return
	}
	ref := r.Table(at).Ref
	if header, ok := x.pages.Try(ref, 0); ok {
		header := block.HeaderPage(header)
		number := x.levels.Tree(storage.TreeExpiry).Shape().PageFind(header, key)
		for end := min(number+1, header.DataPages()); number <= end; number++ {
			x.pages.Try(ref, number)
		}
	}
}
