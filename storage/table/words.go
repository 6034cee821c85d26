package table

import (
	"encoding/binary"

	"ledger/storage"
)

// Words is a key as three numbers that compare like the key. So sorting, merging and packing work
// in registers. For a plain tree, the numbers are the key's bytes, the first byte highest. For a
// posting, A and B are the value, the first byte highest, and C is the ordinal.
type Words struct{ A, B, C uint64 }

// WordsOf converts a key.
func (s *Shape) WordsOf(key *storage.Key) Words {
	w := thirdsOf(key)
	if s.Encoding == storage.EncodingPrefix {
		return s.split(w)
	}
	return w
}

// Put fills key.
func (s *Shape) Put(w Words, key *storage.Key) {
	if s.Encoding == storage.EncodingPrefix {
		w = s.join(w)
	}
	binary.BigEndian.PutUint64(key[0:], w.A)
	binary.BigEndian.PutUint64(key[8:], w.B)
	binary.BigEndian.PutUint64(key[16:], w.C)
}

// thirdsOf converts a key's bytes, eight to a number.
func thirdsOf(key *storage.Key) Words {
	return Words{binary.BigEndian.Uint64(key[0:]), binary.BigEndian.Uint64(key[8:]), binary.BigEndian.Uint64(key[16:])}
}

// Less tells whether w comes before other.
func (w Words) Less(other Words) bool {
	if w.A != other.A {
		return w.A < other.A
	}
	if w.B != other.B {
		return w.B < other.B
	}
	return w.C < other.C
}

// split splits the bytes of a posting's key into the value and the ordinal. The ordinal has
// ordinalBytes bytes from valueAt on.
func (s *Shape) split(thirds Words) Words {
	hi, lo := thirds.A, thirds.B
	if s.valueAt >= 16 {
		hi, lo = thirds.C, 0
	} else if s.valueAt >= 8 {
		hi, lo = thirds.B, thirds.C
	}
	skip := uint(s.valueAt) % 8 * 8
	ordinal := (hi<<skip | lo>>(64-skip)) >> (64 - 8*uint(s.ordinalBytes))
	return Words{thirds.A & topMask(s.valueAt), thirds.B & topMask(s.valueAt-8), ordinal}
}

// join is the inverse of split.
func (s *Shape) join(w Words) Words {
	top := w.C << (64 - 8*uint(s.ordinalBytes))
	skip := uint(s.valueAt) % 8 * 8
	switch {
	case s.valueAt >= 16:
		return Words{w.A, w.B, top}
	case s.valueAt >= 8:
		return Words{w.A, w.B | top>>skip, top << (64 - skip)}
	default:
		return Words{w.A | top>>skip, w.B | top<<(64-skip), 0}
	}
}

// topMask selects the first n bytes of a word. n may lie outside of 0..8.
func topMask(n int) uint64 {
	if n <= 0 {
		return 0
	}
	if n >= 8 {
		return ^uint64(0)
	}
	return ^uint64(0) << (64 - 8*uint(n))
}
