package forest

import (
	"bytes"
	"sort"

	"ledger/accounting"
	"ledger/storage"
	"ledger/storage/block"
)

// postingCursor gives the ordinals of one value of one posting tree, in order, by seeking. Ordinals grow with time, so the
// runs follow each other: from the oldest to the newest, or backwards.
type postingCursor struct {
	f          *Forest
	tree       *tree
	value      accounting.U128
	valueBytes int
	run        int // index in tree.ordered
	inRun      bool
	cursor     cursor
}

func newPostingCursor() postingCursor { return postingCursor{cursor: newCursor()} }

func (p *postingCursor) open(f *Forest, id storage.TreeID, value accounting.U128, reversed bool) {
	p.f, p.tree, p.value, p.valueBytes = f, &f.trees[id], value, postingValueBytes(id)
	p.run, p.inRun = 0, false
	if reversed {
		p.run = len(p.tree.ordered) - 1
	}
}

// here returns the current ordinal if the cursor stands at the value.
func (p *postingCursor) here(key *storage.Key) (uint64, bool) {
	c := &p.cursor
	if !c.valid || !bytes.Equal(c.key[:p.valueBytes], key[:p.valueBytes]) {
		return 0, false
	}
	return postingOrdinal(p.tree.id, &c.key), true
}

// seek returns the first ordinal that is at least target. Targets must not fall.
func (p *postingCursor) seek(target uint64) (ordinal uint64, ok bool) {
	for ; p.run < len(p.tree.ordered); p.run, p.inRun = p.run+1, false {
		r := p.tree.ordered[p.run]
		if r.ordinalEnd <= target {
			continue
		}
		key := postingKey(p.tree.id, p.value, target)
		c := &p.cursor
		switch {
		case !p.inRun:
			c.open(p.f, p.tree.id, r)
			c.seek(&key)
			p.inRun = true
		case c.valid && c.key.Compare(&key) < 0:
			if c.keys[c.count-1].Compare(&key) < 0 {
				c.at = c.count - 1
				c.next() // the entries behind are the likely ones
			}
			if c.valid && c.keys[c.count-1].Compare(&key) < 0 {
				c.seek(&key)
			} else if c.valid {
				keys := c.keys[c.at:c.count]
				c.set(c.at + sort.Search(len(keys), func(i int) bool { return keys[i].Compare(&key) >= 0 }))
			}
		}
		if ordinal, ok := p.here(&key); ok {
			return ordinal, true
		}
	}
	return 0, false
}

// seekBack returns the last ordinal that is at most target. Targets must not rise.
func (p *postingCursor) seekBack(target uint64) (ordinal uint64, ok bool) {
	for ; p.run >= 0; p.run, p.inRun = p.run-1, false {
		r := p.tree.ordered[p.run]
		if r.ordinalFirst > target {
			continue
		}
		// A target behind the run may be too wide for a key.
		key := postingKey(p.tree.id, p.value, min(target, r.ordinalEnd-1))
		c := &p.cursor
		switch {
		case !p.inRun:
			c.open(p.f, p.tree.id, r)
			c.seekBack(&key)
			p.inRun = true
		case c.valid && c.key.Compare(&key) > 0:
			if c.keys[0].Compare(&key) > 0 {
				c.at = 0
				c.previous()
			}
			if c.valid && c.keys[0].Compare(&key) > 0 {
				c.seekBack(&key)
			} else if c.valid {
				keys := c.keys[:c.at+1]
				c.set(sort.Search(len(keys), func(i int) bool { return keys[i].Compare(&key) > 0 }) - 1)
			}
		}
		if ordinal, ok := p.here(&key); ok {
			return ordinal, true
		}
	}
	return 0, false
}

// estimate is roughly how many ordinals in first..last the value has, and never far below the truth.
func (p *postingCursor) estimate(first, last uint64) (entries uint64) {
	for _, r := range p.tree.ordered {
		if r.ordinalEnd <= first || r.ordinalFirst > last {
			continue
		}
		low := postingKey(p.tree.id, p.value, max(first, r.ordinalFirst))
		high := postingKey(p.tree.id, p.value, min(last, r.ordinalEnd-1))
		i, j := r.search(&low, fenceOf(&low)), r.search(&high, fenceOf(&high))
		for ; i <= j && i < r.count(); i++ {
			t := &r.tables[i]
			if t.KeyMin.Compare(&high) > 0 {
				break
			}
			header := block.HeaderPage(p.f.page(t.Ref, 0))
			pages := p.tree.shape.PageFind(header, &high) - p.tree.shape.PageFind(header, &low) + 1
			entries += uint64(pages) * uint64(t.Entries) / uint64(header.DataPages())
		}
	}
	return entries
}

// condition of a query: a value that an indexed field has, or (the account filter) that one of two fields has.
type condition struct {
	cursors  [2]*postingCursor
	count    int
	estimate uint64
}

func (c *condition) seek(target uint64, reversed bool) (ordinal uint64, ok bool) {
	for i := range c.count {
		var found uint64
		var has bool
		if reversed {
			found, has = c.cursors[i].seekBack(target)
		} else {
			found, has = c.cursors[i].seek(target)
		}
		if has && (!ok || !reversed && found < ordinal || reversed && found > ordinal) {
			ordinal, ok = found, true
		}
	}
	return ordinal, ok
}

// conditionsMax: the account, and five fields.
const conditionsMax = 1 + fieldsCount

// A condition with so many times the ordinals of the rarest one is not sought but checked on the row.
const seekRatioMax = 16

// intersection gives the ordinals in first..last that fulfil all conditions, in order: every stream moves to the
// furthest of all by seeking, until they agree.
type intersection struct {
	conditions  [conditionsMax]condition
	count       int
	sought      int // conditions[:sought] are sought; the others are left to the row
	reversed    bool
	first, last uint64
	ended       bool
}

func (s *intersection) open(first, end uint64, reversed bool) {
	s.count, s.sought, s.reversed, s.ended = 0, 0, reversed, first >= end
	s.first, s.last = first, end-1
}

func (s *intersection) add(cursors ...*postingCursor) {
	c := &s.conditions[s.count]
	s.count++
	c.count = copy(c.cursors[:], cursors)
}

// choose decides which conditions are sought: the rare ones.
func (s *intersection) choose() {
	s.sought = s.count
	if s.ended || s.count < 2 {
		return
	}
	for i := range s.conditions[:s.count] {
		c := &s.conditions[i]
		c.estimate = 0
		for j := range c.count {
			c.estimate += c.cursors[j].estimate(s.first, s.last)
		}
		for j := i; j > 0 && s.conditions[j].estimate < s.conditions[j-1].estimate; j-- {
			s.conditions[j], s.conditions[j-1] = s.conditions[j-1], s.conditions[j]
		}
	}
	for s.sought > 1 && s.conditions[s.sought-1].estimate/seekRatioMax > s.conditions[0].estimate {
		s.sought--
	}
}

// next returns the next ordinal.
func (s *intersection) next() (ordinal uint64, ok bool) {
	if s.ended {
		return 0, false
	}
	ordinal = s.first
	if s.reversed {
		ordinal = s.last
	}
	for i, agreed := 0, 0; agreed < s.sought; i = (i + 1) % s.sought {
		found, ok := s.conditions[i].seek(ordinal, s.reversed)
		if !ok || found < s.first || found > s.last {
			s.ended = true
			return 0, false
		}
		if found != ordinal {
			ordinal, agreed = found, 0
		}
		agreed++
	}
	switch {
	case s.first == s.last:
		s.ended = true
	case s.reversed && ordinal == s.first, !s.reversed && ordinal == s.last:
		s.ended = true
	case s.reversed:
		s.last = ordinal - 1
	default:
		s.first = ordinal + 1
	}
	return ordinal, true
}
