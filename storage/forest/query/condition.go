package query

// condition of a query: the value of an indexed field. The account filter is a condition on two
// fields, of which either may match.
type condition struct {
	streams [2]*postings
	count   int
	entries uint64 // estimates: the sums of its streams'
	surely  uint64
	pages   uint64
}

func (c *condition) estimate() {
	c.entries, c.surely, c.pages = 0, 0, 0
	for _, p := range c.streams[:c.count] {
		p.estimate()
		c.entries += p.entries
		c.surely += p.surely
		c.pages += p.pages
	}
}

// take fills out with the next ordinals of the condition and returns their number. Fewer than
// len(out) means that there are no more.
func (c *condition) take(out []uint64) (taken int) {
	a := c.streams[0]
	if c.count == 1 {
		for taken < len(out) && (a.at < a.count || a.refill()) {
			copied := copy(out[taken:], a.buffer[a.at:a.count])
			a.at += copied
			taken += copied
		}
		return taken
	}
	b := c.streams[1]
	for ; taken < len(out); taken++ {
		hasA, hasB := a.at < a.count || a.refill(), b.at < b.count || b.refill()
		switch {
		case hasA && (!hasB || (a.buffer[a.at] < b.buffer[b.at]) != a.reversed):
			out[taken] = a.buffer[a.at]
			a.at++
		case hasB:
			out[taken] = b.buffer[b.at]
			b.at++
		default:
			return taken
		}
	}
	return taken
}

func (c *condition) skip(target uint64) {
	for _, p := range c.streams[:c.count] {
		p.skip(target)
	}
}

// seek returns the condition's first ordinal from target on, in the scan's direction.
func (c *condition) seek(target uint64) (ordinal uint64, ok bool) {
	for _, p := range c.streams[:c.count] {
		found, has := p.seek(target)
		if has && (!ok || (found < ordinal) != p.reversed) {
			ordinal, ok = found, true
		}
	}
	return ordinal, ok
}

func (c *condition) has(ordinal uint64) bool {
	for _, p := range c.streams[:c.count] {
		if p.has(ordinal) {
			return true
		}
	}
	return false
}
