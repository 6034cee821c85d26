package query

import (
	"math/bits"
	"unsafe"

	"ledger/accounting"
	"ledger/storage"
	"ledger/storage/forest/rows"
)

// blockRows is the number of rows of a memtable that are compared at a time, with a bit for each.
const blockRows = 64

// memoryCondition is a value that rows of a memtable must have in one column. An account must be in
// one of two columns.
type memoryCondition struct {
	columns [2]storage.Columns
	count   int
	value   accounting.U128
}

// memoryScan walks the rows that only memtables have. It compares column by column without a branch
// per row. So its time does not depend on how many rows match.
type memoryScan struct {
	reversed bool
	at, end  uint64 // ordinals of blocks that were not compared yet
	m        rows.Memtable
	known    bool   // m is set
	rows     uint32 // of m, as many as the columns have: more may come
	mask     uint64 // matching rows of the current block that were not returned yet
	block    uint32 // index of the block's first row

	query      *accounting.TransferScan
	conditions [conditionsMax]memoryCondition
	count      int
}

func (s *memoryScan) open(query *accounting.TransferScan, first, end uint64) {
	s.query, s.reversed, s.at, s.end, s.known, s.mask = query, query.Reversed, first, end, false, 0
}

// next returns the next matching row, or nil.
func (s *memoryScan) next(q *Query) *accounting.TransferRow {
	for blocks := 1; s.mask == 0; blocks++ {
		if s.at >= s.end {
			return nil
		}
		s.look(q)
		if blocks%256 == 0 {
			q.pages.Breathe()
		}
	}
	bit := bits.TrailingZeros64(s.mask)
	if s.reversed {
		bit = 63 - bits.LeadingZeros64(s.mask)
	}
	s.mask &^= 1 << bit
	return s.m.Row(s.block + uint32(bit))
}

// look compares the next block.
func (s *memoryScan) look(q *Query) {
	ordinal := s.at
	if s.reversed {
		ordinal = s.end - 1
	}
	if m := q.rows.Memtable(ordinal); !s.known || m != s.m {
		s.m, s.known, s.rows = m, true, m.Count()
		s.collect()
	}
	base, count := s.m.First(), s.rows
	s.block = uint32(ordinal-base) / blockRows * blockRows
	from, to := max(s.at, base+uint64(s.block)), min(s.end, base+uint64(min(s.block+blockRows, count)))
	if s.reversed {
		s.end = from
	} else {
		s.at = to
	}
	s.mask = ^uint64(0) << (from - base - uint64(s.block)) & (^uint64(0) >> (blockRows - (to - base - uint64(s.block))))
	rows := min(blockRows, count-s.block)
	for i := range s.conditions[:s.count] {
		if s.mask == 0 {
			return
		}
		c := &s.conditions[i]
		mask := uint64(0)
		for j := range c.columns[:c.count] {
			mask |= equalRows(&c.columns[j], s.block, rows, &c.value)
		}
		s.mask &= mask
	}
}

// collect sets up the conditions for the current memtable.
func (s *memoryScan) collect() {
	q := s.query
	s.count = 0
	if q.ByAccount {
		c := s.add(accounting.U128{Lo: uint64(q.Account)})
		if q.Debits {
			s.m.Columns(storage.TreeTransferDebit, &c.columns[c.count])
			c.count++
		}
		if q.Credits {
			s.m.Columns(storage.TreeTransferCredit, &c.columns[c.count])
			c.count++
		}
	}
	for field, value := range fieldsOf(q) {
		if !value.IsZero() {
			c := s.add(value)
			s.m.Columns(storage.TreeTransferUser128+storage.TreeID(field), &c.columns[0])
			c.count = 1
		}
	}
}

func (s *memoryScan) add(value accounting.U128) *memoryCondition {
	c := &s.conditions[s.count]
	s.count++
	c.count, c.value = 0, value
	return c
}

// equalRows compares a block of rows. Bit i of mask is set if row first+i has the value.
func equalRows(c *storage.Columns, first, rows uint32, value *accounting.U128) (mask uint64) {
	if c.Rows != nil { // not every row has a value
		low, high := 0, len(c.Rows)
		for low < high {
			if middle := (low + high) / 2; c.Rows[middle] < first {
				low = middle + 1
			} else {
				high = middle
			}
		}
		for ; low < len(c.Rows) && c.Rows[low] < first+rows; low++ {
			if c.Value(uint32(low)) == *value {
				mask |= 1 << (c.Rows[low] - first)
			}
		}
		return mask
	}
	full := rows == blockRows
	switch {
	case c.Narrow != nil:
		column := c.Narrow[first : first+rows]
		if full {
			return equalNarrow((*[blockRows]uint32)(column), uint32(value.Lo))
		}
		for i := range column {
			mask |= isZero(uint64(column[i]^uint32(value.Lo))) << i
		}
	case c.Numbers != nil:
		column := c.Numbers[first : first+rows]
		if full && !anyNumber((*[blockRows]uint64)(column), value.Lo) {
			return 0
		}
		for i, number := range column {
			mask |= isZero(number^value.Lo) << i
		}
	default:
		wide := c.Wide[first : first+rows]
		if full && !anyWide((*[blockRows]accounting.U128)(wide), value) {
			return 0
		}
		for i := range wide {
			mask |= isZero((wide[i].Lo^value.Lo)|(wide[i].Hi^value.Hi)) << i
		}
	}
	return mask
}

// Most blocks have no row with the value. So a block, or an eighth of it, is first asked whether
// any row has it: x-1 has the highest bit of a number set that x has not, for x = 0 and for no
// other x. For two numbers of 32 bits side by side, it tells of both together whether one is 0.
const (
	pairOnes  = 1<<32 | 1
	pairTops  = 1<<63 | 1<<31
	numberTop = 1 << 63
)

func equalNarrow(column *[blockRows]uint32, value uint32) (mask uint64) {
	pairs := (*[blockRows / 2]uint64)(unsafe.Pointer(column))
	pair := uint64(value)<<32 | uint64(value)
	for i := 0; i < blockRows/2; i += 4 {
		a, b, c, d := pairs[i]^pair, pairs[i+1]^pair, pairs[i+2]^pair, pairs[i+3]^pair
		if ((a-pairOnes)&^a|(b-pairOnes)&^b|(c-pairOnes)&^c|(d-pairOnes)&^d)&pairTops != 0 {
			mask |= equalEight((*[8]uint32)(column[2*i:]), value) << (2 * i & 63)
		}
	}
	return mask
}

func equalEight(c *[8]uint32, value uint32) uint64 {
	return isZeroNarrow(c[0]^value) | isZeroNarrow(c[1]^value)<<1 | isZeroNarrow(c[2]^value)<<2 | isZeroNarrow(c[3]^value)<<3 |
		isZeroNarrow(c[4]^value)<<4 | isZeroNarrow(c[5]^value)<<5 | isZeroNarrow(c[6]^value)<<6 | isZeroNarrow(c[7]^value)<<7
}

func anyNumber(column *[blockRows]uint64, value uint64) bool {
	found := uint64(0)
	for i := 0; i < blockRows; i += 4 {
		a, b, c, d := column[i]^value, column[i+1]^value, column[i+2]^value, column[i+3]^value
		found |= (a-1)&^a | (b-1)&^b | (c-1)&^c | (d-1)&^d
	}
	return found&numberTop != 0
}

func anyWide(column *[blockRows]accounting.U128, value *accounting.U128) bool {
	found := uint64(0)
	for i := 0; i < blockRows; i += 2 {
		a, b := column[i].Lo^value.Lo|column[i].Hi^value.Hi, column[i+1].Lo^value.Lo|column[i+1].Hi^value.Hi
		found |= (a-1)&^a | (b-1)&^b
	}
	return found&numberTop != 0
}

// isZero returns 1 for 0, and 0 for all other numbers.
func isZero(x uint64) uint64 { return 1 ^ (x|-x)>>63 }

func isZeroNarrow(x uint32) uint64 { return (uint64(x) - 1) >> 63 }
