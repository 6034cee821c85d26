package query

import (
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/forest/keys"
)

// estimate estimates the entries in first..last by their pages. If they lie on one or two pages of
// a run, it counts them exactly.
func (p *postings) estimate() {
	p.entries, p.surely, p.pages = 0, 0, 0
	for _, r := range p.tree.Runs() {
		if r.OrdinalEnd() <= p.first || r.OrdinalFirst() > p.last {
			continue
		}
		low := keys.Posting(p.id, p.value, max(p.first, r.OrdinalFirst()))
		high := keys.Posting(p.id, p.value, min(p.last, r.OrdinalEnd()-1))
		i, j := r.Search(&low), r.Search(&high)
		for ; i <= j && i < r.Count(); i++ {
			if t := r.Table(i); t.KeyMin.Compare(&high) <= 0 {
				p.estimateTable(t, &low, &high)
			}
		}
	}
}

func (p *postings) estimateTable(t *storage.Table, low, high *storage.Key) {
	shape := p.tree.Shape()
	header := block.HeaderPage(p.q.pages.Page(t.Ref, 0))
	perPage := uint64(t.Entries) / uint64(header.DataPages())
	from, to := shape.PageFind(header, low), shape.PageFind(header, high)
	pages := uint64(to - from + 1)
	p.pages += pages
	if pages > 2 {
		p.entries += pages * perPage
		p.surely += (pages - 2) * perPage
		return
	}
	base := header.FirstEntry(to) - header.FirstEntry(from)
	end, exact := shape.Search(p.q.pages.Page(t.Ref, to), high)
	if exact {
		end++
	}
	begin, _ := shape.Search(p.q.pages.Page(t.Ref, from), low)
	entries := uint64(int(base) + end - begin)
	p.entries += entries
	p.surely += entries
}
