package consensus

import (
	"ledger/limits"
	"ledger/wire"
)

// wants tells which ops that are executed again need their replies.
type wants struct {
	unwanted []bool // by op modulo the slots of the log
	opTo     uint64 // the ops above are wanted
}

// newWants finds the read-only requests among the committed ops of the log whose replies nobody
// will ask for. Such a request is followed by a later committed request of its session, whose reply
// replaced its reply. Executing each of them again could read thousands of pages. An op that is not
// known to be committed makes no request unwanted, because another op could take its place.
//
// There are three exceptions. A request is wanted if a trigger follows before the later request,
// because the checkpoint contains the sessions as of the trigger. It is wanted if a register
// follows, because the last request of each session decides which session a register evicts.
// Requests in a group are small and always executed.
func newWants(l *limits.Limits, g *log, opFrom, commitMax uint64) wants {
	w := wants{unwanted: make([]bool, l.JournalSlotsCount), opTo: commitMax}
	later := map[wire.U128]bool{} // clients with a request behind op
	for op := commitMax; op > opFrom; op-- {
		known := g.has(op)
		mayEvict := known && g.header(op).Operation() == wire.OperationRegister
		if !known || mayEvict || l.IsTrigger(op) {
			clear(later)
		}
		if !known {
			continue
		}
		header := g.header(op)
		if header.IsGroup() || header.Client().IsZero() {
			continue
		}
		w.unwanted[w.index(op)] = later[header.Client()] && header.Operation().IsReadOnly()
		later[header.Client()] = true
	}
	return w
}

func (w *wants) index(op uint64) uint64 { return op & uint64(len(w.unwanted)-1) }

// all ops are wanted from now on.
func (w *wants) all() { w.opTo = 0 }

// replies tells whether the replies of op are wanted.
func (w *wants) replies(op uint64) bool { return op > w.opTo || !w.unwanted[w.index(op)] }

// supersededWithin bounds the search for a later request of a session.
const supersededWithin = 64

// isSuperseded tells the same of an op that a lagging replica is about to execute: a later request
// of its session, up to commitMax, replaces its reply before anything looks at the session. All ops
// from op to commitMax have to be on the chain of the head.
func (g *log) isSuperseded(l *limits.Limits, op, commitMax uint64) bool {
	header := g.header(op)
	if header.IsGroup() || header.Client().IsZero() || !header.Operation().IsReadOnly() {
		return false
	}
	for later := op + 1; later <= min(commitMax, op+supersededWithin) && g.has(later) && !l.IsTrigger(later-1); later++ {
		next := g.header(later)
		if !next.IsGroup() && next.Client() == header.Client() {
			return true
		}
		if next.Operation() == wire.OperationRegister {
			return false
		}
	}
	return false
}
