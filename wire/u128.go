package wire

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"strconv"
)

// U128 is an unsigned 128-bit integer: an id, an amount, a cluster number. The zero value is 0; ==
// compares.
type U128 struct{ Lo, Hi uint64 }

// U128Bytes is the size of a U128 on the wire.
const U128Bytes = 16

// U128Max is 2^128-1, which means "everything" as an amount and is refused as an id.
func U128Max() U128 { return U128{^uint64(0), ^uint64(0)} }

// U128From returns value.
func U128From(value uint64) U128 { return U128{Lo: value} }

// U128FromBytes reads 16 little-endian bytes; b must hold at least as many.
func U128FromBytes(b []byte) U128 {
	_ = b[15]
	return U128{binary.LittleEndian.Uint64(b[0:8]), binary.LittleEndian.Uint64(b[8:16])}
}

// PutBytes writes 16 little-endian bytes; b must have room for as many.
func (u U128) PutBytes(b []byte) {
	_ = b[15]
	binary.LittleEndian.PutUint64(b[0:8], u.Lo)
	binary.LittleEndian.PutUint64(b[8:16], u.Hi)
}

// IsZero tells whether u is 0.
func (u U128) IsZero() bool { return u.Lo|u.Hi == 0 }

// IsMax tells whether u is 2^128-1.
func (u U128) IsMax() bool { return u.Lo&u.Hi == ^uint64(0) }

// Equal tells whether u == v.
func (u U128) Equal(v U128) bool { return u == v }

// Less tells whether u < v.
func (u U128) Less(v U128) bool {
	_, borrow := bits.Sub64(u.Lo, v.Lo, 0)
	_, borrow = bits.Sub64(u.Hi, v.Hi, borrow)
	return borrow != 0
}

// Compare returns -1, 0 or +1 for u < v, u == v, u > v.
func (u U128) Compare(v U128) int {
	switch {
	case u == v:
		return 0
	case u.Less(v):
		return -1
	default:
		return 1
	}
}

// Add returns u + v modulo 2^128, and whether the true sum is larger.
func (u U128) Add(v U128) (sum U128, overflow bool) {
	lo, carry := bits.Add64(u.Lo, v.Lo, 0)
	hi, carry := bits.Add64(u.Hi, v.Hi, carry)
	return U128{lo, hi}, carry != 0
}

// Sub returns u - v modulo 2^128, and whether the true difference is negative.
func (u U128) Sub(v U128) (difference U128, underflow bool) {
	lo, borrow := bits.Sub64(u.Lo, v.Lo, 0)
	hi, borrow := bits.Sub64(u.Hi, v.Hi, borrow)
	return U128{lo, hi}, borrow != 0
}

// String returns u in decimal.
func (u U128) String() string {
	var digits [39]byte
	return string(u.appendDecimal(digits[:0]))
}

// appendDecimal appends u in decimal to out: the high part by recursion, 19 digits (the most that
// fit a word) per level.
func (u U128) appendDecimal(out []byte) []byte {
	const chunk, chunkDigits = 10_000_000_000_000_000_000, 19
	if u.Hi == 0 && u.Lo < chunk {
		return strconv.AppendUint(out, u.Lo, 10)
	}
	hi, rest := u.Hi/chunk, u.Hi%chunk
	lo, rest := bits.Div64(rest, u.Lo, chunk)
	out = U128{lo, hi}.appendDecimal(out)
	start := len(out)
	for range chunkDigits {
		out = append(out, '0')
	}
	for i := start + chunkDigits - 1; rest != 0; i-- {
		out[i] = '0' + byte(rest%10)
		rest /= 10
	}
	return out
}

// ErrU128 is the error of ParseU128.
var ErrU128 = errors.New("not a decimal number of 0..2^128-1")

// ParseU128 reads a decimal number without sign, separators or spaces.
func ParseU128(text string) (U128, error) {
	var u U128
	if text == "" {
		return U128{}, ErrU128
	}
	for i := range len(text) {
		digit := text[i] - '0'
		if digit > 9 {
			return U128{}, ErrU128
		}
		// u*10 + digit, watching the carry out of the high word.
		carry, lo := bits.Mul64(u.Lo, 10)
		over, hi := bits.Mul64(u.Hi, 10)
		lo, c := bits.Add64(lo, uint64(digit), 0)
		hi, c = bits.Add64(hi, carry, c)
		if over|c != 0 {
			return U128{}, ErrU128
		}
		u = U128{lo, hi}
	}
	return u, nil
}
