package forest

import (
	"fmt"

	"ledger/storage"
	"ledger/storage/forest/keys"
	"ledger/storage/rowlog"
)

// coverFirstIDs is how many ids Open adds to the filter of all ids, from the smallest runs on, before
// the first request: half a second. Of 20 runs that 100 million random ids lie in, 15 have as many.
const coverFirstIDs = 1 << 24

// Open gives an empty forest the state of checkpoint. It reads manifest, free set, the filters of
// the tables and the carried rows, from the roots on, and waits for them like any caller of Store.
// The zero Checkpoint is an empty state.
//
// The forest can be used then. CoverStep adds the ids of runs to the filter of all ids in the
// background. Damage is a fault, and Open is not resumed.
func (f *Forest) Open(checkpoint *storage.Checkpoint) {
	if checkpoint.Roots[storage.TrailerManifest].IsZero() {
		return
	}
	f.openManifest(checkpoint)
	f.checkpoint.state = *checkpoint
	f.checkpoint.job.Roots = checkpoint.Roots
	// No run is covered yet, whatever the order of the next two.
	if count := f.levels.CoverOverlapping(); count > 0 && !f.identities.Open(count) {
		f.levels.CoverNone()
	}
	f.levels.OpenFilters(f.grid)
	if f.limits.TouchesMemoryAtStart() {
		f.levels.CoverFirst(f.grid, &f.loader, coverFirstIDs)
	}
	f.openTail()
	for _, r := range f.levels.Tree(storage.TreeTransferID).Runs() {
		f.idStored(keys.IDOf(r.KeyMax()))
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
	if uint64(f.filling.transfersFirst) != checkpoint.TransfersCount || uint64(f.filling.accountsFirst) != checkpoint.AccountsCount {
		f.failTrailer(checkpoint, storage.TrailerManifest, fmt.Sprintf(
			"the manifest counts %d transfers and %d accounts, the superblock %d and %d",
			f.filling.transfersFirst, f.filling.accountsFirst, checkpoint.TransfersCount, checkpoint.AccountsCount))
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

// openTail reads the carried rows back from the partial block. The block does not contain the ids
// of their accounts; row fills them in.
func (f *Forest) openTail() {
	partial := &f.log.partial
	if partial.IsZero() {
		return
	}
	const read = 0
	f.grid.BlockStart(read, partial.Ref, 0, 0)
	for f.tail.count < partial.Entries {
		f.openRows(read)
		if f.tail.count < partial.Entries {
			f.tail.count = 0
			f.pages.Wait()
		}
	}
	f.grid.BlockEnd(read)
}

// openRows takes the carried rows once their block has been read.
func (f *Forest) openRows(read int) {
	partial := &f.log.partial
	header, ok := f.grid.BlockHeader(read)
	if !ok {
		return
	}
	if header.Tree() != storage.TreeTransferLog || header.Entries() != partial.Entries || partial.Entries > uint32(len(f.tail.rows)) {
		f.grid.BlockRefuse(read, "the table is not what the manifest says")
		return
	}
	for number := uint32(1); number <= header.DataPages(); number++ {
		page, ok := f.grid.BlockPage(read, number)
		if !ok {
			return
		}
		count := uint32(rowlog.Count(page))
		if f.tail.count+count > partial.Entries || uint64(rowlog.First(page)) != uint64(f.tail.first)+uint64(f.tail.count) {
			f.grid.BlockRefuse(read, "the rows do not follow the log")
			return
		}
		rowlog.ReadRows(page, 0, f.tail.rows[f.tail.count:f.tail.count+count])
		f.tail.count += count
	}
	if f.tail.count != partial.Entries {
		f.grid.BlockRefuse(read, "rows are missing")
	}
}

// CoverStep goes on with the filter of all ids for a bounded time. more: it could go on at once.
// Answers do not depend on how far it has come.
func (f *Forest) CoverStep() (more bool) { return f.levels.CoverStep(f.grid, &f.loader) }

// IsCovering tells whether CoverStep has work left.
func (f *Forest) IsCovering() bool { return f.levels.IsCovering() }
