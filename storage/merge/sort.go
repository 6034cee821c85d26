package merge

import (
	"math/bits"
	"slices"

	"ledger/storage/table"
)

// record is a key and the index of its entry in the memtable.
type record struct {
	table.Words
	index     uint32
	tombstone bool
}

func (r *record) less(other *record) bool { return r.Words.Less(other.Words) }

// word is a third of the key.
func (r *record) word(number int) uint64 {
	switch number {
	case 0:
		return r.A
	case 1:
		return r.B
	default:
		return r.C
	}
}

// insertionMax is the length up to which an insertion sort is faster than another pass.
const insertionMax = 24

// passRecords is the number of records that a pass moves between two chances to breathe.
const passRecords = 4096

// digitBitsMax: with wider digits, moving records to their places misses the caches (measured with
// 12).
const digitBitsMax = 8

// sort sorts records by their keys, with spare as a second array. It is a radix sort, most
// significant digit first. Random keys are in order after two or three passes, postings after one
// pass per byte in which their values differ.
func (m *Merger) sort(records, spare []record) {
	if len(records) <= insertionMax {
		insert(records)
		return
	}
	// The bits that all keys share are skipped.
	first := &records[0]
	var a, b, c uint64
	for part := range slices.Chunk(records, passRecords) {
		for i := range part {
			r := &part[i]
			a |= r.A ^ first.A
			b |= r.B ^ first.B
			c |= r.C ^ first.C
		}
		m.spend(len(part) / 16)
	}
	switch {
	case a != 0:
		m.distribute(records, spare, 0, bits.Len64(a))
	case b != 0:
		m.distribute(records, spare, 1, bits.Len64(b))
	case c != 0:
		m.distribute(records, spare, 2, bits.Len64(c))
	}
}

// insert sorts a few records by insertion.
func insert(records []record) {
	for i := 1; i < len(records); i++ {
		if !records[i].less(&records[i-1]) {
			continue
		}
		r := records[i]
		j := i
		for ; j > 0 && r.less(&records[j-1]); j-- {
			records[j] = records[j-1]
		}
		records[j] = r
	}
}

// distribute moves records to the place of their digit and sorts each place. The digit begins at
// the highest bit in which their words differ, which is bit bitsCount of the word.
func (m *Merger) distribute(records, spare []record, word, bitsCount int) {
	digitBits := min(bits.Len(uint(len(records)))-2, bitsCount, digitBitsMax) // about 4 records to a place
	var places [1 << digitBitsMax]uint32
	ends := places[:1<<digitBits]
	shift, mask := uint(bitsCount-digitBits), uint64(len(ends)-1)
	for part := range slices.Chunk(records, passRecords) {
		for i := range part {
			ends[part[i].word(word)>>shift&mask]++
		}
		m.spend(len(part) / 16)
	}
	sum := uint32(0)
	for i := range ends {
		ends[i], sum = sum, sum+ends[i]
	}
	for part := range slices.Chunk(records, passRecords) {
		for i := range part {
			end := &ends[part[i].word(word)>>shift&mask]
			spare[*end] = part[i]
			*end++
		}
		m.spend(len(part) / 4)
	}
	for at := 0; at < len(records); at += passRecords {
		copied := copy(records[at:], spare[at:min(at+passRecords, len(records))])
		m.spend(copied / 8)
	}
	start := uint32(0)
	for _, end := range ends {
		if end-start > 1 {
			m.sort(records[start:end], spare)
		}
		start = end
	}
}
