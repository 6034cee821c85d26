package forest

import (
	"fmt"

	"ledger/arena"
	"ledger/ports"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/rowlog"
)

// Open gives a new forest the state of checkpoint: manifest, free set, filters and carried rows are read and verified from
// the roots on. It runs before the pipeline does. The zero Checkpoint is an empty state.
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
			return nil, &storage.Fault{What: storage.FaultBlock, Address: checkpoint.Roots[kind].Address, Reason: "a trailer of the checkpoint is longer than can be"}
		}
		content := memory.Bytes(size, 8, "open")
		return content, block.ReadChain(file, f.gridOffset, &f.geometry, f.cluster, kind, checkpoint.Roots[kind], content, scratch, nil)
	}
	manifest, fault := trailer(storage.TrailerManifest, uint64(len(f.checkpoint.manifest)))
	if fault != nil {
		return fault
	}
	freeSet, fault := trailer(storage.TrailerFreeSet, uint64(len(f.checkpoint.freeSet)))
	if fault != nil {
		return fault
	}
	if err := f.manifestDecode(manifest); err != nil {
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
	if fault := f.openFilters(file, scratch); fault != nil {
		return fault
	}
	if fault := f.openTail(file, scratch); fault != nil {
		return fault
	}
	for _, r := range f.trees[storage.TreeTransferID].ordered {
		f.idStored(idOfKey(&r.tables[len(r.tables)-1].KeyMax))
	}
	f.selfCheck()
	return nil
}

// openFilters reads the filters of all tables that have one: their header pages and the last pages.
func (f *Forest) openFilters(file ports.File, scratch []byte) *storage.Fault {
	for id := range f.trees {
		t := &f.trees[id]
		if !t.spec.Filter {
			continue
		}
		for i := range t.levels {
			l := &t.levels[i]
			for j := range l.runs {
				if fault := f.openRunFilters(file, t, &l.runs[j].tableList, scratch); fault != nil {
					return fault
				}
			}
			if fault := f.openRunFilters(file, t, &l.merge.output.tableList, scratch); fault != nil {
				return fault
			}
		}
	}
	return nil
}

func (f *Forest) openRunFilters(file ports.File, t *tree, list *tableList, scratch []byte) *storage.Fault {
	for i := range list.tables {
		table := &list.tables[i]
		damage := func(page uint32, reason string) *storage.Fault {
			return &storage.Fault{What: storage.FaultBlock, Address: table.Address, Page: page, Reason: reason}
		}
		size := f.geometry.PageBytes
		if err := file.ReadAt(scratch[:size], f.gridOffset+f.geometry.Offset(table.Address, 0)); err != nil {
			return &storage.Fault{What: storage.FaultDisk, Address: table.Address, Reason: err.Error()}
		}
		header := block.HeaderPage(scratch[:size])
		if reason := block.VerifyHeader(&f.geometry, header, table.Ref, f.cluster); reason != "" {
			return damage(0, reason)
		}
		if header.Tree() != table.Tree || header.Entries() != table.Entries || header.FilterPages() != t.shape.FilterPages(table.Entries) {
			return damage(0, "the table is not what the manifest says")
		}
		slot := f.filters.get()
		if slot == 0 {
			return &storage.Fault{What: storage.FaultStorageLimit, Reason: "the memory of filters is full"}
		}
		list.filters[i] = slot
		target := f.filters.of(slot, table.Entries, &t.shape)
		first := header.DataPages() + 1
		if err := file.ReadAt(scratch[size:size+header.FilterPages()*size], f.gridOffset+f.geometry.Offset(table.Address, first)); err != nil {
			return &storage.Fault{What: storage.FaultDisk, Address: table.Address, Reason: err.Error()}
		}
		for n := range header.FilterPages() {
			page := scratch[(n+1)*size : (n+2)*size]
			if reason := block.VerifyPage(header, first+n, page); reason != "" {
				return damage(first+n, reason)
			}
			target = target[copy(target, page):]
		}
	}
	return nil
}

// openTail reads the carried rows back from the partial block. Their accounts' ids are not in it; row fills them in.
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
