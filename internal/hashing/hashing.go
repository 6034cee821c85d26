// Package hashing gives hash tables in memory a secret key. Without it, a client that chooses ids
// could choose their positions.
//
// With a fixed hash, a client can compute many ids that all begin at one slot of a table. Each
// lookup then walks over all of them (hash flooding). Each process draws its key at random, and no
// reply reveals it, so this is impossible.
//
// Hashes with a key must not reach replicated state or the disk, because replicas have different
// keys. So the order of a table's slots is never used, and the filters in the data file, which are
// equal on all replicas, have a fixed hash of their own.
package hashing

import (
	"math/bits"

	"ledger/internal/assert"
)

// Key of a process's hash tables.
type Key struct {
	high, highFactor uint64
	low, lowFactor   uint64
	// Multiplier spreads ordinals: (number * Multiplier) >> shift is the place in a table of
	// 1<<(64-shift) slots.
	Multiplier uint64
}

// NewKey derives a key from a seed. The same seed gives the same key.
func NewKey(seed uint64) Key {
	random := stream(seed)
	return Key{
		high: random.next(), highFactor: random.factor(), low: random.next(), lowFactor: random.factor(), Multiplier: random.spreading(),
	}
}

// Hash spreads the two halves of an id over 64 bits. Each half is combined with a secret and
// multiplied by a secret. The halves of each product are folded, so that high bits of the id reach
// low bits of the hash. The highest bits of low affect only the top of the product's lower half,
// for every factor. The last step therefore moves that top down.
func (k *Key) Hash(low, high uint64) uint64 {
	h1, l1 := bits.Mul64(high^k.high, k.highFactor)
	h2, l2 := bits.Mul64(low^k.low^h1^l1, k.lowFactor)
	folded := h2 ^ l2
	return folded ^ folded>>47
}

// stream is splitmix64, which makes pseudorandom words from a counter.
type stream uint64

func (s *stream) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// factor draws an odd multiplier of which about half the bits are set.
func (s *stream) factor() uint64 {
	for {
		if factor := s.next() | 1; bits.OnesCount64(factor) >= 24 && bits.OnesCount64(factor) <= 40 {
			return factor
		}
	}
}

const (
	quotientMax    = 8
	denominatorMax = 1 << 26 // more than the slots of any table
	drawsMax       = 10_000
)

// spreading draws an odd multiplier that spreads consecutive numbers evenly over a table of any
// size, like the golden ratio. Multiples of a fraction crowd together if the fraction is close to
// one with a small denominator. Such a fraction has a large quotient in its continued fraction.
// About one draw in ten has none.
func (s *stream) spreading() uint64 {
	for range drawsMax {
		if factor := s.next() | 1; spreads(factor) {
			return factor
		}
	}
	assert.That(false, "one of many random multipliers spreads consecutive numbers")
	return 0
}

// spreads tells whether all quotients of factor / 2^64 are small, up to the denominators that
// tables can have.
func spreads(factor uint64) bool {
	if factor>>61 == 0 {
		return false // its first quotient is above quotientMax
	}
	// Euclid's algorithm on 2^64 and factor. The first step begins at 2^64 - factor, since 2^64 does
	// not fit a word.
	quotient, rest := -factor/factor+1, -factor%factor
	before, denominator := uint64(1), quotient
	for numerator, divisor := factor, rest; denominator < denominatorMax; {
		if divisor == 0 || quotient > quotientMax {
			return false
		}
		quotient = numerator / divisor
		numerator, divisor = divisor, numerator%divisor
		before, denominator = denominator, quotient*denominator+before
	}
	return quotient <= quotientMax
}
