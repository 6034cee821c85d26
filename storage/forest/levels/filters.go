package levels

import (
	"ledger/storage"
	"ledger/storage/table"
)

// CoverOverlapping decides after Decode which runs of transfer ids the filter of all ids has to
// cover, and returns the number of their ids. It covers the runs that overlap another run. The
// fences of other runs tell that an id lies beside them.
func (s *Levels) CoverOverlapping() (ids uint64) {
	t := &s.trees[storage.TreeTransferID]
	for _, r := range t.ordered {
		for _, other := range t.ordered {
			if r != other && r.reachesOver(other) {
				r.covered = true
			}
		}
		if r.covered {
			ids += r.entries
		}
	}
	t.coverOutputs()
	return ids
}

// CoverNone undoes CoverOverlapping, for a filter without room for the ids.
func (s *Levels) CoverNone() {
	t := &s.trees[storage.TreeTransferID]
	for _, r := range t.ordered {
		r.covered = false
	}
	t.coverOutputs()
}

// coverOutputs covers the output of a merge whose inputs are covered.
func (t *Tree) coverOutputs() {
	for i := range t.levels {
		l := &t.levels[i]
		l.merge.output.covered = l.merge.inputs > 0 && allCovered(l.runs[:l.merge.inputs])
	}
}

// FilterSource is a table whose filter is read at start. If its run is covered, its ids are read
// too.
type FilterSource struct {
	Table  *storage.Table
	Shape  *table.Shape
	Filter []byte // where the filter is kept
	IDs    bool
}

// FilterSources assigns memory to the filter of each table of the trees with filters. It returns a
// fault if the memory is full.
func (s *Levels) FilterSources() (sources []FilterSource, fault *storage.Fault) {
	add := func(t *Tree, list *tableList, ids bool) {
		for i := range list.tables {
			slot := s.filters.get()
			if slot == 0 {
				fault = &storage.Fault{What: storage.FaultStorageLimit, Reason: "the memory of filters is full"}
				return
			}
			list.filters[i] = slot
			sources = append(sources, FilterSource{&list.tables[i], &t.shape, s.filters.of(slot, list.tables[i].Entries, &t.shape), ids})
		}
	}
	for id := range s.trees {
		t := &s.trees[id]
		if !t.spec.Filter {
			continue
		}
		for i := range t.levels {
			l := &t.levels[i]
			for j := range l.runs {
				add(t, &l.runs[j].tableList, l.runs[j].covered)
			}
			add(t, &l.merge.output.tableList, false) // its ids are those of its inputs
		}
	}
	return sources, fault
}
