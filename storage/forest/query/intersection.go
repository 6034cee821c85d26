package query

import "ledger/storage/forest/keys"

const (
	// conditionsMax is the account and five fields.
	conditionsMax = 1 + keys.FieldsCount

	// A scan looks for foundMin ordinals at first, and for twice as many each time, up to foundMax.
	foundMin = 64
	foundMax = 4096
	// fillBreath is the number of candidates between two breaths: marking those of a window takes
	// some 100 µs.
	fillBreath = 1024

	// windowOrdinals is the span of ordinals whose membership is marked in a bitmap.
	windowOrdinals = 1 << 16
	// seekEntries is the number of entries that can be marked in the time of one search.
	seekEntries = 256
	// warmAhead is the number of searches by which pages are read ahead, once a page was missing.
	warmAhead = 16
)

// intersection returns the ordinals in first..last that satisfy all conditions, in order.
//
// The rarest condition is streamed, a few thousand ordinals (candidates) at a time. Candidates that
// another condition does not have are dropped. If that condition has many entries among them, it
// marks its ordinals in a bitmap over their span, at one or two nanoseconds per entry. If it has
// few candidates to answer for, each is searched. If no candidate is left, the stream skips to the
// next ordinal of the condition that dropped the last ones.
type intersection struct {
	q           *Query
	conditions  [conditionsMax]condition
	count       int
	sought      int // conditions[:sought] are checked here, the others against the row
	reversed    bool
	first, last uint64 // still wanted
	span        uint64 // wanted at the beginning
	ended       bool

	found      []uint64
	foundAt    int
	foundCount int
	want       int
	window     []uint64 // bits
}

func newIntersection() intersection {
	return intersection{found: make([]uint64, foundMax), window: make([]uint64, windowOrdinals/64)}
}

// open starts with no conditions: every ordinal of first..end-1.
func (s *intersection) open(q *Query, first, end uint64, reversed bool) {
	s.q, s.count, s.sought, s.reversed, s.ended = q, 0, 0, reversed, first >= end
	s.first, s.last, s.span = first, end-1, end-first
	s.foundAt, s.foundCount, s.want = 0, 0, foundMin
}

// add adds a condition, whose streams have the bounds and the direction of the intersection.
func (s *intersection) add(streams ...*postings) {
	c := &s.conditions[s.count]
	s.count++
	c.count = copy(c.streams[:], streams)
}

// choose decides which conditions are checked here. rows is the largest number of wanted rows.
func (s *intersection) choose(rows uint32) {
	s.sought = s.count
	if s.ended || s.count == 0 {
		return
	}
	if rows > foundMin {
		s.warm()
	}
	if s.count == 1 {
		return
	}
	for i := range s.conditions[:s.count] {
		s.conditions[i].estimate()
		for j := i; j > 0 && s.conditions[j].entries < s.conditions[j-1].entries; j-- {
			s.conditions[j], s.conditions[j-1] = s.conditions[j-1], s.conditions[j]
		}
	}
	// A condition that nearly every row satisfies drops nothing. If its postings lie on more pages
	// than the rarest condition has entries, it may cost a page for each candidate, which is as
	// much as reading the row.
	s.sought = 1
	for i := 1; i < s.count; i++ {
		c := &s.conditions[i]
		if c.surely <= s.span/8*7 && c.pages <= s.conditions[0].entries {
			s.conditions[s.sought], s.conditions[i] = s.conditions[i], s.conditions[s.sought]
			s.sought++
		}
	}
}

// warm starts reading the first pages of all runs of all conditions at once.
func (s *intersection) warm() {
	for range 2 * warmAhead {
		known := true
		for i := range s.conditions[:s.count] {
			c := &s.conditions[i]
			for _, p := range c.streams[:c.count] {
				known = p.warmStart() && known
			}
		}
		if known || s.q.pages.InFlight() == 0 {
			return
		}
		s.q.pages.Wait()
	}
}

// fill finds the next ordinals. It returns false if there are none.
func (s *intersection) fill() bool {
	s.foundAt, s.foundCount = 0, 0
	for work := 0; !s.ended; {
		if work >= fillBreath {
			s.q.pages.Breathe()
			work = 0
		}
		list := s.next()
		work += foundMin + len(list)
		if len(list) == 0 {
			s.ended = true
			return false
		}
		// The bounds of the ordinals after these.
		if s.reversed {
			s.ended = list[len(list)-1] == s.first
			s.last = list[len(list)-1] - 1
		} else {
			s.ended = list[len(list)-1] == s.last
			s.first = list[len(list)-1] + 1
		}
		for i := 1; i < s.sought && len(list) > 0; i++ {
			if list = s.filter(&s.conditions[i], list); len(list) == 0 && !s.ended {
				s.skip(&s.conditions[i])
			}
		}
		if len(list) > 0 {
			s.foundCount = len(list)
			return true
		}
	}
	return false
}

// next returns the next candidates: ordinals of the rarest condition, or all ordinals.
func (s *intersection) next() []uint64 {
	list := s.found[:s.want]
	s.want = min(2*s.want, foundMax)
	if s.sought > 0 {
		list = list[:s.conditions[0].take(list)]
		// A stream may return ordinals outside of the bounds.
		for len(list) > 0 && (list[len(list)-1] > s.last || list[len(list)-1] < s.first) {
			list = list[:len(list)-1]
		}
		return list
	}
	count := min(uint64(len(list)), s.last-s.first+1)
	for i := range list[:count] {
		if s.reversed {
			list[i] = s.last - uint64(i)
		} else {
			list[i] = s.first + uint64(i)
		}
	}
	return list[:count]
}

// skip continues at the next ordinal of a condition that left no candidate.
func (s *intersection) skip(c *condition) {
	target := s.first
	if s.reversed {
		target = s.last
	}
	found, ok := c.seek(target)
	switch {
	case !ok || found < s.first || found > s.last:
		s.ended = true
	case found != target && s.reversed:
		s.last = found
		s.conditions[0].skip(found)
	case found != target:
		s.first = found
		s.conditions[0].skip(found)
	}
}

// filter drops the candidates that the condition does not have.
func (s *intersection) filter(c *condition, list []uint64) []uint64 {
	kept := 0
	for at := 0; at < len(list); {
		// The next candidates that lie in one window.
		low, high, end := list[at], list[at], at+1
		for ; end < len(list); end++ {
			if s.reversed {
				low = list[end]
			} else {
				high = list[end]
			}
			if high-low >= windowOrdinals-64 {
				break
			}
		}
		some := list[at:end]
		low, high = min(some[0], some[len(some)-1]), max(some[0], some[len(some)-1])
		expected := c.entries * (high - low + 1) / s.span // no overflow: the factors are below 2^40 and 2^16
		if uint64(len(some))*seekEntries < expected {
			kept += s.filterBySearch(c, some, list[kept:])
		} else {
			kept += s.filterByWindow(c, low, high, some, list[kept:])
		}
		at = end
	}
	return list[:kept]
}

func (s *intersection) filterByWindow(c *condition, low, high uint64, list, out []uint64) (kept int) {
	window := s.window[:(high-low)/64+1]
	clear(window)
	for _, p := range c.streams[:c.count] {
		p.mark(low, window)
	}
	for _, ordinal := range list {
		distance := ordinal - low
		out[kept] = ordinal
		kept += int(window[distance/64] >> (distance % 64) & 1)
	}
	return kept
}

func (s *intersection) filterBySearch(c *condition, list, out []uint64) (kept int) {
	warmed := 0
	for i, ordinal := range list {
		waits := s.q.pages.Waits()
		if c.has(ordinal) {
			out[kept] = ordinal
			kept++
		}
		if s.q.pages.Waits() == waits {
			continue
		}
		for warmed = max(warmed, i+1); warmed < min(len(list), i+1+warmAhead); warmed++ {
			for _, p := range c.streams[:c.count] {
				p.warmHas(list[warmed])
			}
		}
	}
	return kept
}

// one returns the next ordinal.
func (s *intersection) one() (ordinal uint64, ok bool) {
	if s.foundAt == s.foundCount && !s.fill() {
		return 0, false
	}
	ordinal = s.found[s.foundAt]
	s.foundAt++
	return ordinal, true
}
