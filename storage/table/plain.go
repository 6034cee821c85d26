package table

import (
	"encoding/binary"
	"math/bits"

	"ledger/storage"
)

// searchPlain searches the keys of a page by bisection with branches. A misprediction costs less
// than a branchless search, which would have to wait for each key before it could ask for the next.
func (s *Shape) searchPlain(page []byte, key *storage.Key) (index int, exact bool) {
	want := thirdsOf(key)
	count := s.Count(page)
	keys := page[pageHeaderBytes : pageHeaderBytes+count*s.KeyBytes]
	low, high := 0, count
	switch s.KeyBytes {
	case 16:
		for low < high {
			middle := int(uint(low+high) / 2)
			at := keys[middle*16:][:16]
			_, below := bits.Sub64(binary.BigEndian.Uint64(at[8:]), want.B, 0)
			if _, below = bits.Sub64(binary.BigEndian.Uint64(at), want.A, below); below != 0 {
				low = middle + 1
			} else {
				high = middle
			}
		}
	case 8:
		for low < high {
			middle := int(uint(low+high) / 2)
			if binary.BigEndian.Uint64(keys[middle*8:]) < want.A {
				low = middle + 1
			} else {
				high = middle
			}
		}
	default:
		for low < high {
			middle := int(uint(low+high) / 2)
			if binary.BigEndian.Uint32(keys[middle*4:]) < uint32(want.A>>32) {
				low = middle + 1
			} else {
				high = middle
			}
		}
	}
	if low == count {
		return low, false
	}
	var at [1]Words
	s.DecodeWords(page, low, at[:])
	return low, at[0] == want
}
