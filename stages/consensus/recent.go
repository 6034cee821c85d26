package consensus

import (
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/stages"
	"ledger/wire"
)

// recent is the prepares in memory of a replica of a cluster, behind those of the commit queue:
// what has come or was prepared and is not committed yet, and what is read from the log ahead of
// its execution. It holds their slots. An op has one place, by the op.
type recent struct {
	entries []inMemory
	length  int
	reading int
}

// inMemory is one prepare.
type inMemory struct {
	op        uint64 // 0: the place is free
	checksum  wire.Checksum
	slot      stages.Slot
	isReading bool // from the log
	record    record
}

func newRecent(l *limits.Limits) recent { return recent{entries: make([]inMemory, l.PipelineOpsMax)} }

func (r *recent) at(op uint64) *inMemory { return &r.entries[op%uint64(len(r.entries))] }

// reach is how far above the commit queue prepares are kept.
func (r *recent) reach() uint64 { return uint64(len(r.entries)) }

// count is the number of prepares in memory.
func (r *recent) count() int { return r.length }

// loading is the number of prepares that are being read.
func (r *recent) loading() int { return r.reading }

// isFree tells whether the place of op is free.
func (r *recent) isFree(op uint64) bool { return r.at(op).op == 0 }

// has tells whether the prepare is in memory. slot is SlotNone while it is being read.
func (r *recent) has(op uint64, checksum wire.Checksum) (slot stages.Slot, isThere bool) {
	e := r.at(op)
	if e.op != op || e.checksum != checksum {
		return stages.SlotNone, false
	}
	if e.isReading {
		return stages.SlotNone, true
	}
	return e.slot, true
}

// put takes in a prepare, and the caller's hold of its slot.
func (r *recent) put(op uint64, e inMemory) {
	assert.That(r.isFree(op), "a prepare takes a free place")
	e.op = op
	*r.at(op) = e
	r.length++
	if e.isReading {
		r.reading++
	}
}

// read: the read of a prepare has ended. isRight: it is in its slot. Otherwise, or if nobody waits
// for it, the caller gets the hold of its slot back.
func (r *recent) read(op uint64, slot stages.Slot, isRight bool) (isKept bool) {
	e := r.at(op)
	assert.That(e.op == op && e.slot == slot && e.isReading, "a prepare that was read has a place")
	if !isRight {
		r.free(e)
		return false
	}
	e.isReading = false
	r.reading--
	return true
}

// take gives the prepare of op and the hold of its slot away.
func (r *recent) take(op uint64) (slot stages.Slot, record record) {
	e := r.at(op)
	assert.That(e.op == op && !e.isReading, "a prepare that is taken is in memory")
	slot, record = e.slot, e.record
	r.free(e)
	return slot, record
}

func (r *recent) free(e *inMemory) {
	if e.isReading {
		r.reading--
	}
	*e = inMemory{}
	r.length--
}

// stale returns a prepare that is not that of the log any more, or of an op that the commit queue
// has passed, or is too far from: it has gone back, and ops before that one need the place. It
// gives its slot away. One that is being read keeps its place until then.
func (r *recent) stale(g *log, last uint64) (op uint64, slot stages.Slot) {
	for i := range r.entries {
		if e := &r.entries[i]; e.op != 0 && !e.isReading && (e.op <= last || e.op > last+r.reach() || !g.is(e.op, e.checksum)) {
			op, slot = e.op, e.slot
			r.free(e)
			return op, slot
		}
	}
	return 0, stages.SlotNone
}

// written records when the prepare of op was durable.
func (r *recent) written(e *stages.JournalToConsensus) {
	if at := r.at(e.Op); at.op == e.Op && at.checksum == e.Checksum {
		at.record.appended(&e.Times)
	}
}
