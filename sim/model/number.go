package model

import (
	"encoding/binary"
	"math/bits"
)

// Number is an unsigned 128-bit number: ids, amounts, balances. It can be compared with == and be a
// key of a map.
type Number struct{ High, Low uint64 }

// NumberMax is 2^128-1.
var NumberMax = Number{^uint64(0), ^uint64(0)}

// Num makes a Number of a small one.
func Num(low uint64) Number { return Number{0, low} }

// IsZero tells whether n == 0.
func (n Number) IsZero() bool { return n == Number{} }

// Less tells whether n < other.
func (n Number) Less(other Number) bool {
	if n.High != other.High {
		return n.High < other.High
	}
	return n.Low < other.Low
}

// Plus returns n + other modulo 2^128, and whether the true sum is larger than that.
func (n Number) Plus(other Number) (sum Number, overflow bool) {
	low, carry := bits.Add64(n.Low, other.Low, 0)
	high, carry := bits.Add64(n.High, other.High, carry)
	return Number{high, low}, carry != 0
}

// Minus returns n - other modulo 2^128, and whether the true difference is negative.
func (n Number) Minus(other Number) (difference Number, negative bool) {
	low, borrow := bits.Sub64(n.Low, other.Low, 0)
	high, borrow := bits.Sub64(n.High, other.High, borrow)
	return Number{high, low}, borrow != 0
}

// mustPlus and mustMinus are for sums that the rules have proven to fit.
func mustPlus(a, b Number) Number {
	sum, overflow := a.Plus(b)
	if overflow {
		panic("model: a balance overflows after all checks passed")
	}
	return sum
}

func mustMinus(a, b Number) Number {
	difference, negative := a.Minus(b)
	if negative {
		panic("model: a balance becomes negative after all checks passed")
	}
	return difference
}

// sumOverflows tells whether the sum of all terms is above 2^128-1.
func sumOverflows(terms ...Number) bool {
	var sum Number
	for _, term := range terms {
		var overflow bool
		if sum, overflow = sum.Plus(term); overflow {
			return true
		}
	}
	return false
}

// sumExceeds tells whether a + b + c > limit, also where the sum is above 2^128-1.
func sumExceeds(a, b, c, limit Number) bool {
	if sumOverflows(a, b, c) {
		return true
	}
	return limit.Less(mustPlus(mustPlus(a, b), c))
}

func lesser(a, b Number) Number {
	if b.Less(a) {
		return b
	}
	return a
}

// NumberAt reads 16 bytes, little-endian.
func NumberAt(b []byte) Number {
	return Number{High: binary.LittleEndian.Uint64(b[8:]), Low: binary.LittleEndian.Uint64(b)}
}

// Put writes 16 bytes, little-endian.
func (n Number) Put(b []byte) {
	binary.LittleEndian.PutUint64(b, n.Low)
	binary.LittleEndian.PutUint64(b[8:], n.High)
}
