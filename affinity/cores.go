package affinity

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// CoresMax is the number of cores that a set can name: as many as the kernel's fixed-size mask.
const CoresMax = 1024

// CoreSet is a set of core numbers, 0 to CoresMax-1. The zero value is empty; sets compare with ==.
//
// A core here is what the kernel calls a CPU: one hardware thread.
type CoreSet struct {
	words [CoresMax / 64]uint64
}

// Cores returns the set of the given cores, each below CoresMax.
func Cores(cores ...int) (set CoreSet) {
	for _, core := range cores {
		set.Add(core)
	}
	return set
}

// Add puts core, 0 to CoresMax-1, into the set.
func (s *CoreSet) Add(core int) { s.words[core/64] |= 1 << (core % 64) }

// Has tells whether core is in the set; false for any number that no set can hold.
func (s CoreSet) Has(core int) bool {
	return core >= 0 && core < CoresMax && s.words[core/64]&(1<<(core%64)) != 0
}

// Count is the number of cores in the set.
func (s CoreSet) Count() (count int) {
	for _, word := range s.words {
		count += bits.OnesCount64(word)
	}
	return count
}

// IsEmpty tells whether no core is in the set.
func (s CoreSet) IsEmpty() bool { return s == CoreSet{} }

// First is the lowest core of the set, -1 if it is empty.
func (s CoreSet) First() int {
	for i, word := range s.words {
		if word != 0 {
			return i*64 + bits.TrailingZeros64(word)
		}
	}
	return -1
}

// List returns the cores in ascending order.
func (s CoreSet) List() []int {
	list := make([]int, 0, s.Count())
	for i, word := range s.words {
		for ; word != 0; word &= word - 1 {
			list = append(list, i*64+bits.TrailingZeros64(word))
		}
	}
	return list
}

// And returns the cores that are in both sets.
func (s CoreSet) And(other CoreSet) CoreSet {
	for i := range s.words {
		s.words[i] &= other.words[i]
	}
	return s
}

// Or returns the cores that are in either set.
func (s CoreSet) Or(other CoreSet) CoreSet {
	for i := range s.words {
		s.words[i] |= other.words[i]
	}
	return s
}

// String writes the set as the kernel does: "2-5,8"; "none" if it is empty.
func (s CoreSet) String() string {
	if s.IsEmpty() {
		return "none"
	}
	var out strings.Builder
	for core := 0; core < CoresMax; core++ {
		if !s.Has(core) {
			continue
		}
		last := core
		for s.Has(last + 1) {
			last++
		}
		if out.Len() > 0 {
			out.WriteByte(',')
		}
		out.WriteString(strconv.Itoa(core))
		if last > core {
			out.WriteByte('-')
			out.WriteString(strconv.Itoa(last))
		}
		core = last
	}
	return out.String()
}

// ParseCores reads a list of cores and ranges: "2", "2,3", "2-5,8". Naming a core twice is a
// mistake, and so is an empty list.
func ParseCores(text string) (set CoreSet, err error) {
	if text == "" {
		return CoreSet{}, fmt.Errorf("must name at least one core, as in 2, 2,3 or 2-5,8")
	}
	for item := range strings.SplitSeq(text, ",") {
		firstText, lastText, isRange := strings.Cut(item, "-")
		first, err := parseNumber(firstText, CoresMax-1, "core")
		if err != nil {
			return CoreSet{}, err
		}
		last := first
		if isRange {
			if last, err = parseNumber(lastText, CoresMax-1, "core"); err != nil {
				return CoreSet{}, err
			}
			if last < first {
				return CoreSet{}, fmt.Errorf("range %s must ascend", item)
			}
		}
		for core := first; core <= last; core++ {
			if set.Has(core) {
				return CoreSet{}, fmt.Errorf("names core %d twice", core)
			}
			set.Add(core)
		}
	}
	return set, nil
}

// parseNumber reads a decimal number of digits only, 0 to limit.
func parseNumber(text string, limit int, what string) (int, error) {
	for _, digit := range []byte(text) {
		if digit < '0' || digit > '9' {
			return 0, fmt.Errorf("%q is no %s number", text, what)
		}
	}
	number, err := strconv.Atoi(text)
	if text == "" || err != nil || number > limit {
		return 0, fmt.Errorf("%q is no %s number: must be 0 to %d", text, what, limit)
	}
	return number, nil
}
