//go:build !invariants

package forest

import "testing"

// Goal: a reset, and the opening of a checkpoint until all of its runs are covered, allocate
// nothing. (In builds with the invariants tag, the walk over the manifest allocates.)
func TestReopenAllocatesNothing(t *testing.T) {
	w := filled(t, 1200)
	checkpoint := w.newest
	w.compact()
	reopen := func() {
		w.forest.Reset()
		w.forest.Open(&checkpoint, idsAhead(&checkpoint))
		for w.forest.levels.IsCovering() {
			w.cover(1)
		}
	}
	if allocs := testing.AllocsPerRun(10, reopen); allocs != 0 {
		t.Errorf("reset and open allocate %.1f times, want 0", allocs)
	}
	if w.forest.filter.Generations() == 0 {
		t.Error("no run was covered: the test shows nothing")
	}
}
