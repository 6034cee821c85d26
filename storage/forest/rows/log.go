package rows

import (
	"encoding/binary"

	"ledger/internal/arena"
	"ledger/storage"
)

// logBlocksMax is the room of the manifest in blocks of rows, for 2 TiB. A forest that needs more
// treats it as a full disk.
const logBlocksMax = 1 << 22

// rowLog is the full blocks of the transfer log, in order of ordinals, and the partial block of the
// last checkpoint.
type rowLog struct {
	tables  []storage.Table
	firsts  []uint64 // first ordinal of each block
	stamps  []uint64 // first timestamp of each block
	count   uint32
	partial storage.Table // Address 0: none
}

func newRowLog(a *arena.Arena, blocksMax uint64) rowLog {
	const name = "manifest"
	index := arena.Options{Class: arena.Index}
	return rowLog{
		tables: arena.SliceWith[storage.Table](a, blocksMax, name, index),
		firsts: arena.SliceWith[uint64](a, blocksMax, name, index),
		stamps: arena.SliceWith[uint64](a, blocksMax, name, index),
	}
}

func (l *rowLog) add(t *storage.Table) bool {
	if uint64(l.count) == uint64(len(l.tables)) {
		return false
	}
	l.tables[l.count] = *t
	l.firsts[l.count] = binary.BigEndian.Uint64(t.KeyMin[0:])
	l.stamps[l.count] = binary.BigEndian.Uint64(t.KeyMin[8:])
	l.count++
	return true
}

// Has tells whether a block of rows is one of the log.
func (k Keeper) Has(ref storage.Ref) bool {
	l := &k.s.log
	for i := range l.tables[:l.count] {
		if l.tables[i].Ref == ref {
			return true
		}
	}
	return l.partial.Ref == ref
}

// lastAtMost returns the index of the last element that is at most value, or -1. Elements ascend.
func lastAtMost(elements []uint64, value uint64) int {
	low, high := 0, len(elements)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if elements[middle] <= value {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low - 1
}
