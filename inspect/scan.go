package inspect

import (
	"github.com/zeebo/blake3"

	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/datafile"
)

// readersCount is how many blocks are read at once: enough to keep a disk busy while others are
// verified.
const readersCount = 8

func (f *File) readers() []reader {
	readers := make([]reader, readersCount)
	for i := range readers {
		readers[i] = reader{f, f.buffer(), f.buffer()}
	}
	return readers
}

// verified is a block that was read.
type verified struct {
	sum     [32]byte // of its used pages, if sums are wanted
	isWhole bool
	damage  []Damage
}

// scan reads all blocks in the order of their addresses, and verifies their used pages. Of blocks
// in known nothing is read. done is called after each block with the bytes read, by any of the
// readers.
func (f *File) scan(s *datafile.Copy, c *contents, readers []reader, known map[storage.Ref][32]byte, sums bool,
	done func(bytes uint64)) []verified {
	order, results := c.inOrder(), make([]verified, len(c.blocks))
	share(readers, len(order), func(r *reader, i int) {
		n, v := &c.blocks[order[i]], &results[order[i]]
		if sum, isKnown := known[n.ref]; isKnown {
			v.sum, v.isWhole = sum, true
			return
		}
		done(f.verify(s, n, r.first, sums, v))
	})
	for i := range results {
		if results[i].isWhole {
			known[c.blocks[i].ref] = results[i].sum
		}
	}
	return results
}

// usedBytes is how much of a block is read: of a table, what the manifest says.
func (f *File) usedBytes(n *named) uint64 {
	if n.table != nil {
		return uint64(n.table.PagesUsed) * uint64(f.limits.PageBytes)
	}
	return uint64(f.limits.BlockBytes)
}

// verify reads a block and finds all of its damaged pages.
func (f *File) verify(s *datafile.Copy, n *named, buffer []byte, sums bool, v *verified) (bytes uint64) {
	wrong := func(what string, page uint32, reason string) {
		v.damage = append(v.damage, f.damageOf(n, &storage.Fault{What: what, Page: page, Reason: reason}))
	}
	offset := f.blockOffset(n.ref.Address)
	if offset == 0 {
		wrong(storage.FaultDisk, 0, "there can be no block at this address")
		return 0
	}
	buffer = buffer[:f.usedBytes(n)]
	pageBytes := f.limits.PageBytes
	isRead := f.file.ReadAt(buffer, offset) == nil
	if !isRead { // page by page: the others may be whole
		if err := f.file.ReadAt(buffer[:pageBytes], offset); err != nil {
			wrong(storage.FaultBlock, 0, err.Error())
			return uint64(len(buffer))
		}
	}
	header := block.HeaderPage(buffer[:pageBytes])
	if reason := block.VerifyHeader(&f.geometry, header, n.ref, s.Cluster); reason != "" {
		if isZero(header) {
			reason = "the header page is all zeros"
		}
		wrong(storage.FaultBlock, 0, reason)
		return uint64(len(buffer))
	}
	if t := n.table; t != nil && (header.Kind() != block.KindTable || header.Tree() != t.Tree || header.Entries() != t.Entries ||
		header.PagesUsed() != uint32(t.PagesUsed)) {
		wrong(storage.FaultBlock, 0, "the table is not what the manifest says")
		return uint64(len(buffer))
	}
	used := buffer[:header.PagesUsed()*pageBytes]
	for page := uint32(1); page < header.PagesUsed(); page++ {
		data := used[page*pageBytes : (page+1)*pageBytes]
		if !isRead {
			if err := f.file.ReadAt(data, offset+uint64(page)*uint64(pageBytes)); err != nil {
				wrong(storage.FaultBlock, page, err.Error())
				continue
			}
		}
		if reason := block.VerifyPage(header, page, data); reason != "" {
			wrong(storage.FaultBlock, page, reason)
		}
	}
	if v.isWhole = len(v.damage) == 0; v.isWhole && sums {
		v.sum = blake3.Sum256(used)
	}
	return uint64(len(buffer))
}
