package forest

import (
	"sync"
	"sync/atomic"

	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/forest/ids"
	"ledger/storage/forest/levels"
)

// openIdentities makes room in the filter of all ids for the runs that it has to cover.
func (f *Forest) openIdentities() {
	if count := f.levels.CoverOverlapping(); count > 0 && !f.identities.Open(count) {
		f.levels.CoverNone()
	}
}

// filterRead is the result of reading a source. A reader that is idle fills it again.
type filterRead struct {
	hashes []uint64 // of a covered run's ids
	fault  *storage.Fault
}

// openFilters reads the filters of all tables that have one. For the ids of covered runs it reads
// whole tables, some 28 bytes per id. If the file allows it, several threads read and verify while
// this one adds ids.
func (f *Forest) openFilters(file ports.File, memory *arena.Arena) *storage.Fault {
	sources, fault := f.levels.FilterSources()
	if fault != nil || len(sources) == 0 {
		return fault
	}
	scratch := func() []byte { return memory.Bytes(uint64(f.limits.BlockBytes), uint64(f.limits.SectorBytes), "open") }
	loader := ids.NewLoader(memory, &f.identities)
	readers := 1
	if shared, ok := file.(ports.SharedFile); ok {
		readers = min(shared.ReadersMax(), len(sources))
	}
	if readers == 1 {
		var read filterRead
		for own, i := scratch(), 0; i < len(sources); i++ {
			if f.readFilter(file, &sources[i], own, &read); read.fault != nil {
				return read.fault
			}
			loader.Add(read.hashes)
		}
		loader.End()
		return nil
	}
	reads := 2 * readers
	empty, full := make(chan *filterRead, reads), make(chan *filterRead, reads)
	for range reads {
		empty <- &filterRead{}
	}
	var next atomic.Int64
	var running sync.WaitGroup
	for range readers {
		own := scratch()
		running.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(sources)); i = next.Add(1) - 1 {
				read := <-empty
				f.readFilter(file, &sources[i], own, read)
				full <- read
			}
		})
	}
	go func() {
		running.Wait()
		close(full)
	}()
	for read := range full {
		if read.fault != nil && fault == nil {
			fault = read.fault
			next.Store(int64(len(sources))) // the others end
		}
		loader.Add(read.hashes)
		empty <- read
	}
	loader.End()
	return fault
}

// readFilter reads and verifies the wanted part of a table. scratch has the size of a block.
func (f *Forest) readFilter(file ports.File, s *levels.FilterSource, scratch []byte, read *filterRead) {
	read.hashes, read.fault = read.hashes[:0], nil
	tab, size := s.Table, f.geometry.PageBytes
	damage := func(page uint32, reason string) {
		read.fault = &storage.Fault{What: storage.FaultBlock, Address: tab.Address, Page: page, Reason: reason}
	}
	readAt := func(buffer []byte, page uint32) bool {
		err := file.ReadAt(buffer, f.gridOffset+f.geometry.Offset(tab.Address, page))
		if err != nil {
			read.fault = &storage.Fault{What: storage.FaultDisk, Address: tab.Address, Reason: err.Error()}
		}
		return err == nil
	}
	pages := uint32(1)
	if s.IDs {
		pages = uint32(tab.PagesUsed)
	}
	if !readAt(scratch[:pages*size], 0) {
		return
	}
	header := block.HeaderPage(scratch[:size])
	if reason := block.VerifyHeader(&f.geometry, header, tab.Ref, f.cluster); reason != "" {
		damage(0, reason)
		return
	}
	if header.Tree() != tab.Tree || header.Entries() != tab.Entries || header.PagesUsed() != uint32(tab.PagesUsed) ||
		header.FilterPages() != s.Shape.FilterPages(tab.Entries) {
		damage(0, "the table is not what the manifest says")
		return
	}
	first := header.DataPages() + 1
	from := uint32(1) // the page that lies behind the header page in scratch
	if !s.IDs {
		if from = first; !readAt(scratch[size:(1+header.FilterPages())*size], from) {
			return
		}
	}
	target := s.Filter
	for number := from; number < header.PagesUsed(); number++ {
		page := scratch[(1+number-from)*size:][:size]
		if reason := block.VerifyPage(header, number, page); reason != "" {
			damage(number, reason)
			return
		}
		if number < first {
			read.hashes = s.Shape.FilterHashes(page, read.hashes)
		} else {
			target = target[copy(target, page):]
		}
	}
}
