package records

import (
	"fmt"
	"math/big"
	"strings"

	"ledger/wire"
)

// digitsMax bounds the work for one number; 128 bits have 128 digits at most, in base 2.
const digitsMax = 256

// ParseNumber reads an unsigned number of so many bits.
//
// Forms: decimal, 0x hexadecimal, 0o octal, 0b binary; "_" between digits is ignored. A minus sign
// counts downward from the largest number: -0 is the largest one, -1 the one below.
func ParseNumber(text string, bits uint) (wire.U128, error) {
	digits, isDownward := strings.CutPrefix(text, "-")
	base, kind := 10, "decimal"
	for prefix, form := range map[string]struct {
		base int
		kind string
	}{"0x": {16, "hexadecimal"}, "0o": {8, "octal"}, "0b": {2, "binary"}} {
		if rest, ok := strings.CutPrefix(digits, prefix); ok {
			digits, base, kind = rest, form.base, form.kind
			break
		}
	}
	if digits == "" {
		return wire.U128{}, fmt.Errorf("no digits in it")
	}
	if digits[0] == '_' || digits[len(digits)-1] == '_' || strings.Contains(digits, "__") {
		return wire.U128{}, fmt.Errorf("\"_\" stands between two digits only")
	}
	digits = strings.ReplaceAll(digits, "_", "")
	for _, digit := range digits {
		if value := digitValue(digit); value < 0 || value >= base {
			return wire.U128{}, fmt.Errorf("%q is no %s digit", digit, kind)
		}
	}
	if digits = strings.TrimLeft(digits, "0"); digits == "" {
		digits = "0"
	}
	value, ok := new(big.Int), false
	if len(digits) <= digitsMax {
		value, ok = value.SetString(digits, base)
	}
	if !ok || uint(value.BitLen()) > bits {
		return wire.U128{}, fmt.Errorf("larger than 2^%d-1", bits)
	}
	var bytes [16]byte
	value.FillBytes(bytes[:])
	for i := range 8 {
		bytes[i], bytes[15-i] = bytes[15-i], bytes[i]
	}
	number := wire.U128FromBytes(bytes[:])
	if isDownward {
		number, _ = numberMax(bits).Sub(number)
	}
	return number, nil
}

func digitValue(digit rune) int {
	switch {
	case digit >= '0' && digit <= '9':
		return int(digit - '0')
	case digit >= 'a' && digit <= 'f':
		return int(digit-'a') + 10
	case digit >= 'A' && digit <= 'F':
		return int(digit-'A') + 10
	}
	return -1
}

// numberMax is the largest number of so many bits.
func numberMax(bits uint) wire.U128 {
	if bits == 128 {
		return wire.U128Max()
	}
	return wire.U128From(^uint64(0) >> (64 - bits))
}
