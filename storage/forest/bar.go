package forest

import (
	"ledger/internal/assert"
	"ledger/storage"
)

// BarPlan ends a bar. It seals the memtable if that is due, and plans a generation. nil: there is
// nothing to do. checkpoint tells that op is a checkpoint op. Then everything is flushed, including
// the partial block of rows.
func (f *Forest) BarPlan(op uint64, checkpoint bool) *storage.Generation {
	assert.That(f.limits.IsBarEnd(op), "planning is done at a bar's end")
	f.levels.PlanBegin(op, f.keeper.BarRows())
	isDue := f.keeper.IsDue(checkpoint)
	if isDue {
		f.keeper.Plan(checkpoint)
	}
	f.levels.PlanMerges()
	f.levels.CoverVanished(f.grid, &f.loader) // a merge by reference ends at once
	generation := f.levels.PlanEnd()
	assert.That(generation != nil || !isDue, "a sealed memtable has something to flush")
	return generation
}

// BarChanges tells whether the end of a bar moves anything that a query reads: rows, tables or
// lists of tables. That is so if a generation comes back (isUnder), if a memtable is sealed, or if
// a merge begins, which may be one by reference. What is freed at the end of a bar was moved at an
// earlier one.
func (f *Forest) BarChanges(isUnder, checkpoint bool) bool {
	return isUnder || f.keeper.IsDue(checkpoint) || f.levels.MergesBegin()
}

// IsInUse tells whether an address belongs to a block, of the state or of a checkpoint.
func (f *Forest) IsInUse(address uint64) bool { return f.freeSet.IsAcquired(address) }

// IsNamed tells whether a checkpoint names the block at an address.
func (f *Forest) IsNamed(address uint64) bool { return f.freeSet.IsNamed(address) }

// TreeOf is the name of the tree to which a block belongs, for people. It is empty if no tree of
// the state has the block.
func (f *Forest) TreeOf(ref storage.Ref) string {
	if f.keeper.Has(ref) {
		return storage.Trees[storage.TreeTransferLog].Name
	}
	return f.levels.TreeOf(ref)
}

// Withdraw forgets what is wanted of addresses that have been freed. It is called before any of
// them is given out.
func (f *Forest) Withdraw() { f.grid.Withdraw(f.freeSet.IsAcquired) }

// BarInstall makes the results of the previous generation visible. It is called at the end of each
// bar, with nil if there was no generation. All jobs of the generation must have run. Unused
// addresses are given back, and inputs are released.
func (f *Forest) BarInstall(generation *storage.Generation) {
	f.levels.Collect(generation)
	if generation == nil {
		return
	}
	flushed := f.keeper.Install(generation)
	f.levels.Install(generation, &flushed)
	f.keeper.Installed()
	f.levels.CoverVanished(f.grid, &f.loader)
	f.selfCheck()
}
