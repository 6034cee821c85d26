package replica

import (
	"strings"
	"testing"

	"ledger/internal/arena"
	"ledger/limits"
	"ledger/peer"
	"ledger/prepare"
	"ledger/stages"
	"ledger/storage/datafile"
	"ledger/wire"
)

// slotBytes sums up the reservations of each class of slots, by name.
func slotBytes(t *testing.T, l *limits.Limits) (slots *stages.Slots, bytes map[string]uint64) {
	t.Helper()
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	memory := arena.New()
	t.Cleanup(memory.Close)
	slots, bytes = NewSlots(l, memory), map[string]uint64{}
	for _, entry := range memory.Entries() {
		if entry.Class != arena.Slot {
			t.Errorf("%s is of class %d", entry.Name, entry.Class)
		}
		bytes[entry.Name] += entry.Bytes
	}
	return slots, bytes
}

// Goal: a cluster of one reserves slots for clients, prepares and replies, and nothing for other
// replicas. Their classes are there and empty.
func TestSlotsOfOneReplica(t *testing.T) {
	l := limits.Production()
	slots, bytes := slotBytes(t, &l)
	if len(bytes) != 3 {
		t.Errorf("reserved %v, want client, prepare and reply slots", bytes)
	}
	want := [stages.SlotClassesCount]uint32{stages.SlotClient: 2*96 + 8, stages.SlotPrepare: 10, stages.SlotReply: 2*64 + 96 + 2*8}
	for class, pool := range slots.Pools {
		if pool.SlotsCount() != want[class] || pool.FreeCount() != want[class] {
			t.Errorf("class %d: %d slots, %d free, want %d", class, pool.SlotsCount(), pool.FreeCount(), want[class])
		}
		if slot := slots.Get(stages.SlotClass(class)); (slot == stages.SlotNone) != (want[class] == 0) {
			t.Errorf("class %d: Get returns %#x", class, uint32(slot))
		}
	}
	event := slotsEvent(&l)
	if text, want := string(event.Text(nil)), "slots: client 200, prepare 10, reply 240"; text != want {
		t.Errorf("printed %q, want %q", text, want)
	}
}

// Goal: in a cluster, each class for other replicas has the slots that the leases, reads and
// requests to so many peers can take, and the largest message of the class fits. Of the other
// classes, that of clients has some more for strangers, and that of prepares for the leases.
func TestSlotsOfSeveralReplicas(t *testing.T) {
	one := limits.Production()
	_, alone := slotBytes(t, &one)
	for replicas := uint32(2); replicas <= limits.ReplicasMax; replicas++ {
		l := limits.Production()
		l.ReplicasCount = replicas
		slots, bytes := slotBytes(t, &l)
		if name := "reply slots"; bytes[name] != alone[name] {
			t.Errorf("%d replicas: %s have %d bytes, want %d as in a cluster of one", replicas, name, bytes[name], alone[name])
		}
		peers := replicas - 1
		for _, want := range []struct {
			class        stages.SlotClass
			count        uint32
			messageBytes uint64
		}{
			{stages.SlotClient, one.SlotsCount().Client + 16, wire.MessageBytesMax}, // strangers
			{stages.SlotPrepare, 2*8 + 2 + 10*peers, uint64(l.MessageBytesMax)},     // those that net still sends
			{stages.SlotPeer, 15*peers + 8, uint64(l.MessageBytesMax)},
			{stages.SlotRepair, 6 + 4, uint64(max(l.MessageBytesMax, wire.HeaderBytes+l.BlockBytes))},
			{stages.SlotSmall, 13 * peers, (1+datafile.HeadersMax)*prepare.HeaderBytes + 128},
			{stages.SlotSend, 12 * peers, (1+datafile.HeadersMax)*prepare.HeaderBytes + 128},
		} {
			pool := slots.Pools[want.class]
			if pool.SlotsCount() != want.count || pool.SlotBytes() < want.messageBytes {
				t.Errorf("%d replicas, class %d: %d slots of %d bytes, want %d of at least %d", replicas, want.class, pool.SlotsCount(),
					pool.SlotBytes(), want.count, want.messageBytes)
			}
		}
	}
	l := limits.Production()
	l.ReplicasCount = 3
	event := slotsEvent(&l)
	if text, want := string(event.Text(nil)), ", peer 38, repair 10, small 26, send 24"; !strings.HasSuffix(text, want) {
		t.Errorf("printed %q, want it to end in %q", text, want)
	}
}

// Goal: the messages of the protocol between replicas fit the slots that are meant for them, and
// strangers in a handshake fit the room of strangers.
func TestSlotsHoldPeerMessages(t *testing.T) {
	l := limits.Production()
	l.ReplicasCount = 3
	bounds := peer.NewBounds(&l, wire.U128From(7))
	if inner := uint64(peer.InnerBytes) + uint64(bounds.BodyBytesMax()); l.RepairSlotBytes() < inner {
		t.Errorf("a repair slot has %d bytes, the largest message %d", l.RepairSlotBytes(), inner)
	}
	view := peer.InnerBytes + peer.CheckpointBytes + peer.UncertainBytes + datafile.HeadersMax*prepare.HeaderBytes
	if view > limits.SmallSlotBytes {
		t.Errorf("a small slot has %d bytes, a message that starts a view %d", limits.SmallSlotBytes, view)
	}
	if peer.GreetingsMax > l.StrangersRoom() {
		t.Errorf("%d strangers may be in a handshake, and %d have room", peer.GreetingsMax, l.StrangersRoom())
	}
}

// Goal: a slot for repairs holds a header and a block also where blocks are larger than messages.
func TestRepairSlotHoldsBlock(t *testing.T) {
	l := limits.Production()
	l.MessageBytesMax = l.BlockBytes
	if got, want := l.RepairSlotBytes(), uint64(l.BlockBytes)+4096; got != want {
		t.Errorf("a repair slot has %d bytes, want %d", got, want)
	}
}
