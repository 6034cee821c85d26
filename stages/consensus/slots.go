package consensus

import (
	"ledger/internal/assert"
	"ledger/stages"
)

// slotHolds counts the holders of each slot that consensus has: plain integers, since consensus
// alone changes them. A slot is free exactly when its last holder lets it go.
//
//	client, prepare   the queue of requests; the commit queue, until the op is executed; one for
//	                  each message to journal or apply that names the slot, until its answer
//	reply             the commit queue, until the op is complete; each session whose last reply lies
//	                  there; each NetSend, until its NetSent; each session of a snapshot, until its
//	                  checkpoint is on disk
//
// So a slot that journal writes, or that apply reads, cannot be reused, whatever has become of its
// op in the meantime.
type slotHolds struct {
	slots  *stages.Slots
	counts [stages.SlotClassesCount][]uint32
	held   [stages.SlotClassesCount]int // slots with holders
}

// isOfNet tells whether the free slots of the class of slot are net's.
func isOfNet(slot stages.Slot) bool { return slot.Class().Owner() == stages.Net }

func newSlotHolds(slots *stages.Slots) slotHolds {
	h := slotHolds{slots: slots}
	for class, pool := range slots.Pools {
		if pool != nil {
			h.counts[class] = make([]uint32, pool.SlotsCount())
		}
	}
	return h
}

// bytes of a slot that somebody holds.
func (h *slotHolds) bytes(slot stages.Slot) []byte {
	assert.That(h.count(slot) > 0, "a slot that is used is held")
	return h.slots.Bytes(slot)
}

// bytesMax is the size of the slots of a class.
func (h *slotHolds) bytesMax(class stages.SlotClass) uint64 { return h.slots.Pools[class].SlotBytes() }

// freeCount is the number of free slots of a class.
func (h *slotHolds) freeCount(class stages.SlotClass) uint32 { return h.slots.Pools[class].FreeCount() }

// count is the number of holders of a slot.
func (h *slotHolds) count(slot stages.Slot) uint32 { return h.counts[slot.Class()][slot.Handle()] }

// heldCount is the number of slots of a class that have holders.
func (h *slotHolds) heldCount(class stages.SlotClass) int { return h.held[class] }

// take returns a free slot of a class that consensus owns, for one holder. SlotNone: none is free.
func (h *slotHolds) take(class stages.SlotClass) stages.Slot {
	slot := h.slots.Get(class)
	if slot != stages.SlotNone {
		h.receive(slot)
	}
	return slot
}

// receive counts the first holder of a slot that another stage has given to consensus.
func (h *slotHolds) receive(slot stages.Slot) {
	count := &h.counts[slot.Class()][slot.Handle()]
	assert.Equal(*count, 0, "holders of a slot that arrives")
	*count = 1
	h.held[slot.Class()]++
}

// hold counts one more holder.
func (h *slotHolds) hold(slot stages.Slot) {
	count := &h.counts[slot.Class()][slot.Handle()]
	assert.That(*count > 0, "a slot that gets one more holder is held")
	*count++
}

// release takes one holder away. isFree: it was the last one. Then consensus has not got the slot
// any more: a slot of its own class is put back, and the caller gives a slot of net's back to net.
func (h *slotHolds) release(slot stages.Slot) (isFree bool) {
	count := &h.counts[slot.Class()][slot.Handle()]
	assert.That(*count > 0, "a slot that is let go was held")
	*count--
	if *count > 0 {
		return false
	}
	h.held[slot.Class()]--
	if !isOfNet(slot) {
		h.slots.Put(slot)
	}
	return true
}

// give takes the only holder away: the slot goes to another stage with a message.
func (h *slotHolds) give(slot stages.Slot) {
	isFree := h.release(slot)
	assert.That(isFree, "a slot that is given away has one holder")
}
