package merge

import (
	"math/bits"
	"slices"

	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/table"
	"ledger/wire"
)

// A flush of columns sorts slots of 8 bytes. (A record of key and index would take 32.) A slot is a
// window of an entry's value and, below it, the entry's index. The window starts at the highest bit
// in which values differ. Entries that differ only below the window are usually few; they are put
// in order afterwards. Entries come in order of their ordinals, so a stable sort by value is the
// order of postings.

// emitEntries is the number of entries that are packed between two chances to breathe.
const emitEntries = 64

// columnSort is the memory of a flush of columns.
type columnSort struct {
	source    storage.Columns // of the current job
	changes   storage.Changes // of the current job, for balances
	slots     [2][]uint64
	indexBits uint
	indexMask uint64
	ends      [2][1 << digitBitsWide]uint32
	keys      [emitEntries]table.Words
	balances  [storage.BalancesBytes]byte
	sink      uint64 // keeps the compiler from removing loads
}

// digitBitsWide: a slot is a quarter of a record, so the caches hold the current places of four
// times as many digits as in a sort of records.
const digitBitsWide = 10

// digitBitsOne: up to this width, one wider digit is faster than two digits.
const digitBitsOne = 8

// spareBits: with about ten times as many digits as slots, few neighbours are out of order. Each of
// them costs a mispredicted branch.
const spareBits = 3

// flushColumns writes one tree of a sealed memtable as the tables of a run.
func (m *Merger) flushColumns(job *storage.Job, c *storage.Columns) {
	shape := &m.shapes[job.Tree]
	count := c.Count()
	if count == 0 {
		return
	}
	assert.AtMost(uint64(count), m.entriesMax, "entries of a tree in a memtable")
	differ, ascend := m.survey(c)
	var slots []uint64 // nil: entries are already in order
	if !ascend {
		slots = m.columns.slots[0][:count]
		m.order(c, slots, differ, true)
	}
	width := 1
	if shape.Encoding == storage.EncodingPrefix {
		width = table.OrdinalWidth(c.Ordinal(uint32(count) - 1))
	}
	m.packer.Reset(shape, width)
	for from := 0; from < count; from += emitEntries {
		keys := m.columns.keys[:min(emitEntries, count-from)]
		if shape.Encoding == storage.EncodingPrefix {
			m.postings(shape, c, slots, from, keys)
		} else {
			m.identities(c, slots, from, keys)
		}
		m.addAll(job, keys)
		m.spend(len(keys))
	}
	m.finishTable(job)
	m.statistics.EntriesFlushed += uint64(count)
}

// postings fills keys with the keys of the entries from index from on, in order.
func (m *Merger) postings(shape *table.Shape, c *storage.Columns, slots []uint64, from int, keys []table.Words) {
	mask := m.columns.indexMask
	if slots == nil {
		for i := range keys {
			index := uint32(from + i)
			keys[i] = shape.PostingWords(c.Value(index), c.Ordinal(index))
		}
		return
	}
	slots = slots[from : from+len(keys)]
	for i, slot := range slots {
		index := uint32(slot & mask)
		keys[i].C = c.Ordinal(index)
	}
	switch {
	case c.Narrow != nil: // the window holds the whole value
		for i, slot := range slots {
			key := shape.PostingWords(wire.U128{Lo: uint64(uint32(slot >> m.columns.indexBits))}, 0)
			keys[i].A, keys[i].B = key.A, 0
		}
	case c.Numbers != nil:
		for i, slot := range slots {
			keys[i].A, keys[i].B = c.Numbers[slot&mask], 0
		}
	default:
		for i, slot := range slots {
			value := &c.Wide[slot&mask]
			keys[i].A, keys[i].B = value.Hi, value.Lo
		}
	}
}

// identities fills keys with ids and their ordinals. If ids are out of order, each read goes to
// another part of memory. The loop does nothing else, so that the processor has many reads under
// way at once.
func (m *Merger) identities(c *storage.Columns, slots []uint64, from int, keys []table.Words) {
	mask := m.columns.indexMask
	for i := range keys {
		index := uint32(from + i)
		if slots != nil {
			index = uint32(slots[from+i] & mask)
		}
		id := c.Value(index)
		ordinal := storage.TransferDeadMark
		if index < uint32(len(c.Wide)) {
			ordinal = c.Ordinal(index)
		}
		keys[i] = table.Words{A: id.Hi, B: id.Lo, C: ordinal}
	}
}

// survey tells in which bits values differ, and whether they ascend already (equal values ascend).
func (m *Merger) survey(c *storage.Columns) (differ wire.U128, ascend bool) {
	first := c.Value(0)
	ascend = true
	switch {
	case c.Narrow != nil:
		last := uint32(first.Lo)
		for part := range slices.Chunk(c.Narrow, passRecords) {
			for _, value := range part {
				differ.Lo |= uint64(value ^ last)
				ascend = ascend && value >= last
				last = value
			}
			m.spend(len(part) / 32)
		}
	case c.Numbers != nil:
		last := first.Lo
		for part := range slices.Chunk(c.Numbers, passRecords) {
			for _, value := range part {
				differ.Lo |= value ^ last
				ascend = ascend && value >= last
				last = value
			}
			m.spend(len(part) / 32)
		}
	default:
		last := first
		for _, values := range [...][]wire.U128{c.Wide, c.Dead} {
			for part := range slices.Chunk(values, passRecords) {
				for _, value := range part {
					differ.Hi |= value.Hi ^ last.Hi
					differ.Lo |= value.Lo ^ last.Lo
					ascend = ascend && !value.Less(last)
					last = value
				}
				m.spend(len(part) / 16)
			}
		}
	}
	return differ, ascend
}

// order makes slots and sorts them, for all entries or for those that the slots name. Their values
// differ in the bits of differ.
func (m *Merger) order(c *storage.Columns, slots []uint64, differ wire.U128, all bool) {
	differBits := uint(128 - bits.LeadingZeros64(differ.Hi))
	if differ.Hi == 0 {
		differBits = uint(bits.Len64(differ.Lo))
	}
	shift := uint(0)
	if windowBits := 64 - m.columns.indexBits; differBits > windowBits {
		shift = differBits - windowBits
	}
	m.window(c, slots, shift, all)
	m.sortSlots(slots, m.columns.slots[1], m.columns.indexBits, differBits-shift)
	if shift == 0 {
		return
	}
	// Values that are equal in the window may differ below.
	for i := 1; i < len(slots); i++ {
		if (slots[i]^slots[i-1])>>m.columns.indexBits != 0 {
			continue
		}
		start := i - 1
		for i++; i < len(slots) && (slots[i]^slots[start])>>m.columns.indexBits == 0; i++ {
		}
		m.orderEqual(c, slots[start:i])
	}
}

// orderEqual sorts slots with the same window by the rest of their values.
func (m *Merger) orderEqual(c *storage.Columns, slots []uint64) {
	mask := m.columns.indexMask
	if len(slots) <= insertionMax {
		for i := 1; i < len(slots); i++ {
			slot := slots[i]
			value := c.Value(uint32(slot & mask))
			j := i
			for ; j > 0 && value.Less(c.Value(uint32(slots[j-1]&mask))); j-- {
				slots[j] = slots[j-1]
			}
			slots[j] = slot
		}
		return
	}
	var differ wire.U128
	first := c.Value(uint32(slots[0] & mask))
	for part := range slices.Chunk(slots, passRecords) {
		for _, slot := range part {
			value := c.Value(uint32(slot & mask))
			differ.Hi |= value.Hi ^ first.Hi
			differ.Lo |= value.Lo ^ first.Lo
		}
		m.spend(len(part) / 8)
	}
	if !differ.IsZero() {
		m.order(c, slots, differ, false)
	}
}

// window makes the slots. A window begins at bit shift of the value. All bits above a window are
// the same in all values.
func (m *Merger) window(c *storage.Columns, slots []uint64, shift uint, all bool) {
	indexBits, mask := m.columns.indexBits, m.columns.indexMask
	for from := 0; from < len(slots); from += passRecords {
		part := slots[from:min(from+passRecords, len(slots))]
		switch {
		case all && c.Narrow != nil:
			for i, value := range c.Narrow[from : from+len(part)] {
				part[i] = uint64(value)<<indexBits | uint64(from+i)
			}
		case all && c.Numbers != nil:
			for i, value := range c.Numbers[from : from+len(part)] {
				part[i] = value>>shift<<indexBits | uint64(from+i)
			}
		default:
			for i := range part {
				index := uint64(from + i)
				if !all {
					index = part[i] & mask
				}
				value := c.Value(uint32(index))
				bitsOf := value.Lo>>shift | value.Hi<<(64-shift)
				if shift >= 64 {
					bitsOf = value.Hi >> (shift - 64)
				}
				part[i] = bitsOf<<indexBits | index
			}
		}
		m.spend(len(part) / 16)
	}
}

// sortSlots sorts slots that differ in keyBits bits from lowBit on and ascend below. It is a radix
// sort with one digit or two, which take as many of the highest bits as distinguish nearly all
// slots. With two digits, slots are distributed by the lower digit first, then by the higher one. A
// few neighbours remain to be exchanged.
func (m *Merger) sortSlots(slots, spare []uint64, lowBit, keyBits uint) {
	if len(slots) <= insertionMax {
		insertSlots(slots)
		return
	}
	spare = spare[:len(slots)]
	topBits := min(keyBits, uint(bits.Len(uint(len(slots))))+spareBits, 2*digitBitsWide)
	rest := lowBit + keyBits - topBits
	lowerBits := topBits / 2
	if topBits <= digitBitsOne {
		lowerBits = 0
	}
	lower, higher := m.columns.ends[0][:1<<lowerBits], m.columns.ends[1][:1<<(topBits-lowerBits)]
	lowerShift, higherShift := rest&63, (rest+lowerBits)&63
	clear(lower)
	clear(higher)
	for part := range slices.Chunk(slots, passRecords) {
		for _, slot := range part {
			lower[slot>>lowerShift&uint64(len(lower)-1)]++
			higher[slot>>higherShift&uint64(len(higher)-1)]++
		}
		m.spend(len(part) / 16)
	}
	if lowerBits == 0 {
		copy(spare, slots)
	} else {
		m.place(slots, spare, lower, lowerShift)
	}
	m.place(spare, slots, higher, higherShift)
	if rest == lowBit {
		return
	}
	for i := 1; i < len(slots); i++ {
		if i%passRecords == 0 {
			m.spend(passRecords / 16)
		}
		if slots[i] >= slots[i-1] {
			continue
		}
		start, end := i-1, i+1
		for start > 0 && (slots[start-1]^slots[i])>>rest == 0 {
			start--
		}
		for end < len(slots) && (slots[end]^slots[i])>>rest == 0 {
			end++
		}
		m.sortSlots(slots[start:end], spare, lowBit, rest-lowBit)
		i = end
	}
}

// place distributes slots by a digit. ends has the count of each digit.
func (m *Merger) place(slots, target []uint64, ends []uint32, shift uint) {
	sum := uint32(0)
	for i := range ends {
		ends[i], sum = sum, sum+ends[i]
	}
	assert.Equal(int(sum), len(slots), "every slot has a place")
	mask := uint64(len(ends) - 1)
	for part := range slices.Chunk(slots, passRecords) {
		for _, slot := range part {
			end := &ends[slot>>(shift&63)&mask]
			target[*end] = slot
			*end++
		}
		m.spend(len(part) / 8)
	}
}

// insertSlots sorts a few slots by insertion.
func insertSlots(slots []uint64) {
	for i := 1; i < len(slots); i++ {
		slot := slots[i]
		j := i
		for ; j > 0 && slot < slots[j-1]; j-- {
			slots[j] = slots[j-1]
		}
		slots[j] = slot
	}
}
