package stages

import (
	"ledger/internal/arena"
	"ledger/internal/assert"
)

// SlotClass separates the slots, so that no class can starve another. Each class has an owner: the
// stage that keeps its free slots, takes them and puts them back. Other stages get a slot in a
// message, and give it back in a message. A class may have no slots: the last four have none in a
// cluster of one.
type SlotClass uint8

const (
	// SlotClient: one client message as received; net owns the free ones. RequestBytesMax each.
	SlotClient SlotClass = iota
	// SlotPrepare: groups, and prepares read from the log; consensus owns the free ones.
	// MessageBytesMax each.
	SlotPrepare
	// SlotReply: the replies of one op; consensus owns the free ones. MessageBytesMax each at
	// least.
	SlotReply
	// SlotPeer: one message of another replica, as received; net owns the free ones. The header,
	// which was checked in a small buffer, is copied to the slot's start. The body is received
	// behind it. So a prepare lies in its slot as in the log, aligned for direct I/O.
	// MessageBytesMax each.
	SlotPeer
	// SlotRepair: a prepare or a block that is read for another replica; consensus owns the free
	// ones. Each holds the largest of both.
	SlotRepair
	// SlotSmall: a message of another replica that has at most limits.SmallSlotBytes, as received;
	// net owns the free ones.
	SlotSmall
	// SlotSend: a message to another replica that has at most limits.SmallSlotBytes; consensus owns
	// the free ones.
	SlotSend
	SlotClassesCount
)

// slotOwners are the stages that own the free slots of each class.
var slotOwners = [SlotClassesCount]int{
	SlotClient:  Net,
	SlotPrepare: Consensus,
	SlotReply:   Consensus,
	SlotPeer:    Net,
	SlotRepair:  Consensus,
	SlotSmall:   Net,
	SlotSend:    Consensus,
}

// Owner is the number of the stage that owns the free slots of the class.
func (c SlotClass) Owner() int { return slotOwners[c] }

// Slot names a message slot: class and handle.
type Slot uint32

// SlotNone is no slot.
const SlotNone Slot = ^Slot(0)

const slotClassShift = 28

// SlotOf builds a name.
func SlotOf(class SlotClass, handle uint32) Slot { return Slot(uint32(class)<<slotClassShift | handle) }

// Class of a slot.
func (s Slot) Class() SlotClass { return SlotClass(s >> slotClassShift) }

// Handle of a slot within its class.
func (s Slot) Handle() uint32 { return uint32(s) & (1<<slotClassShift - 1) }

// Slots is the memory of all classes. Any stage may read a slot; Get and Put belong to the class's
// owner.
type Slots struct {
	Pools [SlotClassesCount]*arena.Pool
}

// Bytes of a slot.
func (s *Slots) Bytes(slot Slot) []byte { return s.Pools[slot.Class()].Bytes(slot.Handle()) }

// Get takes a free slot of class, or returns SlotNone.
func (s *Slots) Get(class SlotClass) Slot {
	handle, ok := s.Pools[class].Get()
	if !ok {
		return SlotNone
	}
	return SlotOf(class, handle)
}

// Put gives a slot back.
func (s *Slots) Put(slot Slot) {
	assert.That(slot != SlotNone, "a slot that is freed exists")
	s.Pools[slot.Class()].Put(slot.Handle())
}
