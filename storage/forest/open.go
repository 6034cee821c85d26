package forest

import (
	"fmt"

	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/forest/keys"
	"ledger/storage/rowlog"
)

// Open gives a new forest the state of checkpoint. It reads and verifies manifest, free set,
// filters and carried rows, from the roots on. It runs before the pipeline starts. The zero
// Checkpoint is an empty state.
//
// error: a *storage.Fault that names the block.
func (f *Forest) Open(file ports.File, checkpoint storage.Checkpoint) error {
	if checkpoint.Roots[storage.TrailerManifest].IsZero() {
		return nil
	}
	memory := arena.New()
	defer memory.Close()
	scratch := memory.Bytes(uint64(f.limits.BlockBytes), uint64(f.limits.SectorBytes), "open")
	trailer := func(kind storage.TrailerKind, most uint64) ([]byte, *storage.Fault) {
		size := checkpoint.TrailerBytes[kind]
		if size > most {
			return nil, &storage.Fault{What: storage.FaultBlock, Address: checkpoint.Roots[kind].Address,
				Reason: "a trailer of the checkpoint is longer than can be"}
		}
		content := memory.Bytes(size, 8, "open")
		return content, block.ReadTrailer(file, f.gridOffset, &f.geometry, f.cluster, kind, checkpoint.Roots[kind], content, scratch, nil)
	}
	manifest, fault := trailer(storage.TrailerManifest, uint64(len(f.checkpoint.manifest)))
	if fault != nil {
		return fault
	}
	freeSet, fault := trailer(storage.TrailerFreeSet, uint64(len(f.checkpoint.freeSet)))
	if fault != nil {
		return fault
	}
	if err := f.manifestDecode(manifest, checkpoint.Op); err != nil {
		return &storage.Fault{What: storage.FaultBlock, Address: checkpoint.Roots[storage.TrailerManifest].Address, Reason: err.Error()}
	}
	if err := f.freeSet.Decode(freeSet); err != nil {
		return &storage.Fault{What: storage.FaultBlock, Address: checkpoint.Roots[storage.TrailerFreeSet].Address, Reason: err.Error()}
	}
	if uint64(f.filling.transfersFirst) != checkpoint.TransfersCount || uint64(f.filling.accountsFirst) != checkpoint.AccountsCount {
		return &storage.Fault{What: storage.FaultBlock, Address: checkpoint.Roots[storage.TrailerManifest].Address, Reason: fmt.Sprintf(
			"the manifest counts %d transfers and %d accounts, the superblock %d and %d",
			f.filling.transfersFirst, f.filling.accountsFirst, checkpoint.TransfersCount, checkpoint.AccountsCount)}
	}
	f.checkpoint.state = checkpoint
	f.checkpoint.job.Roots = checkpoint.Roots
	f.openIdentities()
	if fault := f.openFilters(file, memory); fault != nil {
		return fault
	}
	if fault := f.openTail(file, scratch); fault != nil {
		return fault
	}
	for _, r := range f.levels.Tree(storage.TreeTransferID).Runs() {
		f.idStored(keys.IDOf(r.KeyMax()))
	}
	f.selfCheck()
	return nil
}

// openTail reads the carried rows back from the partial block. The block does not contain the ids
// of their accounts; row fills them in.
func (f *Forest) openTail(file ports.File, scratch []byte) *storage.Fault {
	partial := &f.log.partial
	if partial.IsZero() {
		return nil
	}
	if fault := block.ReadBlock(file, f.gridOffset, &f.geometry, f.cluster, partial.Ref, scratch); fault != nil {
		return fault
	}
	header := block.HeaderPage(scratch[:f.geometry.PageBytes])
	if header.Tree() != storage.TreeTransferLog || header.Entries() != partial.Entries || partial.Entries > uint32(len(f.tail.rows)) {
		return &storage.Fault{What: storage.FaultBlock, Address: partial.Address, Reason: "the table is not what the manifest says"}
	}
	for number := uint32(1); number <= header.DataPages(); number++ {
		page := scratch[number*f.geometry.PageBytes : (number+1)*f.geometry.PageBytes]
		count := uint32(rowlog.Count(page))
		if f.tail.count+count > partial.Entries || uint64(rowlog.First(page)) != uint64(f.tail.first)+uint64(f.tail.count) {
			return &storage.Fault{What: storage.FaultBlock, Address: partial.Address, Page: number, Reason: "the rows do not follow the log"}
		}
		rowlog.ReadRows(page, 0, f.tail.rows[f.tail.count:f.tail.count+count])
		f.tail.count += count
	}
	if f.tail.count != partial.Entries {
		return &storage.Fault{What: storage.FaultBlock, Address: partial.Address, Reason: "rows are missing"}
	}
	return nil
}
