package query

import (
	"sort"

	"ledger/storage/forest/levels"
)

// nextRun places the stream in the next run that has wanted ordinals of the value.
func (p *postings) nextRun() bool {
	runs := p.tree.Runs()
	if p.reversed {
		for ; p.run >= 0 && runs[p.run].OrdinalEnd() > p.first; p.run-- {
			r := runs[p.run]
			if r.OrdinalFirst() > p.last {
				continue
			}
			if p.place, p.inRun = p.findBack(r, min(p.last, r.OrdinalEnd()-1)); p.inRun {
				return true
			}
		}
		return false
	}
	for ; p.run < len(runs) && runs[p.run].OrdinalFirst() <= p.last; p.run++ {
		r := runs[p.run]
		if r.OrdinalEnd() <= p.first {
			continue
		}
		if p.place, p.inRun = p.find(r, max(p.first, r.OrdinalFirst())); p.inRun {
			return true
		}
	}
	return false
}

// refill decodes the next ordinals of the stream into its buffer. It returns false if there are
// none.
func (p *postings) refill() bool {
	p.at, p.count = 0, 0
	for p.inRun || p.nextRun() {
		r := p.tree.Runs()[p.run]
		if p.reversed {
			p.refillBack(r)
		} else {
			p.refillForth(r)
		}
		if p.count > 0 {
			return true
		}
	}
	return false
}

func (p *postings) refillForth(r *levels.Run) {
	page := p.page(r, &p.place)
	p.count = p.tree.Shape().Ordinals(page, p.place.index, &p.key, p.buffer)
	p.place.index += p.count
	if p.count == len(p.buffer) {
		return
	}
	if p.inRun = p.place.index == p.tree.Shape().Count(page) && p.nextPage(r, &p.place); !p.inRun {
		p.run++
		return
	}
	p.readAhead(r, p.place)
}

func (p *postings) refillBack(r *levels.Run) {
	p.count = p.tree.Shape().OrdinalsBack(p.page(r, &p.place), p.place.index, &p.key, p.buffer)
	p.place.index -= p.count
	if p.place.index >= 0 && p.count == len(p.buffer) {
		return
	}
	if p.inRun = p.place.index < 0 && p.previousPage(r, &p.place); !p.inRun {
		p.run--
	}
}

// skip drops the stream's ordinals before target (reversed: above it).
func (p *postings) skip(target uint64) {
	rest := p.buffer[p.at:p.count]
	if p.reversed {
		p.last = target
		p.at += sort.Search(len(rest), func(i int) bool { return rest[i] <= target })
	} else {
		p.first = target
		p.at += sort.Search(len(rest), func(i int) bool { return rest[i] >= target })
	}
	if p.at == p.count {
		p.inRun = false // at worst, the next run is the same one, and it is searched again
	}
}
