package table

import (
	"encoding/binary"
	"math/bits"

	"ledger/storage"
)

// Words is a key as three numbers, the first bytes highest: sorting, merging and packing work on registers.
type Words struct{ A, B, C uint64 }

// WordsOf converts a key.
func WordsOf(key *storage.Key) Words {
	return Words{binary.BigEndian.Uint64(key[0:]), binary.BigEndian.Uint64(key[8:]), binary.BigEndian.Uint64(key[16:])}
}

// Put fills key.
func (w Words) Put(key *storage.Key) {
	binary.BigEndian.PutUint64(key[0:], w.A)
	binary.BigEndian.PutUint64(key[8:], w.B)
	binary.BigEndian.PutUint64(key[16:], w.C)
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

// shared counts the bytes that both keys begin with.
func (w Words) shared(other Words) int {
	if x := w.A ^ other.A; x != 0 {
		return bits.LeadingZeros64(x) / 8
	}
	if x := w.B ^ other.B; x != 0 {
		return 8 + bits.LeadingZeros64(x)/8
	}
	if x := w.C ^ other.C; x != 0 {
		return 16 + bits.LeadingZeros64(x)/8
	}
	return storage.KeyBytesMax
}

// Ordinal that ends a posting's key: ordinalBytes from valueAt on.
func (s *Shape) Ordinal(w Words) uint64 {
	hi, lo := w.A, w.B
	if s.valueAt >= 16 {
		hi, lo = w.C, 0
	} else if s.valueAt >= 8 {
		hi, lo = w.B, w.C
	}
	skip := uint(s.valueAt) % 8 * 8
	return (hi<<skip | lo>>(64-skip)) >> (64 - 8*uint(s.ordinalBytes))
}

// posting puts a value (its up to 16 bytes as two words, zeros behind) and an ordinal together.
func (s *Shape) posting(v0, v1, ordinal uint64) Words {
	top := ordinal << (64 - 8*uint(s.ordinalBytes))
	skip := uint(s.valueAt) % 8 * 8
	switch {
	case s.valueAt >= 16:
		return Words{v0, v1, top}
	case s.valueAt >= 8:
		return Words{v0, v1 | top>>skip, top << (64 - skip)}
	default:
		return Words{v0 | top>>skip, v1 | top<<(64-skip), 0}
	}
}

// valueOf is a posting's value, zeros behind.
func (s *Shape) valueOf(w Words) (v0, v1 uint64) {
	return w.A & topMask(s.valueAt), w.B & topMask(s.valueAt-8)
}

// topMask selects the first n bytes of a word; n may lie outside 0..8.
func topMask(n int) uint64 {
	if n <= 0 {
		return 0
	}
	if n >= 8 {
		return ^uint64(0)
	}
	return ^uint64(0) << (64 - 8*uint(n))
}
