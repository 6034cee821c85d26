package table

import (
	"bytes"
	"encoding/binary"

	"ledger/storage"
)

// searchPlain halves the keys of a page. Most comparisons end with the first word.
func (s *Shape) searchPlain(page []byte, key *storage.Key) (index int, exact bool) {
	low, high := 0, s.Count(page)
	keys := page[pageHeaderBytes:s.valuesAt]
	if s.KeyBytes < 8 { // account ordinals
		want := binary.BigEndian.Uint32(key[:])
		for low < high {
			middle := int(uint(low+high) / 2)
			if binary.BigEndian.Uint32(keys[middle*s.KeyBytes:]) < want {
				low = middle + 1
			} else {
				high = middle
			}
		}
		return low, low < s.Count(page) && binary.BigEndian.Uint32(keys[low*s.KeyBytes:]) == want
	}
	want := binary.BigEndian.Uint64(key[:])
	for low < high {
		middle := int(uint(low+high) / 2)
		at := keys[middle*s.KeyBytes : (middle+1)*s.KeyBytes]
		word := binary.BigEndian.Uint64(at)
		if word < want || word == want && bytes.Compare(at[8:], key[8:s.KeyBytes]) < 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, low < s.Count(page) && bytes.Equal(keys[low*s.KeyBytes:(low+1)*s.KeyBytes], key[:s.KeyBytes])
}
