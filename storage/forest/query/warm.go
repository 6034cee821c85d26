package query

import (
	"ledger/storage/block"
	"ledger/storage/forest/keys"
	"ledger/storage/forest/levels"
)

// warm starts reading the page on which the value has, or would have, an ordinal. If the header
// page that names it is missing, it reads that one instead. known: the page is known.
func (p *postings) warm(r *levels.Run, ordinal uint64) (known bool) {
	key := keys.Posting(p.id, p.value, ordinal)
	at := r.Search(&key)
	if at == r.Count() {
		return true
	}
	ref := r.Table(at).Ref
	header := p.q.pages.Lookup(ref, 0)
	if header == nil {
		p.q.pages.Warm(ref, 0)
		return false
	}
	number := p.tree.Shape().PageFind(block.HeaderPage(header), &key)
	return p.q.pages.Lookup(ref, number) != nil || p.q.pages.Warm(ref, number)
}

// warmHas starts reading the page that has will look at.
func (p *postings) warmHas(ordinal uint64) {
	for _, r := range p.tree.Runs() {
		if ordinal >= r.OrdinalFirst() && ordinal < r.OrdinalEnd() {
			p.warm(r, ordinal)
		}
	}
}

// warmStart starts reading the first page of every run that the stream will use. known: all of them
// are known.
func (p *postings) warmStart() (known bool) {
	known = true
	for _, r := range p.tree.Runs() {
		if r.OrdinalEnd() > p.first && r.OrdinalFirst() <= p.last {
			target := max(p.first, r.OrdinalFirst())
			if p.reversed {
				target = min(p.last, r.OrdinalEnd()-1)
			}
			known = p.warm(r, target) && known
		}
	}
	return known
}
