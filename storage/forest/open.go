package forest

import (
	"fmt"

	"ledger/storage"
	"ledger/storage/forest/keys"
)

// coverFirstIDs is how many ids Open adds to the filter of all ids, from the smallest runs on,
// before the first request: half a second. Of 20 runs that 100 million random ids lie in, 15 have
// as many.
const coverFirstIDs = 1 << 24

// Open gives an empty forest the state of checkpoint. It reads manifest, free set, the filters of
// the tables and the carried rows, from the roots on, and waits for them like any caller of Store.
// The zero Checkpoint is an empty state.
//
// The forest can be used then. CoverStep adds the ids of runs to the filter of all ids in the
// background. Damage is a fault, and Open is not resumed.
func (f *Forest) Open(checkpoint *storage.Checkpoint) {
	if !checkpoint.Roots[storage.TrailerManifest].IsZero() {
		f.openTrees(checkpoint)
	}
	f.isOpen = true
}

func (f *Forest) openTrees(checkpoint *storage.Checkpoint) {
	f.openManifest(checkpoint)
	f.checkpoint.state = *checkpoint
	f.checkpoint.job.Roots = checkpoint.Roots
	// No run is covered yet, whatever the order of the next two.
	if count := f.levels.CoverOverlapping(); count > 0 && !f.filter.Open(count) {
		f.levels.CoverNone()
	}
	f.levels.OpenFilters(f.grid)
	if f.limits.TouchesMemoryAtStart() {
		f.levels.CoverFirst(f.grid, &f.loader, coverFirstIDs)
	}
	f.keeper.OpenTail(f.grid)
	for _, r := range f.levels.Tree(storage.TreeTransferID).Runs() {
		f.keeper.IDStored(keys.IDOf(r.KeyMax()))
	}
	f.selfCheck()
}

// openManifest reads the trailers of the forest into the memory from which the next checkpoint will
// be written, and decodes them.
func (f *Forest) openManifest(checkpoint *storage.Checkpoint) {
	manifest := f.openTrailer(checkpoint, storage.TrailerManifest, f.checkpoint.manifest)
	if err := f.manifestDecode(manifest, checkpoint.Op); err != nil {
		f.failTrailer(checkpoint, storage.TrailerManifest, err.Error())
	}
	freeSet := f.openTrailer(checkpoint, storage.TrailerFreeSet, f.checkpoint.freeSet)
	if err := f.freeSet.Decode(freeSet); err != nil {
		f.failTrailer(checkpoint, storage.TrailerFreeSet, err.Error())
	}
	if f.TransfersCount() != checkpoint.TransfersCount || f.AccountsCount() != checkpoint.AccountsCount {
		f.failTrailer(checkpoint, storage.TrailerManifest, fmt.Sprintf(
			"the manifest counts %d transfers and %d accounts, the superblock %d and %d",
			f.TransfersCount(), f.AccountsCount(), checkpoint.TransfersCount, checkpoint.AccountsCount))
	}
}

// openTrailer reads a trailer into the front of memory.
func (f *Forest) openTrailer(checkpoint *storage.Checkpoint, kind storage.TrailerKind, memory []byte) []byte {
	size := checkpoint.TrailerBytes[kind]
	if size > uint64(len(memory)) {
		f.failTrailer(checkpoint, kind, "a trailer of the checkpoint is longer than can be")
	}
	if reason := f.grid.ReadTrailer(kind, checkpoint.Roots[kind], memory[:size], f.checkpoint.listed, f.waiter); reason != "" {
		f.failTrailer(checkpoint, kind, reason)
	}
	return memory[:size]
}

func (f *Forest) failTrailer(checkpoint *storage.Checkpoint, kind storage.TrailerKind, reason string) {
	f.pages.Fail(&storage.Fault{What: storage.FaultBlock, Address: checkpoint.Roots[kind].Address, Reason: reason})
}

// CoverStep goes on with the filter of all ids for a bounded time. more: it could go on at once.
// Answers do not depend on how far it has come.
func (f *Forest) CoverStep() (more bool) { return f.levels.CoverStep(f.grid, &f.loader) }
