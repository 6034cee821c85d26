package clock

import "ledger/limits"

// Interval of offsets, both ends included.
type Interval struct {
	Lower, Upper int64
}

// Marzullo returns the smallest interval that lies in as many of the sources' intervals as any
// interval does, and their number. Of equally small ones the lowest is taken. No interval of a
// source is empty.
func Marzullo(sources []Interval) (best Interval, count int) {
	var lowers, uppers [limits.ReplicasMax]int64
	for i, s := range sources {
		insert(lowers[:i+1], s.Lower)
		insert(uppers[:i+1], s.Upper)
	}
	// Between a lower end and the next upper end the number of intervals is as large as it is around
	// there: it has just grown, and is about to fall.
	inside := 0
	for l, u := 0, 0; u < len(sources); {
		if l < len(sources) && lowers[l] <= uppers[u] {
			inside++
			l++
			continue
		}
		if l > 0 {
			if s := (Interval{lowers[l-1], uppers[u]}); inside > count || inside == count && s.width() < best.width() {
				best, count = s, inside
			}
		}
		inside--
		u++
	}
	return best, count
}

func (s Interval) width() uint64 { return uint64(s.Upper) - uint64(s.Lower) }

// insert puts value where it belongs in a list whose last place is free.
func insert(sorted []int64, value int64) {
	at := len(sorted) - 1
	for at > 0 && sorted[at-1] > value {
		sorted[at] = sorted[at-1]
		at--
	}
	sorted[at] = value
}
