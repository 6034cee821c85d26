package table

// A query reads the ordinals of one value, whose entries lie one behind the other. These functions
// read them without building keys, because within a group the ordinals of a value are mostly
// distances of one byte.

// same tells whether the walker's entry has the value of key.
func (w *walker) same(key *Words) bool { return w.v0 == key.A && w.v1 == key.B }

// Ordinals fills out with the ordinals of the entries from index on that have the value of key. It
// returns their number. Less than len(out) means that the page ends or that the next entry has
// another value.
func (s *Shape) Ordinals(page []byte, index int, key *Words, out []uint64) (filled int) {
	count := s.Count(page)
	w := s.walker(page)
	at := index / restartEvery * restartEvery
	for filled < len(out) && index < count {
		w.group(at / restartEvery)
		end := min(at+restartEvery, count)
		for ; at < index; at++ {
			w.next()
		}
		if !w.same(key) {
			return filled
		}
		out[filled] = w.ordinal
		filled++
		for at++; at < end && filled < len(out); at++ {
			if code := page[w.offset]; code < codeDelta2 {
				w.ordinal += uint64(code) + 1
				w.offset++
			} else if w.next(); code >= codeValue && !w.same(key) {
				return filled
			}
			out[filled] = w.ordinal
			filled++
		}
		index = at
	}
	return filled
}

// OrdinalsBack does the same from index backwards.
func (s *Shape) OrdinalsBack(page []byte, index int, key *Words, out []uint64) (filled int) {
	var group [restartEvery]uint64
	w := s.walker(page)
	for filled < len(out) && index >= 0 {
		first := index / restartEvery * restartEvery
		w.group(first / restartEvery)
		have, older := 0, false // older: the group starts with another value
		for at := first; ; {
			if w.same(key) {
				group[have] = w.ordinal
				have++
			} else {
				have, older = 0, true
			}
			if at++; at > index {
				break
			}
			w.next()
		}
		for ; have > 0 && filled < len(out); filled++ {
			have--
			out[filled] = group[have]
			index--
		}
		if older {
			return filled
		}
	}
	return filled
}

// Mark sets bit ordinal-first of bits for each entry from index on that has the value of key. more:
// the page ended before bits or the value did. No ordinal may be below first.
func (s *Shape) Mark(page []byte, index int, key *Words, first uint64, bits []uint64) (more bool) {
	count := s.Count(page)
	end := uint64(len(bits)) * 64
	w := s.walker(page)
	at := index / restartEvery * restartEvery
	for index < count {
		w.group(at / restartEvery)
		groupEnd := min(at+restartEvery, count)
		for ; at < index; at++ {
			w.next()
		}
		for {
			distance := w.ordinal - first
			if distance >= end || !w.same(key) {
				return false
			}
			// The next entries, as long as they are distances of one byte. A word is stored when
			// the loop goes to the next one.
			word, wordAt := uint64(1)<<(distance%64), distance/64
			for at++; at < groupEnd && page[w.offset] < codeDelta2; at++ {
				distance += uint64(page[w.offset]) + 1
				w.offset++
				if distance/64 != wordAt {
					bits[wordAt] |= word
					if distance >= end {
						return false
					}
					word, wordAt = 0, distance/64
				}
				word |= 1 << (distance % 64)
			}
			bits[wordAt] |= word
			if w.ordinal = first + distance; at == groupEnd {
				break
			}
			w.next()
		}
		index = at
	}
	return true
}
