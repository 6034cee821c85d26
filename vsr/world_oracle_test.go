package vsr

import (
	"fmt"
	"math/bits"
)

func (w *world) log(format string, arguments ...any) {
	if w.isTraced {
		w.trace = append(w.trace, fmt.Sprintf(format, arguments...))
	}
}

func (w *world) fail(format string, arguments ...any) {
	if w.failure == "" {
		w.failure = fmt.Sprintf(format, arguments...)
	}
}

// acknowledge is the oracle: an op is committed in a view when a quorum has acknowledged it in that
// view, and all ops below it were committed in it or before.
func (w *world) acknowledge(from int, view uint32, h *Header) {
	key := sentPrepare{view, *h}
	if w.acks[key]>>from&1 != 0 {
		return
	}
	w.acks[key] |= 1 << from
	w.log("%d acknowledges op %d.%d in view %d", from, h.Op, h.View, view)
	primary := w.nodes[w.q.PrimaryOf(view)]
	if bits.OnesCount8(w.acks[key]) < w.q.Replication {
		return
	}
	for op := 1; op <= worldOps; op++ {
		isCommitted := w.committed[op].Op != 0
		for p, from := range w.acks {
			isNext := op == 1 || w.first[op-1] <= p.view && w.committed[op-1].Checksum == p.header.Parent
			if int(p.header.Op) != op || bits.OnesCount8(from) < w.q.Replication || !isNext {
				continue
			}
			if isCommitted = true; w.committed[op].Op != 0 && w.committed[op] != p.header {
				w.fail("op %d is committed as %v and as %v", op, w.committed[op], p.header)
			}
			if w.first[op] == 0 {
				w.log("op %d.%d is committed in view %d", op, p.header.View, p.view)
			}
			if w.committed[op] = p.header; w.first[op] == 0 || p.view < w.first[op] {
				w.first[op] = p.view
			}
			for later := range w.chosen {
				w.check(uint32(later))
			}
		}
		if !isCommitted {
			return
		}
		isServing := primary.up && primary.view == view && primary.isChosen
		if isServing && op <= int(primary.head) && primary.entries[op].Header == w.committed[op] {
			primary.commitMax = max(primary.commitMax, uint64(op))
		}
	}
}

// choose is told what a new primary has chosen.
func (w *world) choose(view uint32, l *List) {
	list := *l
	w.chosen[view] = &list
	w.check(view)
}

// check: what is committed is in the log of a view.
func (w *world) check(view uint32) {
	l := w.chosen[view]
	for op := 1; l != nil && op <= worldOps && w.committed[op].Op != 0; op++ {
		if w.first[op] >= view {
			continue
		}
		if l.Head() < uint64(op) || l.Lowest() <= uint64(op) && *l.find(uint64(op)) != w.committed[op] {
			w.fail("view %d has lost op %d.%d", view, op, w.committed[op].View)
		}
	}
}

// execute what may be executed.
func (w *world) execute(n *node) {
	if !n.up {
		return
	}
	for {
		a := Apply{Op: n.commitMin + 1, Next: n.commitMin + 1, CommitMax: n.commitMax, OpHead: n.head,
			ChainFrom: ChainFrom(n, n.head, 1), IsVouched: n.logView == n.view && n.status != statusHead}
		if !a.May(&w.q) || !n.entries[a.Op].IsHeld {
			return
		}
		n.commitMin++
		if got := n.entries[a.Op].Header; got != w.committed[a.Op] {
			w.fail("%d executes op %d.%d, committed is %v", n.id, a.Op, got.View, w.committed[a.Op])
		}
	}
}
