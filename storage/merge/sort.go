package merge

import (
	"math/bits"
	"slices"

	"ledger/storage/table"
)

// record is a key, and where its entry lies in the memtable.
type record struct {
	table.Words
	index     uint32
	tombstone bool
}

func (r *record) less(other *record) bool { return r.Words.Less(other.Words) }

// digit is 8 bits of the key, from bit number depth of its 192 on.
func (r *record) digit(word, shift uint) uint8 {
	switch word {
	case 0:
		return uint8(r.A >> shift)
	case 1:
		return uint8(r.B >> shift)
	default:
		return uint8(r.C >> shift)
	}
}

// insertionMax is the length up to which insertion beats another pass.
const insertionMax = 24

// passRecords is how many records a pass moves between two chances to breathe.
const passRecords = 4096

// sort puts records in order of their keys, with spare as room to move. Most significant digit first: random keys are in
// place after two or three passes, postings after one per byte in which their values differ.
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
		m.distribute(records, spare, 0, shiftOf(a))
	case b != 0:
		m.distribute(records, spare, 1, shiftOf(b))
	case c != 0:
		m.distribute(records, spare, 2, shiftOf(c))
	}
}

// insert sorts a few records.
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

// shiftOf says where the 8 bits lie that begin with the highest set one.
func shiftOf(differ uint64) uint {
	length := uint(bits.Len64(differ))
	if length <= 8 {
		return 0
	}
	return length - 8
}

// distribute moves records to their digit's place and sorts each place.
func (m *Merger) distribute(records, spare []record, word, shift uint) {
	var ends [256]uint32
	for part := range slices.Chunk(records, passRecords) {
		for i := range part {
			ends[part[i].digit(word, shift)]++
		}
		m.spend(len(part) / 16)
	}
	sum := uint32(0)
	for i := range ends {
		ends[i], sum = sum, sum+ends[i]
	}
	for part := range slices.Chunk(records, passRecords) {
		for i := range part {
			end := &ends[part[i].digit(word, shift)]
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
