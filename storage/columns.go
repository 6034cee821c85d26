package storage

import "ledger/wire"

// Columns are the entries of a tree in a sealed memtable as arrays: a flush streams through them,
// where calls for each entry would go from row to row.
type Columns struct {
	// Values, of which one is not nil: of 2 or 4 bytes, of 8, of 16.
	Narrow  []uint32
	Numbers []uint64
	Wide    []wire.U128

	// Rows are the rows that the entries are of, ascending; nil: entry i is of row i. A row's ordinal
	// is that of the first row and the row.
	Rows         []uint32
	OrdinalFirst uint64
	// Dead follow Wide (TreeTransferID, whose keys are the values alone): ids that stand for no row.
	Dead []wire.U128
}

// Count of the entries.
func (c *Columns) Count() int { return len(c.Narrow) + len(c.Numbers) + len(c.Wide) + len(c.Dead) }

// Value of an entry.
func (c *Columns) Value(index uint32) wire.U128 {
	switch {
	case c.Narrow != nil:
		return wire.U128{Lo: uint64(c.Narrow[index])}
	case c.Numbers != nil:
		return wire.U128{Lo: c.Numbers[index]}
	case index < uint32(len(c.Wide)):
		return c.Wide[index]
	default:
		return c.Dead[index-uint32(len(c.Wide))]
	}
}

// Ordinal of an entry.
func (c *Columns) Ordinal(index uint32) uint64 {
	if c.Rows != nil {
		index = c.Rows[index]
	}
	return c.OrdinalFirst + uint64(index)
}
