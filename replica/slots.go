package replica

import (
	"ledger/events"
	"ledger/internal/arena"
	"ledger/limits"
	"ledger/stages"
	"ledger/wire"
)

// hugeSlotsCount is the number of client slots in huge pages: two for each of four clients.
const hugeSlotsCount = 8

// NewSlots reserves the message slots of a replica. The slot that was freed last is used first, so
// slots that load does not need are never touched.
func NewSlots(l *limits.Limits, memory *arena.Arena) *stages.Slots {
	message := uint64(max(l.MessageBytesMax, wire.MessageBytesMax))
	// The first client slots are in huge pages, for the few clients that send full batches without
	// a pause.
	huge := uint64(0)
	if l.TouchesMemoryAtStart() {
		huge = hugeSlotsCount * message
	}
	count := l.SlotsCount()
	slots := &stages.Slots{}
	slots.Pools = [stages.SlotClassesCount]*arena.Pool{
		stages.SlotClient:  arena.NewPoolHuge(memory, count.Client, message, "client slots", huge),
		stages.SlotPrepare: arena.NewPool(memory, count.Prepare, message, "prepare slots"),
		stages.SlotReply:   arena.NewPool(memory, count.Reply, message, "reply slots"),
		stages.SlotPeer:    arena.NewPool(memory, count.Peer, message, "peer slots"),
		stages.SlotRepair:  arena.NewPool(memory, count.Repair, l.RepairSlotBytes(), "repair slots"),
		stages.SlotSmall:   arena.NewPool(memory, count.Small, limits.SmallSlotBytes, "small slots"),
		stages.SlotSend:    arena.NewPool(memory, count.Send, limits.SmallSlotBytes, "send slots"),
	}
	return slots
}

// slotsEvent is the event of a start about the message slots.
func slotsEvent(l *limits.Limits) events.Slots {
	count := l.SlotsCount()
	return events.Slots{Client: uint64(count.Client), Prepare: uint64(count.Prepare), Reply: uint64(count.Reply),
		Peer: uint64(count.Peer), Repair: uint64(count.Repair), Small: uint64(count.Small), Send: uint64(count.Send)}
}
