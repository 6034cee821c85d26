package consensus

import (
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/prepare"
	"ledger/storage"
	"ledger/vsr"
	"ledger/wire"
)

// log is what consensus knows of the log: the header of each slot's op, and whether the prepare is
// on disk.
//
//	          append             beginWrite             endWrite
//	(empty) ---------> dirty ------------------> dirty, ------------> clean
//	   ^                 |                       being written          |
//	   +-----------------+------- truncate ------------+----------------+
//
// A faulty slot is one whose prepare was on disk and is damaged. It is dirty too, because its
// prepare has to be written again.
//
// Being written belongs to the slot, not to the op: a truncated prepare may still be on its way to
// the disk. No other prepare is written into the slot until that write has ended, and its end does
// not count for the op that has taken the place.
//
// So is rotten: a prepare that takes the place of a damaged one is not faulty, since it never was
// on disk, but its copies are written one after the other.
//
// Each op names the checksum of the op before it, so the head's checksum proves all ops below it.
// The chain begins at the op of the checkpoint from which the log was opened. That op may have no
// slot any more, so its checksum is kept apart.
type log struct {
	slots        []logSlot // by op modulo their number
	headers      []byte    // the same
	slotMask     uint64
	opHead       uint64
	opBase       uint64
	baseChecksum wire.Checksum
	// opChained is the lowest op from which the chain to the head is unbroken, as far as it was
	// looked for: not below the op behind opBase. It counts only in a cluster.
	opChained uint64
}

// logSlot is the state of one slot.
type logSlot struct {
	op       uint64
	checksum wire.Checksum // of the header of op
	isKnown  bool          // the slot has an op
	isDirty  bool          // the prepare is not on disk, or not known to be
	isQueued bool          // the prepare is in memory and will be written, as long as it is dirty
	isFaulty bool
	writing  wire.Checksum // of the prepare that is being written into the slot, if isWriting
	isBusy   bool          // a prepare is being written into the slot
	isRotten bool          // the disk has no right copy there, whatever the op
}

func newLog(l *limits.Limits, memory *arena.Arena) log {
	return log{
		slots:    arena.Slice[logSlot](memory, uint64(l.JournalSlotsCount), "log slots"),
		headers:  memory.Bytes(uint64(l.JournalSlotsCount)*limits.HeaderBytes, 64, "log headers"),
		slotMask: uint64(l.JournalSlotsCount - 1),
	}
}

// open fills an empty log with the ops above the checkpoint, up to the head, all of which are on
// disk. headers is the table of a start, by slot.
func (g *log) open(checkpoint *storage.Checkpoint, opHead uint64, headers []byte) {
	assert.AtMost(checkpoint.Op, opHead, "op of the checkpoint")
	g.opBase, g.baseChecksum = checkpoint.Op, checkpoint.PrepareChecksum
	for op := checkpoint.Op + 1; op <= opHead; op++ {
		header := prepare.Header(headers[(op&g.slotMask)*limits.HeaderBytes:][:limits.HeaderBytes])
		assert.Equal(header.Op(), op, "op of a recovered header")
		copy(g.headerAt(op), header)
		g.put(op, header.Checksum())
	}
	g.opHead = opHead
}

// openCluster fills an empty log of one of several replicas. headers is the table of a start. dirty
// are the slots of which the header is known and the prepare is missing, faulty those of which
// nothing proves what they held. Slots of ops below the checkpoint are kept for other replicas.
func (g *log) openCluster(checkpoint *storage.Checkpoint, cluster wire.U128, opHead uint64, headers []byte, dirty, faulty *vsr.Set) {
	g.opBase, g.baseChecksum, g.opHead = checkpoint.Op, checkpoint.PrepareChecksum, opHead
	for i := range g.slots {
		header := prepare.Header(headers[i*limits.HeaderBytes:][:limits.HeaderBytes])
		slot := &g.slots[i]
		if op := header.Op(); header.Command() == prepare.CommandPrepare && op > 0 && op <= opHead {
			copy(g.headerAt(op), header)
			g.put(op, header.Checksum()).isDirty = dirty.Has(uint64(i))
		}
		if faulty.Has(uint64(i)) {
			if !slot.isKnown {
				slot.op = checkpoint.Op + 1 + (uint64(i)-checkpoint.Op-1)&g.slotMask
			}
			slot.isDirty, slot.isFaulty, slot.isRotten = true, true, true
		}
	}
	if checkpoint.Op == 0 {
		g.baseChecksum = prepare.PutRoot(g.headerAt(0), cluster).Checksum()
		g.put(0, g.baseChecksum)
	}
	g.chain()
}

// rebase goes on from the op of another checkpoint, whose prepare has this checksum. The slots stay
// as they are. The head may lie below.
func (g *log) rebase(op uint64, checksum wire.Checksum) {
	g.opBase, g.baseChecksum = op, checksum
	g.opChained = max(g.opChained, op+1)
}

func (g *log) put(op uint64, checksum wire.Checksum) *logSlot {
	slot := g.slot(op)
	slot.op, slot.checksum, slot.isKnown, slot.isDirty, slot.isFaulty = op, checksum, true, false, false
	slot.isQueued = false
	return slot
}

func (g *log) slot(op uint64) *logSlot { return &g.slots[op&g.slotMask] }

func (g *log) headerAt(op uint64) prepare.Header {
	return prepare.Header(g.headers[(op&g.slotMask)*limits.HeaderBytes:][:limits.HeaderBytes])
}

// head is the highest op.
func (g *log) head() uint64 { return g.opHead }

// has tells whether the log knows the header of op.
func (g *log) has(op uint64) bool {
	slot := g.slot(op)
	return slot.isKnown && slot.op == op
}

// header of an op that the log has.
func (g *log) header(op uint64) prepare.Header {
	assert.That(g.has(op), "an op whose header is asked for is in the log")
	return g.headerAt(op)
}

// checksum of the prepare of op, which the log has, or from which it was opened.
func (g *log) checksum(op uint64) wire.Checksum {
	if op == g.opBase {
		return g.baseChecksum
	}
	assert.That(g.has(op), "an op whose checksum is asked for is in the log")
	return g.slot(op).checksum
}

// timestamp of the prepare of op. 0 for the op from which the log was opened.
func (g *log) timestamp(op uint64) uint64 {
	if op == g.opBase {
		return 0
	}
	return g.header(op).Timestamp()
}

// timestampLast is the timestamp of the head.
func (g *log) timestampLast() uint64 { return g.timestamp(g.opHead) }

// follows tells whether op continues the chain of the op before it.
func (g *log) follows(op uint64) bool {
	return g.header(op).Parent() == g.checksum(op-1) && g.timestamp(op) > g.timestamp(op-1)
}

// isClean tells whether the prepare of op is on disk.
func (g *log) isClean(op uint64) bool { return g.has(op) && !g.slot(op).isDirty }

// isFaulty tells whether the prepare of op was on disk and is damaged.
func (g *log) isFaulty(op uint64) bool { return g.has(op) && g.slot(op).isFaulty }

// isWriting tells whether a prepare, of whichever op, is being written into the slot of op.
func (g *log) isWriting(op uint64) bool { return g.slot(op).isBusy }

// writesInTurn tells whether the copies of op are written one after the other. Both at once could
// leave, after a crash, what looks like the torn write of a slot that was right before.
func (g *log) writesInTurn(op uint64) bool { return g.slot(op).isRotten }

// append makes a prepare the head.
func (g *log) append(header prepare.Header) {
	op := header.Op()
	assert.Equal(op, g.opHead+1, "op of the prepare that becomes the head")
	assert.That(header.Parent() == g.checksum(g.opHead), "a prepare names the op before it")
	copy(g.headerAt(op), header)
	slot := g.put(op, header.Checksum())
	slot.isDirty, slot.isQueued = true, true
	g.opHead = op
}

// jump makes a prepare the head whose predecessors may be missing.
func (g *log) jump(header prepare.Header) {
	assert.Below(g.opHead, header.Op(), "head before a prepare that is new")
	copy(g.headerAt(header.Op()), header)
	g.put(header.Op(), header.Checksum()).isDirty = true
	isNext := header.Op() == g.opHead+1 && header.Parent() == g.checksumOrNone(g.opHead)
	g.opHead = header.Op()
	if !isNext {
		g.opChained = g.opHead
		g.chain()
	}
}

// install takes a header of the log, of an op up to the head. What the slot has of another prepare
// counts no more. If the slot is damaged and it is not known which prepare was there, it may have
// been this one.
func (g *log) install(header prepare.Header) {
	op := header.Op()
	slot := g.slot(op)
	if op <= g.opBase && op > 0 || slot.isKnown && slot.op == op && slot.checksum == header.Checksum() {
		return
	}
	if slot.isKnown && slot.op > op {
		return // a lap behind
	}
	isFaulty := slot.op == op && !slot.isKnown && slot.isFaulty
	copy(g.headerAt(op), header)
	slot = g.put(op, header.Checksum())
	slot.isDirty, slot.isFaulty = true, isFaulty
}

// adopt makes the log end at opHead, and takes these headers, which lie at or below it.
func (g *log) adopt(opHead uint64, headers []prepare.Header) {
	for i := range g.slots {
		if slot := &g.slots[i]; slot.op > opHead {
			slot.isKnown, slot.isDirty, slot.isFaulty, slot.isQueued = false, false, false, false
		}
	}
	g.opHead = opHead
	for _, h := range headers {
		g.install(h)
	}
	assert.That(opHead == g.opBase || g.has(opHead), "the head is in the log")
	g.opChained = opHead
	g.chain()
}

// chain looks how far down the chain of the head goes. It tells whether it goes further than
// before.
func (g *log) chain() (isLonger bool) {
	if g.opChained == 0 {
		g.opChained = g.opHead
	}
	before := g.opChained
	for g.opChained > g.opBase+1 && g.has(g.opChained-1) && g.header(g.opChained).Parent() == g.checksum(g.opChained-1) {
		g.opChained--
	}
	return g.opChained < before
}

// chainedFrom is the lowest op from which the chain to the head is unbroken.
func (g *log) chainedFrom() uint64 { return min(g.opChained, g.opHead) }

// base is the op from which the log was opened.
func (g *log) base() uint64 { return g.opBase }

// queued: the prepare of op is in memory and will be written; or it is not any more.
func (g *log) queued(op uint64, isQueued bool) { g.slot(op).isQueued = isQueued }

// beginWrite: the prepare of op is given to journal.
func (g *log) beginWrite(op uint64) {
	slot := g.slot(op)
	assert.That(g.has(op) && slot.isDirty, "a prepare that is written is in the log and not on disk")
	assert.That(!slot.isBusy, "one prepare at a time is written into a slot")
	slot.isBusy, slot.writing = true, slot.checksum
}

// endWrite: the prepare of op with this checksum is durable. isCurrent: it is still the one that
// the log has.
func (g *log) endWrite(op uint64, checksum wire.Checksum) (isCurrent bool) {
	slot := g.slot(op)
	assert.That(slot.isBusy && slot.writing == checksum, "a prepare that is durable was being written")
	slot.isBusy, slot.isRotten = false, false
	if !g.has(op) || slot.checksum != checksum {
		return false
	}
	slot.isDirty, slot.isFaulty, slot.isQueued = false, false, false
	return true
}

// damaged: the prepare of op with this checksum does not read back right. If the log has another
// prepare of op by now, that one is not known to be damaged.
func (g *log) damaged(op uint64, checksum wire.Checksum) {
	if !g.is(op, checksum) {
		return
	}
	slot := g.slot(op)
	slot.isDirty, slot.isFaulty, slot.isRotten = true, true, true
}

// truncate drops the ops above opHead. Nothing is written: what lies on disk no longer counts.
func (g *log) truncate(opHead uint64) {
	assert.AtMost(opHead, g.opHead, "head after a truncation")
	for ; g.opHead > opHead; g.opHead-- {
		if slot := g.slot(g.opHead); g.has(g.opHead) {
			slot.isKnown, slot.isDirty, slot.isFaulty = false, false, false
		}
	}
	assert.That(opHead == g.opBase || g.has(opHead), "the head is in the log")
}

// damages counts the slots whose prepare is damaged, and the prepares of the log that are missing.
func (g *log) damages() (faulty, missing uint64) {
	for i := range g.slots {
		slot := &g.slots[i]
		if slot.isFaulty {
			faulty++
		}
		if slot.isKnown && slot.isDirty && !slot.isQueued && !slot.isBusy && slot.op > g.opBase {
			missing++
		}
	}
	return faulty, missing
}
