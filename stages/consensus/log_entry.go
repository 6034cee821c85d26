package consensus

import (
	"ledger/vsr"
	"ledger/wire"
)

// checksumOrNone is the checksum of op, or zero if it is not known.
func (g *log) checksumOrNone(op uint64) (sum wire.Checksum) {
	if op == g.base() || g.has(op) {
		sum = g.checksum(op)
	}
	return sum
}

// is tells whether the log has this prepare of op.
func (g *log) is(op uint64, checksum wire.Checksum) bool {
	return g.has(op) && g.slot(op).checksum == checksum
}

// isQueued tells whether the prepare of op is in memory and will be written.
func (g *log) isQueued(op uint64) bool { return g.has(op) && g.slot(op).isQueued && g.slot(op).isDirty }

// isWritingIt tells whether the prepare that the log has of op is being written.
func (g *log) isWritingIt(op uint64) bool {
	slot := g.slot(op)
	return g.has(op) && slot.isBusy && slot.writing == slot.checksum
}

// isTakenAhead tells whether a later op has the slot of op.
func (g *log) isTakenAhead(op uint64) bool { return g.slot(op).isKnown && g.slot(op).op > op }

// skipHeld returns the first op from op on to last whose prepare is not known to be held, or
// last + 1. It takes no look at headers.
func (g *log) skipHeld(op, last uint64) uint64 {
	for ; op <= last && g.has(op); op++ {
		if slot := g.slot(op); slot.isFaulty || slot.isDirty && !slot.isQueued && !g.isWritingIt(op) {
			break
		}
	}
	return op
}

// Entry is what the replica knows of an op. A prepare that is in memory, or that is being written,
// is held: it is never nacked.
func (g *log) Entry(op uint64) vsr.Entry {
	e := vsr.Entry{Header: vsr.Header{Op: op, Blank: true}}
	slot := g.slot(op)
	switch {
	case g.has(op):
		e.Header = vsr.HeaderOf(g.header(op))
		e.IsHeld = !slot.isDirty || slot.isQueued || g.isWritingIt(op)
		e.IsFaulty = slot.isFaulty
	case slot.op == op && slot.isFaulty:
		e.IsFaulty = true
	case op == g.base():
		e.Header, e.IsHeld = vsr.Header{Op: op, Checksum: g.checksum(op)}, true
	}
	return e
}
