package levels

import (
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/table"
)

// Find looks for key from the newest run to the oldest and fills value. It returns false if
// there is no such key, or if the newest entry is a removal.
func (s *Levels) Find(id storage.TreeID, key *storage.Key, value []byte) bool {
	t := &s.trees[id]
	k := fenceOf(key)
	var filter table.FilterKey
	if t.spec.Filter {
		filter = table.FilterKeyOf(key)
	}
	for i := len(t.ordered) - 1; i >= 0; i-- {
		r := t.ordered[i]
		if last := len(r.fences) - 1; r.fences[last].less(k) {
			continue
		}
		at := r.search(key, k)
		if at == len(r.tables) || r.tables[at].KeyMin.Compare(key) > 0 {
			continue
		}
		if t.spec.Filter && !filter.Has(s.filters.of(r.filters[at])) {
			continue
		}
		if found, tombstone := s.tableFind(t, &r.tables[at], key, value); found {
			return !tombstone
		}
	}
	return false
}

// tableFind looks for key in one table.
func (s *Levels) tableFind(t *Tree, tab *storage.Table, key *storage.Key, value []byte) (found, tombstone bool) {
	number := t.shape.PageFind(block.HeaderPage(s.pages.Page(tab.Ref, 0)), key)
	page := s.pages.Page(tab.Ref, number)
	index, exact := t.shape.Search(page, key)
	if !exact {
		return false, false
	}
	copy(value, t.shape.Value(page, index))
	return true, t.spec.Tombstones && t.shape.Tombstone(page, index)
}

// Try is Find without waiting. If a page is missing, it starts the read and returns
// complete = false. value may be nil.
func (s *Levels) Try(id storage.TreeID, key *storage.Key, value []byte) (found, complete bool) {
	t := &s.trees[id]
	k := fenceOf(key)
	var filter table.FilterKey
	if t.spec.Filter {
		filter = table.FilterKeyOf(key)
	}
	for i := len(t.ordered) - 1; i >= 0; i-- {
		r := t.ordered[i]
		if last := len(r.fences) - 1; r.fences[last].less(k) {
			continue
		}
		at := r.search(key, k)
		if at == len(r.tables) || r.tables[at].KeyMin.Compare(key) > 0 {
			continue
		}
		tab := &r.tables[at]
		if t.spec.Filter && !filter.Has(s.filters.of(r.filters[at])) {
			continue
		}
		header, ok := s.pages.Try(tab.Ref, 0)
		if !ok {
			return false, false
		}
		page, ok := s.pages.Try(tab.Ref, t.shape.PageFind(block.HeaderPage(header), key))
		if !ok {
			return false, false
		}
		if index, exact := t.shape.Search(page, key); exact {
			copy(value, t.shape.Value(page, index))
			return true, true
		}
	}
	return false, true
}

// FilterOf returns the filter of the table that may hold a key, or nil if all keys of the run are
// below it.
func (s *Levels) FilterOf(t *Tree, r *Run, key *storage.Key) []byte {
	k := fenceOf(key)
	if r.fences[len(r.fences)-1].less(k) {
		return nil
	}
	at := r.search(key, k)
	return s.filters.of(r.filters[at])
}

// TreeOf is the name of the tree that has a table, or "".
func (s *Levels) TreeOf(ref storage.Ref) string {
	for i := range s.trees {
		for _, r := range s.trees[i].ordered {
			for at := range r.tables {
				if r.tables[at].Ref == ref {
					return storage.Trees[i].Name
				}
			}
		}
	}
	return ""
}
