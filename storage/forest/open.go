package forest

import (
	"fmt"

	"ledger/internal/arena"
	"ledger/storage"
	"ledger/storage/forest/keys"
)

// Open gives an empty forest the state of checkpoint. It reads manifest, free set, the filters of
// the tables and the carried rows, from the roots on, and waits for them like any caller of Store.
// The zero Checkpoint is an empty state.
//
// The forest can be used then. CoverStep adds the ids of runs to the filter of all ids in the
// background. Damage is a fault, and Open is not resumed.
//
// idsAhead: how many new ids the ops bring that are executed before the first request. Looking an
// id up in a run takes somewhat less time than reading an id and adding it to the filter of all
// ids. So Open adds the ids of the runs that have up to a fourth as many.
func (f *Forest) Open(checkpoint *storage.Checkpoint, idsAhead uint64) {
	if !checkpoint.Roots[storage.TrailerManifest].IsZero() {
		f.openTrees(checkpoint, idsAhead)
	}
	f.isOpen = true
}

func (f *Forest) openTrees(checkpoint *storage.Checkpoint, idsAhead uint64) {
	f.openManifest(checkpoint)
	f.checkpoint.state = *checkpoint
	f.checkpoint.job.Roots = checkpoint.Roots
	// No run is covered yet, whatever the order of the next two.
	if early, late := f.levels.CoverOverlapping(idsAhead / 4); early+late > 0 {
		room, ok := f.filter.Open(early, late)
		if f.levels.CoverRoom(room); !ok {
			f.levels.CoverNone()
		}
	}
	f.levels.OpenFilters(f.grid)
	f.levels.CoverFirst(f.grid, &f.loader)
	f.keeper.OpenTail(f.grid)
	for _, r := range f.levels.Tree(storage.TreeTransferID).Runs() {
		f.keeper.IDStored(keys.IDOf(r.KeyMax()))
	}
	f.selfCheck()
}

// Touch makes a populate the memory that Open, and then CoverStep, will fill for a checkpoint.
func (f *Forest) Touch(a *arena.Arena, checkpoint *storage.Checkpoint) {
	a.TouchSoon(f.levels.FiltersMemory(checkpoint.TransfersCount))
	a.TouchLate(f.filter.Memory(checkpoint.TransfersCount))
}

// openManifest reads the trailers of the forest into the memory from which the next checkpoint will
// be written, and decodes them.
func (f *Forest) openManifest(checkpoint *storage.Checkpoint) {
	manifest := f.openTrailer(checkpoint, storage.TrailerManifest, f.checkpoint.manifest)
	if err := f.manifestDecode(manifest, checkpoint.Op); err != nil {
		f.FailTrailer(checkpoint, storage.TrailerManifest, err.Error())
	}
	freeSet := f.openTrailer(checkpoint, storage.TrailerFreeSet, f.checkpoint.freeSet)
	if err := f.freeSet.Decode(freeSet); err != nil {
		f.FailTrailer(checkpoint, storage.TrailerFreeSet, err.Error())
	}
	if f.TransfersCount() != checkpoint.TransfersCount || f.AccountsCount() != checkpoint.AccountsCount {
		f.FailTrailer(checkpoint, storage.TrailerManifest, fmt.Sprintf(
			"the manifest counts %d transfers and %d accounts, the superblock %d and %d",
			f.TransfersCount(), f.AccountsCount(), checkpoint.TransfersCount, checkpoint.AccountsCount))
	}
}

// openTrailer reads a trailer into the front of memory.
func (f *Forest) openTrailer(checkpoint *storage.Checkpoint, kind storage.TrailerKind, memory []byte) []byte {
	size := checkpoint.TrailerBytes[kind]
	if size > uint64(len(memory)) {
		f.FailTrailer(checkpoint, kind, "a trailer of the checkpoint is longer than can be")
	}
	content := [1][]byte{memory[:size]}
	f.OpenTrailer(checkpoint, kind, content[:])
	return content[0]
}

// OpenTrailer reads a trailer into pieces that together are as long as the trailer. Like Open, it
// waits, and damage is a fault.
func (f *Forest) OpenTrailer(checkpoint *storage.Checkpoint, kind storage.TrailerKind, content [][]byte) {
	if reason := f.grid.ReadTrailer(kind, checkpoint.Roots[kind], content, f.checkpoint.listed, f.waiter); reason != "" {
		f.FailTrailer(checkpoint, kind, reason)
	}
}

// FailTrailer reports that a trailer cannot be. Like all damage, it ends the opening.
func (f *Forest) FailTrailer(checkpoint *storage.Checkpoint, kind storage.TrailerKind, reason string) {
	f.pages.Fail(&storage.Fault{What: storage.FaultBlock, Address: checkpoint.Roots[kind].Address, Reason: reason})
}

// CoverStep goes on with the filter of all ids for a bounded time. more: it could go on at once.
// Answers do not depend on how far it has come.
func (f *Forest) CoverStep() (more bool) { return f.levels.CoverStep(f.grid, &f.loader) }
