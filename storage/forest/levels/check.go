package levels

import (
	"ledger/internal/assert"
	"ledger/storage/forest/keys"
)

// Check asserts the invariants of the trees, and gives name the address of each table. It walks all
// tables, so only tests and builds with the invariants tag call it.
func (s *Levels) Check(name func(address uint64, owner string)) {
	for i := range s.trees {
		t := &s.trees[i]
		end := uint64(0)
		for _, r := range t.ordered {
			t.checkRun(r, name)
			if keys.IsPosting(t.id) {
				assert.That(r.ordinalFirst >= end, "runs of postings follow each other")
				end = r.ordinalEnd
			}
		}
		for j := range t.levels {
			t.checkRun(&t.levels[j].merge.output, name)
		}
	}
}

func (t *Tree) checkRun(r *Run, name func(uint64, string)) {
	entries := uint64(0)
	for i := range r.tables {
		name(r.tables[i].Address, t.spec.Name)
		entries += uint64(r.tables[i].Entries)
		assert.That(r.fences[i] == fenceOf(&r.tables[i].KeyMax), "a fence is its table's last key")
		assert.That(i == 0 || r.tables[i-1].KeyMax.Compare(&r.tables[i].KeyMin) < 0, "tables of a run ascend")
		assert.That(t.spec.Filter == (r.filters[i].slot != 0), "a table has its filter")
		assert.That(r.tables[i].Tree == t.id, "a table belongs to its tree")
	}
	assert.Equal(entries, r.entries, "entries of a run")
}
