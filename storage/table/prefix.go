package table

import (
	"encoding/binary"
	"math/bits"

	"ledger/storage"
)

// First bytes of an entry of a prefix page that is not the first of its group.
const (
	codeDelta2  = 0x80 // below: same value, ordinal distance 1..128
	codeDelta3  = 0xC0 // from codeDelta2 on: 14 bits, one more byte
	codeValue   = 0xE0 // from codeDelta3 on: 21 bits, two more bytes
	codeOrdinal = 0xF8 // same value, a whole ordinal of the page's width
	sharedMax   = codeOrdinal - codeValue - 1

	delta2From = 129
	delta3From = delta2From + 1<<14
	deltaEnd   = delta3From + 1<<21
)

// Ordinal that ends a posting's key.
func (s *Shape) Ordinal(key *storage.Key) uint64 { return s.ordinalOf(key) }

// ordinalOf reads the ordinal behind a posting's value.
func (s *Shape) ordinalOf(key *storage.Key) uint64 {
	return binary.BigEndian.Uint64(key[s.valueAt:]) >> (64 - 8*uint(s.ordinalBytes))
}

// ordinalPut writes it. The bytes behind it stay zero.
func (s *Shape) ordinalPut(key *storage.Key, ordinal uint64) {
	binary.BigEndian.PutUint64(key[s.valueAt:], ordinal<<(64-8*uint(s.ordinalBytes)))
}

// readUint reads width bytes, the most significant first.
func readUint(data []byte, width int) (value uint64) {
	for _, b := range data[:width] {
		value = value<<8 | uint64(b)
	}
	return value
}

func putUint(data []byte, width int, value uint64) {
	for i := width - 1; i >= 0; i-- {
		data[i] = byte(value)
		value >>= 8
	}
}

// OrdinalWidth is how many bytes ordinals up to max need, at least 1.
func OrdinalWidth(max uint64) int {
	if max == 0 {
		return 1
	}
	return (bits.Len64(max) + 7) / 8
}

// PageWidth is the width of the ordinals of a prefix page.
func (s *Shape) PageWidth(page []byte) int { return int(page[2]) }

// restart returns the offset of the group's first entry.
func restart(page []byte, group int) int {
	return int(binary.LittleEndian.Uint16(page[len(page)-2*(group+1):]))
}

// restartKey fills key with the first key of a group and returns the offset behind it.
func (s *Shape) restartKey(page []byte, group int, key *storage.Key) int {
	offset, width := restart(page, group), s.PageWidth(page)
	*key = storage.Key{}
	copy(key[:s.valueAt], page[offset:])
	s.ordinalPut(key, readUint(page[offset+s.valueAt:], width))
	return offset + s.valueAt + width
}

// next turns the key before an entry into the entry's key and returns the offset behind the entry.
func (s *Shape) next(page []byte, offset, width int, key *storage.Key) int {
	code := page[offset]
	offset++
	switch {
	case code < codeDelta2:
		s.ordinalPut(key, s.ordinalOf(key)+uint64(code)+1)
		return offset
	case code < codeDelta3:
		s.ordinalPut(key, s.ordinalOf(key)+(uint64(code&0x3f)<<8|uint64(page[offset]))+delta2From)
		return offset + 1
	case code < codeValue:
		s.ordinalPut(key, s.ordinalOf(key)+(uint64(code&0x1f)<<16|uint64(binary.BigEndian.Uint16(page[offset:])))+delta3From)
		return offset + 2
	case code < codeOrdinal:
		shared := int(code - codeValue)
		copy(key[shared:s.valueAt], page[offset:])
		offset += s.valueAt - shared
	}
	s.ordinalPut(key, readUint(page[offset:], width))
	return offset + width
}

func (s *Shape) decodePrefix(page []byte, index int, out []storage.Key) {
	width, group := s.PageWidth(page), index/restartEvery
	var key storage.Key
	offset, at := 0, group*restartEvery
	for filled := 0; filled < len(out); at++ {
		if at%restartEvery == 0 {
			offset = s.restartKey(page, at/restartEvery, &key)
		} else {
			offset = s.next(page, offset, width, &key)
		}
		if at >= index {
			out[filled] = key
			filled++
		}
	}
}

func (s *Shape) searchPrefix(page []byte, want *storage.Key) (index int, exact bool) {
	count := s.Count(page)
	var key storage.Key
	low, high := 0, (count+restartEvery-1)/restartEvery // the first group whose first key is above want is in low..high
	for low < high {
		middle := int(uint(low+high) / 2)
		if s.restartKey(page, middle, &key); key.Compare(want) > 0 {
			high = middle
		} else {
			low = middle + 1
		}
	}
	if low == 0 {
		return 0, false
	}
	width := s.PageWidth(page)
	index = (low - 1) * restartEvery
	offset := s.restartKey(page, low-1, &key)
	for {
		if compared := key.Compare(want); compared >= 0 {
			return index, compared == 0
		}
		if index++; index == count || index%restartEvery == 0 {
			return index, false // the group that follows starts above want
		}
		offset = s.next(page, offset, width, &key)
	}
}
