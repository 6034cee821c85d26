package compact

import (
	"ledger/storage"
	"ledger/storage/block"
	"ledger/wire"
)

// narrowing reads a block whose number of used pages is in its header page. The first read takes
// all pages at once. A disk that does not give them may still give the used ones, and nobody writes
// the others again, so the next reads take the header page alone and then the used pages.
type narrowing struct {
	pages uint32 // of the read under way
}

func (n *narrowing) begin(g *block.Geometry) { n.pages = g.PagesMax }

// next tells whether a narrower read can give more than the one that has ended with result, and
// prepares it.
//
// memory: what was read.
func (n *narrowing) next(g *block.Geometry, memory []byte, result int32, ref storage.Ref, cluster wire.U128) bool {
	page := memory[:g.PageBytes]
	switch {
	case n.pages == g.PagesMax && result < 0:
		n.pages = 1
		return true
	case n.pages == 1 && result == int32(g.PageBytes) && block.VerifyHeader(g, page, ref, cluster) == "":
		n.pages = block.HeaderPage(page).PagesUsed()
		return n.pages > 1 && n.pages < g.PagesMax
	}
	return false
}
