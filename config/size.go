package config

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"ledger/wire"
)

// units are ordered from large to small. The first one that divides a size without remainder shows
// it best.
var units = [...]struct {
	name  string
	shift uint
}{{"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}}

// ParseSize reads a size in bytes: a whole number, followed by KiB, MiB, GiB or TiB in any case, or
// by nothing.
//
// error: units of powers of ten (1GB) are refused, because people use them for powers of two as
// well.
func ParseSize(text string) (sizeBytes uint64, err error) {
	digitsCount := 0
	for digitsCount < len(text) && text[digitsCount] >= '0' && text[digitsCount] <= '9' {
		digitsCount++
	}
	digits, unit := text[:digitsCount], text[digitsCount:]
	if digits == "" {
		return 0, fmt.Errorf("must be a size, as in 256MiB")
	}
	shift, known := uint(0), unit == ""
	for _, candidate := range units {
		if strings.EqualFold(unit, candidate.name) {
			shift, known = candidate.shift, true
		}
	}
	if !known {
		for _, candidate := range units {
			// 1GB, 1G and 1 GiB: the error names the right form.
			if trimmed := strings.TrimSpace(unit); trimmed != "" && len(trimmed) <= 3 && strings.EqualFold(trimmed[:1], candidate.name[:1]) {
				return 0, fmt.Errorf("must have the unit KiB, MiB, GiB or TiB: write %s%s", digits, candidate.name)
			}
		}
		return 0, fmt.Errorf("must be a whole number with the unit KiB, MiB, GiB or TiB, as in 256MiB")
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	over, sizeBytes := bits.Mul64(number, 1<<shift)
	if err != nil || over != 0 {
		return 0, fmt.Errorf("must be below 2^64 bytes")
	}
	return sizeBytes, nil
}

// FormatSize writes a size as ParseSize reads it, in the largest unit that divides it: "512KiB".
func FormatSize(sizeBytes uint64) string {
	number, unit := sizeParts(sizeBytes)
	return strconv.FormatUint(number, 10) + unit
}

// sizeWords is FormatSize for a sentence: "512 KiB".
func sizeWords(sizeBytes uint64) string {
	number, unit := sizeParts(sizeBytes)
	if unit == "" {
		unit = "bytes"
	}
	return strconv.FormatUint(number, 10) + " " + unit
}

func sizeParts(sizeBytes uint64) (number uint64, unit string) {
	for _, unit := range units {
		if sizeBytes != 0 && sizeBytes&(1<<unit.shift-1) == 0 {
			return sizeBytes >> unit.shift, unit.name
		}
	}
	return sizeBytes, ""
}

// checkSize compares a size with its limits.
func checkSize(sizeBytes, multipleBytes, sizeBytesMin, sizeBytesMax uint64) error {
	switch {
	case sizeBytes%multipleBytes != 0:
		return fmt.Errorf("must be a multiple of %s", sizeWords(multipleBytes))
	case sizeBytes < sizeBytesMin:
		return fmt.Errorf("must be at least %s", sizeWords(sizeBytesMin))
	case sizeBytes > sizeBytesMax:
		return fmt.Errorf("must be at most %s", sizeWords(sizeBytesMax))
	}
	return nil
}

// ParseCluster reads the number of a cluster: decimal, 0 to 2^128-1. 0 is for tests; callers warn
// of it.
func ParseCluster(text string) (wire.U128, error) {
	cluster, err := wire.ParseU128(text)
	if err != nil {
		return wire.U128{}, fmt.Errorf("must be a decimal number of 0 to 2^128-1")
	}
	return cluster, nil
}

// ParseCount reads a decimal number of countMin to countMax, digits only.
func ParseCount(text string, countMin, countMax uint32) (uint32, error) {
	count, err := strconv.ParseUint(text, 10, 32)
	if err != nil || uint32(count) < countMin || uint32(count) > countMax {
		return 0, fmt.Errorf("must be a number of %d to %d", countMin, countMax)
	}
	return uint32(count), nil
}

// ParseBool reads true or false.
func ParseBool(text string) (bool, error) {
	if text != "true" && text != "false" {
		return false, fmt.Errorf("must be true or false")
	}
	return text == "true", nil
}

// spinNsMax keeps a typing error (50s) from wasting a core.
const spinNsMax = uint64(time.Second)

// ParseSpin reads the time for which an idle stage spins: a duration with its unit, as in 50us or
// 1.5ms, 0 to 1s.
func ParseSpin(text string) (spinNs uint64, err error) {
	duration, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("must be a time with its unit, as in 50us")
	}
	if duration < 0 || uint64(duration) > spinNsMax {
		return 0, fmt.Errorf("must be 0 to 1s")
	}
	return uint64(duration), nil
}
