package query

import (
	"bytes"

	"ledger/accounting"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/forest/keys"
	"ledger/storage/forest/levels"
	"ledger/storage/table"
)

const (
	streamOrdinals = 256 // ordinals that a stream decodes at a time
	aheadPages     = 8   // pages of postings that are read ahead
)

// postings are the ordinals of one value in one tree. Ordinals grow with time. So the runs follow
// each other, the oldest first, and in each run the value's entries lie together. There are three
// ways to use them: as a stream in order, as a bitmap, and by asking for single ordinals.
type postings struct {
	q          *Query
	tree       *levels.Tree
	id         storage.TreeID
	value      accounting.U128
	key        table.Words // the value
	prefix     storage.Key // the value, and ordinal 0
	valueBytes int

	// The position of the stream.
	reversed    bool
	first, last uint64 // bounds of the wanted ordinals
	run         int    // index in tree.ordered
	inRun       bool
	place       place
	buffer      []uint64
	at, count   int

	entries uint64 // in first..last: an estimate that is never far too low
	surely  uint64 // lower bound of entries
	pages   uint64 // number of pages on which they lie
}

// place is where an entry lies in a run.
type place struct {
	table int
	page  uint32
	index int
}

func newPostings() postings { return postings{buffer: make([]uint64, streamOrdinals)} }

// open names the value and the wanted ordinals first..last.
func (p *postings) open(q *Query, id storage.TreeID, value accounting.U128, first, last uint64, reversed bool) {
	p.q, p.tree, p.id, p.value, p.valueBytes = q, q.levels.Tree(id), id, value, keys.ValueBytes(id)
	p.key, p.prefix = p.tree.Shape().PostingWords(value, 0), keys.Posting(id, value, 0)
	p.first, p.last, p.reversed = first, last, reversed
	p.run, p.inRun, p.at, p.count = 0, false, 0, 0
	if reversed {
		p.run = len(p.tree.Runs()) - 1
	}
}

// of tells whether a key belongs to the value.
func (p *postings) of(key *storage.Key) bool {
	return bytes.Equal(key[:p.valueBytes], p.prefix[:p.valueBytes])
}

func (p *postings) header(r *levels.Run, table int) block.HeaderPage {
	return block.HeaderPage(p.q.pages.Page(r.Table(table).Ref, 0))
}

func (p *postings) page(r *levels.Run, at *place) []byte {
	return p.q.pages.Page(r.Table(at.table).Ref, at.page)
}

// find goes to the first entry of a run that is at least (value, target). It returns false if the
// value has no such entry in the run.
func (p *postings) find(r *levels.Run, target uint64) (at place, ok bool) {
	key := keys.Posting(p.id, p.value, target)
	at.table = r.Search(&key)
	if at.table == r.Count() || r.Table(at.table).KeyMin.Compare(&key) > 0 && !p.of(&r.Table(at.table).KeyMin) {
		return at, false
	}
	at.page = p.tree.Shape().PageFind(p.header(r, at.table), &key)
	p.readAhead(r, at)
	page := p.page(r, &at)
	if at.index, _ = p.tree.Shape().Search(page, &key); at.index == p.tree.Shape().Count(page) {
		return at, p.nextPage(r, &at)
	}
	return at, true
}

// findBack goes to the last entry of a run that is at most (value, target).
func (p *postings) findBack(r *levels.Run, target uint64) (at place, ok bool) {
	key := keys.Posting(p.id, p.value, target)
	at.table = r.Search(&key)
	if at.table == r.Count() || r.Table(at.table).KeyMin.Compare(&key) > 0 {
		return at, p.previousTable(r, &at)
	}
	at.page = p.tree.Shape().PageFind(p.header(r, at.table), &key)
	index, exact := p.tree.Shape().Search(p.page(r, &at), &key)
	if !exact {
		index-- // never the first of its page, because that one is at most key
	}
	at.index = index
	return at, true
}

// nextPage goes to the start of the next page, if it has entries of the value.
func (p *postings) nextPage(r *levels.Run, at *place) bool {
	at.index = 0
	header := p.header(r, at.table)
	if at.page < header.DataPages() {
		at.page++
		return p.of(header.FirstKey(at.page))
	}
	at.table++
	at.page = 1
	return at.table < r.Count() && p.of(&r.Table(at.table).KeyMin)
}

// previousPage goes to the end of the previous page, on which the value may have entries.
func (p *postings) previousPage(r *levels.Run, at *place) bool {
	if at.page == 1 {
		return p.previousTable(r, at)
	}
	at.page--
	p.readBack(r, *at)
	at.index = p.tree.Shape().Count(p.page(r, at)) - 1
	return true
}

func (p *postings) previousTable(r *levels.Run, at *place) bool {
	at.table--
	if at.table < 0 || !p.of(&r.Table(at.table).KeyMax) {
		return false
	}
	at.page = p.header(r, at.table).DataPages()
	at.index = p.tree.Shape().Count(p.page(r, at)) - 1
	return true
}

// readAhead starts reads of the pages behind at that hold the value.
func (p *postings) readAhead(r *levels.Run, at place) {
	t := r.Table(at.table)
	for range aheadPages {
		data := p.q.pages.Lookup(t.Ref, 0)
		if data == nil {
			p.q.pages.Warm(t.Ref, 0)
			return
		}
		header := block.HeaderPage(data)
		switch {
		case at.page < header.DataPages():
			if at.page++; !p.of(header.FirstKey(at.page)) {
				return
			}
		case at.table+1 == r.Count() || !p.of(&r.Table(at.table+1).KeyMin):
			return
		default:
			at.table, at.page = at.table+1, 1
			t = r.Table(at.table)
		}
		if p.q.pages.Lookup(t.Ref, at.page) == nil && !p.q.pages.Warm(t.Ref, at.page) {
			return
		}
	}
}

// readBack starts reads of the pages before at, in the same table, that hold the value.
func (p *postings) readBack(r *levels.Run, at place) {
	t := r.Table(at.table)
	header := p.header(r, at.table)
	for page := at.page; page+aheadPages > at.page && page > 0; page-- {
		if p.q.pages.Lookup(t.Ref, page) == nil && !p.q.pages.Warm(t.Ref, page) || !p.of(header.FirstKey(page)) {
			return
		}
	}
}

// seek returns the first ordinal that is at least target (reversed: the last that is at most
// target). It does not depend on the position of the stream.
func (p *postings) seek(target uint64) (ordinal uint64, ok bool) {
	runs := p.tree.Runs()
	var found [1]uint64
	if p.reversed {
		for i := len(runs) - 1; i >= 0; i-- {
			r := runs[i]
			if r.OrdinalFirst() > target {
				continue
			}
			at, ok := p.findBack(r, min(target, r.OrdinalEnd()-1))
			if ok && p.tree.Shape().OrdinalsBack(p.page(r, &at), at.index, &p.key, found[:]) == 1 {
				return found[0], true
			}
		}
		return 0, false
	}
	for _, r := range runs {
		if r.OrdinalEnd() <= target {
			continue
		}
		at, ok := p.find(r, max(target, r.OrdinalFirst()))
		if ok && p.tree.Shape().Ordinals(p.page(r, &at), at.index, &p.key, found[:]) == 1 {
			return found[0], true
		}
	}
	return 0, false
}

// mark sets bit ordinal-first of bits for each ordinal of the value.
func (p *postings) mark(first uint64, bits []uint64) {
	end := first + uint64(len(bits))*64
	for _, r := range p.tree.Runs() {
		if r.OrdinalEnd() <= first || r.OrdinalFirst() >= end {
			continue
		}
		at, ok := p.find(r, max(first, r.OrdinalFirst()))
		for ok && p.tree.Shape().Mark(p.page(r, &at), at.index, &p.key, first, bits) {
			if ok = p.nextPage(r, &at); ok {
				p.readAhead(r, at)
			}
		}
	}
}

// has tells whether the value has an ordinal.
func (p *postings) has(ordinal uint64) bool {
	for _, r := range p.tree.Runs() {
		if ordinal < r.OrdinalFirst() || ordinal >= r.OrdinalEnd() {
			continue
		}
		key := keys.Posting(p.id, p.value, ordinal)
		at := place{table: r.Search(&key)}
		if at.table == r.Count() || r.Table(at.table).KeyMin.Compare(&key) > 0 {
			return false
		}
		at.page = p.tree.Shape().PageFind(p.header(r, at.table), &key)
		_, exact := p.tree.Shape().Search(p.page(r, &at), &key)
		return exact
	}
	return false
}
