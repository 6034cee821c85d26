package table

import (
	"encoding/binary"
	"math/bits"

	"ledger/storage"
)

// First byte of an entry of a prefix page that is not the first of its group.
const (
	codeDelta2  = 0x80 // below: same value, ordinal distance 1..128
	codeDelta3  = 0xC0 // from codeDelta2 on: distance of 14 bits, one more byte
	codeValue   = 0xE0 // from codeDelta3 on: distance of 21 bits, two more bytes
	codeOrdinal = 0xF8 // same value, a whole ordinal of the page's width
	sharedMax   = codeOrdinal - codeValue - 1

	delta2From = 129
	delta3From = delta2From + 1<<14
	deltaEnd   = delta3From + 1<<21

	// entrySlack is the size of the longest entry: a code, a value and an ordinal. Entries are read
	// and written in whole words if the page has that many bytes left.
	entrySlack = 1 + 16 + 8
)

// OrdinalWidth is the number of bytes of ordinals up to max, at least 1.
func OrdinalWidth(max uint64) int { return (bits.Len64(max|1) + 7) / 8 }

// PageWidth is the width of the ordinals of a prefix page.
func (s *Shape) PageWidth(page []byte) int { return int(page[2]) }

// restart returns the offset of the group's first entry.
func restart(page []byte, group int) int {
	return int(binary.LittleEndian.Uint16(page[len(page)-2*(group+1):]))
}

// walker goes through the entries of a prefix page.
type walker struct {
	page         []byte
	offset       int
	width        int
	valueAt      int
	v0, v1       uint64 // the value
	ordinal      uint64
	ordinalShift uint // 64 less the bits of the width
}

func (s *Shape) walker(page []byte) walker {
	width := s.PageWidth(page)
	return walker{page: page, width: width, valueAt: s.valueAt, ordinalShift: uint(64 - 8*width)}
}

// window returns entrySlack bytes from offset on, with zeros for bytes behind the page.
func (w *walker) window(offset int, spare *[entrySlack]byte) []byte {
	if offset+entrySlack <= len(w.page) {
		return w.page[offset : offset+entrySlack]
	}
	copy(spare[:], w.page[offset:])
	return spare[:]
}

// group goes to the first entry of a group.
func (w *walker) group(number int) {
	offset := restart(w.page, number)
	var spare [entrySlack]byte
	data := w.window(offset, &spare)
	w.v0 = binary.BigEndian.Uint64(data) & topMask(w.valueAt)
	w.v1 = binary.BigEndian.Uint64(data[8:]) & topMask(w.valueAt-8)
	w.ordinal = binary.BigEndian.Uint64(data[w.valueAt:]) >> w.ordinalShift
	w.offset = offset + w.valueAt + w.width
}

// next goes to the next entry of the group.
func (w *walker) next() {
	code := w.page[w.offset]
	switch {
	case code < codeDelta2:
		w.ordinal += uint64(code) + 1
		w.offset++
	case code < codeDelta3:
		w.ordinal += uint64(code&0x3f)<<8 | uint64(w.page[w.offset+1])
		w.ordinal += delta2From
		w.offset += 2
	case code < codeValue:
		w.ordinal += uint64(code&0x1f)<<16 | uint64(binary.BigEndian.Uint16(w.page[w.offset+1:]))
		w.ordinal += delta3From
		w.offset += 3
	default:
		w.whole(code)
	}
}

// whole reads an entry that has a new value, or a whole ordinal.
func (w *walker) whole(code byte) {
	var spare [entrySlack]byte
	data := w.window(w.offset, &spare)
	fresh := 0 // bytes of the value
	if code != codeOrdinal {
		shared := int(code - codeValue)
		fresh = w.valueAt - shared
		f0 := binary.BigEndian.Uint64(data[1:]) & topMask(fresh)
		f1 := binary.BigEndian.Uint64(data[9:]) & topMask(fresh-8)
		w.v0 &= topMask(shared)
		w.v1 &= topMask(shared - 8)
		if shared < 8 {
			skip := 8 * uint(shared)
			w.v0 |= f0 >> skip
			w.v1 |= f1>>skip | f0<<(64-skip)
		} else {
			w.v1 |= f0 >> (8 * uint(shared-8))
		}
	}
	w.ordinal = binary.BigEndian.Uint64(data[1+fresh:]) >> w.ordinalShift
	w.offset += 1 + fresh + w.width
}

func (s *Shape) wordsPrefix(page []byte, index int, out []Words) {
	if skip := index % restartEvery; skip > 0 {
		w := s.walker(page)
		w.group(index / restartEvery)
		head := out[:min(len(out), restartEvery-skip)]
		for i := range skip + len(head) {
			if i > 0 {
				w.next()
			}
			if i >= skip {
				head[i-skip] = Words{w.v0, w.v1, w.ordinal}
			}
		}
		index, out = index+len(head), out[len(head):]
	}
	for len(out) > 0 {
		group := out[:min(len(out), restartEvery)]
		s.groupWords(page, index/restartEvery, group)
		index, out = index+len(group), out[len(group):]
	}
}

// groupWords decodes the front of a group, like walker, with all state in registers.
func (s *Shape) groupWords(page []byte, number int, out []Words) {
	w := s.walker(page)
	w.group(number)
	out[0] = Words{w.v0, w.v1, w.ordinal}
	v0, v1, ordinal, offset, width, ordinalShift := w.v0, w.v1, w.ordinal, w.offset, w.width, w.ordinalShift
	valueAt, mask0, mask1 := s.valueAt, topMask(s.valueAt), topMask(s.valueAt-8)
	const ones = ^uint64(0)
	for i := 1; i < len(out); i++ {
		if offset+entrySlack > len(page) {
			w.v0, w.v1, w.ordinal, w.offset = v0, v1, ordinal, offset
			for ; i < len(out); i++ {
				w.next()
				out[i] = Words{w.v0, w.v1, w.ordinal}
			}
			return
		}
		entry := page[offset : offset+entrySlack]
		switch code := entry[0]; {
		case code < codeDelta2:
			ordinal += uint64(code) + 1
			offset++
		case code < codeDelta3:
			ordinal += uint64(binary.BigEndian.Uint16(entry)&0x3fff) + delta2From
			offset += 2
		case code < codeValue:
			ordinal += uint64(binary.BigEndian.Uint32(entry)>>8&0x1fffff) + delta3From
			offset += 3
		case code == codeOrdinal:
			ordinal = binary.BigEndian.Uint64(entry[1:]) >> (ordinalShift & 63)
			offset += 1 + width
		default:
			shared := int(code - codeValue)
			fresh := valueAt - shared
			f0, keep := binary.BigEndian.Uint64(entry[1:]), 8*uint(shared)
			if shared < 8 {
				v0 = v0&^(ones>>keep) | f0>>keep&mask0
				v1 = (f0<<(64-keep) | binary.BigEndian.Uint64(entry[9:])>>keep) & mask1
			} else {
				v1 = v1&^(ones>>(keep-64)) | f0>>(keep-64)&mask1
			}
			ordinal = binary.BigEndian.Uint64(entry[1+fresh:]) >> (ordinalShift & 63)
			offset += 1 + fresh + width
		}
		out[i] = Words{v0, v1, ordinal}
	}
}

func (s *Shape) searchPrefix(page []byte, key *storage.Key) (index int, exact bool) {
	count, want := s.Count(page), s.WordsOf(key)
	w := s.walker(page)
	low, high := 0, (count+restartEvery-1)/restartEvery // the first group whose first key is above want is in low..high
	for low < high {
		middle := int(uint(low+high) / 2)
		if w.group(middle); want.Less(Words{w.v0, w.v1, w.ordinal}) {
			high = middle
		} else {
			low = middle + 1
		}
	}
	if low == 0 {
		return 0, false
	}
	index = (low - 1) * restartEvery
	w.group(low - 1)
	for {
		if at := (Words{w.v0, w.v1, w.ordinal}); !at.Less(want) {
			return index, at == want
		}
		if index++; index == count || index%restartEvery == 0 {
			return index, false // the next group starts above want
		}
		w.next()
	}
}
