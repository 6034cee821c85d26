package grid

import (
	"fmt"

	"ledger/storage"
)

// WantsMax is the largest number of blocks that are wanted at a time: those of pages, and those of
// which parts are read.
const WantsMax = readsMax + BlocksMax

// wants are the blocks of demanded pages that the disk does not give, each once, in any order. None
// of their pages is read before the block is repaired. Each address was in use when its page was
// demanded, and apply withdraws it when it is freed.
type wants struct {
	refs  [readsMax]storage.Ref
	count int
}

func (w *wants) has(ref storage.Ref) bool {
	for i := range w.refs[:w.count] {
		if w.refs[i] == ref {
			return true
		}
	}
	return false
}

func (w *wants) remove(i int) {
	w.count--
	w.refs[i] = w.refs[w.count]
	w.refs[w.count] = storage.Ref{}
}

// missing notes that the disk does not give a demanded page. In a cluster of several its block
// becomes a want. If there is no room, the page is only given up, and whoever waits for it demands
// it again. A single replica ends with a fault.
func (g *Grid) missing(r *read, what, reason string, errno int32) {
	switch {
	case !g.several && g.fault == nil:
		g.faultMemory = storage.Fault{What: what, Address: r.ref.Address, Page: r.page, Reason: withErrno(reason, errno)}
		g.fault = &g.faultMemory
	case g.several && g.wants.count < len(g.wants.refs) && !g.wants.has(r.ref):
		g.wants.refs[g.wants.count] = r.ref
		g.wants.count++
	}
}

// withErrno adds the error's number to the reason of a fault. The replica ends with it, so this may
// allocate.
func withErrno(reason string, errno int32) string {
	if errno == 0 {
		return reason
	}
	return fmt.Sprintf("%s (errno %d)", reason, -errno)
}

// Want returns a block that is wanted, by its place 0..WantsMax-1. ok is false for a place without
// one. Parts of blocks come first: the opening of a checkpoint waits for them.
func (g *Grid) Want(place int) (ref storage.Ref, ok bool) {
	if place < BlocksMax {
		b := &g.blocks[place]
		return b.ref, g.several && b.state == blockWanted && !b.refused
	}
	if place -= BlocksMax; place < g.wants.count {
		return g.wants.refs[place], true
	}
	return storage.Ref{}, false
}

// WantsCount is the number of blocks for which reads wait. It is an upper bound: a block may be
// wanted as a part and for a page.
func (g *Grid) WantsCount() int { return g.wants.count + g.wantedCount }

// Repaired tells that the block is on disk as ref says. Parts of it are read again, and its pages
// when they are demanded again.
func (g *Grid) Repaired(ref storage.Ref) {
	for i := range g.wants.refs[:g.wants.count] {
		if g.wants.refs[i] == ref {
			g.wants.remove(i)
			break
		}
	}
	for i := range g.blocks {
		if b := &g.blocks[i]; b.state == blockWanted && b.ref == ref && !b.refused {
			g.wantedCount--
			b.repeated = 0
			g.blockSubmit(i)
		}
	}
}

// Withdraw forgets the wants of addresses that are not in use any more, and what was demanded of
// them. Parts of such blocks end.
func (g *Grid) Withdraw(inUse func(address uint64) bool) {
	for i := g.wants.count - 1; i >= 0; i-- {
		if !inUse(g.wants.refs[i].Address) {
			g.wants.remove(i)
		}
	}
	for i := range g.reads {
		if r := &g.reads[i]; r.state != readFree && r.demanded && !inUse(r.ref.Address) {
			r.demanded = false
		}
	}
	for i := range g.blocks {
		if b := &g.blocks[i]; b.state != blockFree && !inUse(b.ref.Address) {
			g.BlockEnd(i)
		}
	}
}
