package net

import (
	"bytes"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/limits"
	"ledger/peer"
	"ledger/prepare"
	"ledger/ring"
	"ledger/stages"
	"ledger/wire"
)

// peerWorld is the net stages of a cluster, with a network between them and a consensus on each
// that sends and takes messages. Time passes only in step.
type peerWorld struct {
	t      testing.TB
	random *rand.Rand
	limits limits.Limits
	nowNs  uint64
	nodes  []*peerNode
	faulty bool // bytes come in pieces, connections break and cannot be made, slots are kept for long
	starts uint64
	// change lets a test give a replica other options than the rest.
	change func(index int, self *peer.Self)
	// wrap lets a test put a port before that of a node.
	wrap func(index int, network ports.Network) ports.Network
	// tap lets an attacker decide what arrives of what one replica sends to another.
	tap func(from, to int, message []byte) []byte
	// limitsOf lets a replica think of another number of replicas.
	limitsOf func(index int) (replicas uint32)
	arrived  int
	say      func(format string, arguments ...any) // writes a trace
}

// peerNode is one process.
type peerNode struct {
	blames    peer.Command // consensus finds fault with these messages
	world     *peerWorld
	index     int
	self      *peer.Self
	memory    *arena.Arena
	slots     *stages.Slots
	stage     *Stage
	driver    *Driver
	network   ports.Network
	toNet     *ring.SPSC[stages.ConsensusToNet]
	fromNet   *ring.SPSC[stages.NetToConsensus]
	ends      []peerEnd
	events    []ports.NetworkEvent
	answers   []ports.NameAnswer
	logs      []LogEntry
	number    uint64
	leases    map[stages.Slot]int                     // holders of what is being sent
	pending   [limits.ReplicasMax]int                 // messages to each peer without a NetPeerSent
	sent      [limits.ReplicasMax]map[string][]uint64 // and their numbers
	latest    [limits.ReplicasMax][3]uint64           // numbers that came from each peer, by class
	held      []stages.Slot                           // of messages that came
	live      [limits.ReplicasMax]bool
	lives     int
	got       [commandsLast + 1]int
	isHolding bool // it frees no slot
	isBusy    bool // its consensus takes nothing
	isDown    bool // it has no turns
}

// peerEnd is one end of a connection at a node's port.
type peerEnd struct {
	node       *peerNode // nil: a stranger's
	id         int
	other      *peerEnd
	open       bool
	closing    bool
	dialing    bool
	receive    []byte
	arriving   []byte
	sendsParts [2][]byte
	sendCopy   []byte
	taken      int  // bytes of sendCopy that have left
	isOver     bool // the other end is gone, behind what is arriving
}

// class orders messages of one connection: the queue sends each class in order.
func class(command peer.Command) int { return int(command.Class()) }

// isRepeated tells whether a newer message of the command takes the place of an older one.
func isRepeated(command peer.Command) bool {
	switch command {
	case peer.CommandPing, peer.CommandPong, peer.CommandCommit, peer.CommandCommitEcho, peer.CommandStartViewChange,
		peer.CommandRequestStartView:
		return true
	}
	return false
}

func newPeerWorld(t testing.TB, random *rand.Rand, replicas int) *peerWorld {
	l := limits.Production()
	l.ConnectionsMax, l.ReplicasCount = 4, uint32(replicas)
	w := &peerWorld{t: t, random: random, limits: l, nowNs: 1}
	for i := range replicas {
		w.nodes = append(w.nodes, &peerNode{world: w, index: i})
	}
	return w
}

func (w *peerWorld) start() {
	for _, n := range w.nodes {
		n.start()
	}
	w.t.Cleanup(func() {
		for _, n := range w.nodes {
			n.memory.Close()
		}
	})
}

// start begins a process of the node.
func (n *peerNode) start() {
	w := n.world
	l := w.limits
	if w.limitsOf != nil {
		l.ReplicasCount = w.limitsOf(n.index)
	}
	cluster := wire.U128From(testCluster)
	n.self = testSelf(&l, cluster, uint8(n.index))
	w.starts++
	n.self.Process += 100 * w.starts
	if w.change != nil {
		w.change(n.index, n.self)
	}
	n.memory = arena.New()
	count := l.SlotsCount()
	n.slots = &stages.Slots{}
	for class, size := range map[stages.SlotClass]struct {
		count uint32
		bytes uint64
	}{
		stages.SlotClient: {count.Client, wire.MessageBytesMax}, stages.SlotReply: {2, wire.MessageBytesMax},
		stages.SlotPeer: {count.Peer, wire.MessageBytesMax}, stages.SlotPrepare: {count.Prepare, wire.MessageBytesMax},
		stages.SlotSmall: {count.Small, limits.SmallSlotBytes}, stages.SlotSend: {count.Send, limits.SmallSlotBytes},
		stages.SlotRepair: {count.Repair, l.RepairSlotBytes()},
	} {
		n.slots.Pools[class] = arena.NewPool(n.memory, size.count, size.bytes, "slots")
	}
	seed := [peer.SeedBytes]byte{byte(n.index), byte(w.starts), byte(w.starts >> 8)}
	n.stage = New(l, cluster, n.slots, n.memory, &PeersOptions{Self: n.self, Seed: seed})
	n.ends = make([]peerEnd, PortConnectionsMax(&l))
	n.events, n.answers, n.held, n.logs = nil, nil, nil, nil
	n.leases, n.live = map[stages.Slot]int{}, [limits.ReplicasMax]bool{}
	for i := range n.sent {
		n.pending[i] = 0
		if n.sent[i] == nil { // what an earlier process has sent may still arrive
			n.sent[i] = map[string][]uint64{}
		}
	}
	n.number = w.starts * 1_000_000
	inFlight := uint32(16)
	n.toNet = ring.NewSPSC[stages.ConsensusToNet](capacity(BudgetToNet(&l, count.Client, inFlight)))
	n.fromNet = ring.NewSPSC[stages.NetToConsensus](capacity(BudgetToConsensus(&l, count.Client, inFlight)))
	n.network = n
	if w.wrap != nil {
		n.network = w.wrap(n.index, n)
	}
	n.driver = NewDriver(n.stage, n.network, (*peerNames)(n), n.toNet, stages.Sender[stages.NetToConsensus]{Ring: n.fromNet},
		func(e LogEntry) { n.logs = append(n.logs, e) })
}

func capacity(count uint32) int {
	capacity := 64
	for capacity < int(count) {
		capacity *= 2
	}
	return capacity
}

// restart ends the process, with its connections, and begins another one.
func (n *peerNode) restart() {
	for i := range n.ends {
		if e := &n.ends[i]; e.open || e.closing {
			e.part()
		}
	}
	n.memory.Close()
	n.start()
}

// part leaves the other end alone.
func (e *peerEnd) part() {
	if e.other != nil {
		e.other.isOver, e.other.other, e.other = true, nil, nil
	}
}

// peerNames resolves at once.
type peerNames peerNode

func (n *peerNames) Resolve(replica uint8, attempt uint64) {
	n.answers = append(n.answers, ports.NameAnswer{Replica: replica, OK: true, Attempt: attempt, Address: addressOf(int(replica))})
}

func (n *peerNames) Poll(out []ports.NameAnswer) int {
	count := copy(out, n.answers)
	n.answers = n.answers[count:]
	return count
}

func addressOf(index int) [18]byte {
	return [18]byte{10: 0xff, 11: 0xff, 12: 10, 15: byte(index + 1), 16: 1, 17: byte(index)}
}

// free returns an unused end, or nil.
func (n *peerNode) free(reserved int) (free *peerEnd) {
	for i := range n.ends {
		if e := &n.ends[i]; !e.open && !e.closing {
			if reserved--; reserved < 0 {
				*e = peerEnd{node: n, id: i}
				return e
			}
		}
	}
	return nil
}

func (n *peerNode) tell(e *peerEnd, kind ports.NetworkEventKind, result int32) {
	n.events = append(n.events, ports.NetworkEvent{Kind: kind, Connection: ports.ConnectionID(e.id), Bytes: result,
		Peer: [18]byte{10: 0xff, 11: 0xff, 12: 10, 15: 99, 17: byte(e.id)}})
}

// Connect implements ports.Network.
func (n *peerNode) Connect(address [18]byte) (ports.ConnectionID, bool) {
	e := n.free(0)
	if e == nil {
		return 0, false
	}
	e.open, e.dialing, e.taken = true, true, int(address[17])
	n.say("port: connect to replica %d", address[17])
	return ports.ConnectionID(e.id), true
}

// Receive implements ports.Network.
func (n *peerNode) Receive(id ports.ConnectionID, buffer []byte) {
	e := &n.ends[id]
	if !e.open || e.dialing || e.receive != nil || len(buffer) == 0 {
		n.world.t.Fatalf("node %d, connection %d: open %v, a receive is under way %v", n.index, id, e.open, e.receive != nil)
	}
	e.receive = buffer
}

// ReceiveAll implements ports.Network.
func (n *peerNode) ReceiveAll(id ports.ConnectionID, buffer []byte) { n.Receive(id, buffer) }

// Send implements ports.Network.
func (n *peerNode) Send(id ports.ConnectionID, buffer []byte) { n.SendParts(id, buffer, nil) }

// SendParts implements ports.Network.
func (n *peerNode) SendParts(id ports.ConnectionID, header, body []byte) {
	e := &n.ends[id]
	if !e.open || e.dialing || e.sendsParts[0] != nil || len(header) == 0 {
		n.world.t.Fatalf("node %d, connection %d: open %v, a send is under way %v", n.index, id, e.open, e.sendsParts[0] != nil)
	}
	e.sendsParts, e.taken = [2][]byte{header, body}, 0
	e.sendCopy = append(append(e.sendCopy[:0], header...), body...)
	what := "a frame"
	if !peer.IsPeer(header) {
		what = peer.Command(header[56]).String()
	}
	n.say("port: send %s, %d bytes and %d", what, len(header), len(body))
}

// Close implements ports.Network.
func (n *peerNode) Close(id ports.ConnectionID) {
	e := &n.ends[id]
	if !e.open {
		n.world.t.Fatalf("node %d: connection %d is closed twice", n.index, id)
	}
	e.open, e.closing = false, true
	n.say("port: close")
	e.part()
	kept := n.events[:0]
	for _, event := range n.events {
		if int(event.Connection) != e.id {
			kept = append(kept, event)
		}
	}
	n.events = kept
}

// Poll implements ports.Network.
func (n *peerNode) Poll(out []ports.NetworkEvent) int {
	count := copy(out, n.events)
	n.events = append(n.events[:0], n.events[count:]...)
	return count
}

// move lets the network do what one end waits for: a connection, bytes to leave or to arrive, an
// end.
func (e *peerEnd) move(bytesMax int) (moved bool) {
	if !e.open && !e.closing {
		return false
	}
	n, w := e.node, e.node.world
	switch {
	case e.closing:
		for i := range e.receive[:min(len(e.receive), 4096)] {
			e.receive[i] ^= 0xa5 // the kernel may have written until now
		}
		e.closing, e.receive, e.sendsParts = false, nil, [2][]byte{}
		n.tell(e, ports.NetworkClosed, 0)
		return true
	case e.dialing:
		target := w.nodes[e.taken]
		to := target.free(int(PortConnectsReserved(&w.limits)))
		if to == nil {
			return false // it waits in the backlog
		}
		if w.faulty && w.random.IntN(4) == 0 {
			e.open = false
			n.tell(e, ports.NetworkConnected, -int32(unix.ECONNREFUSED))
			return true
		}
		e.dialing = false
		to.open, to.other, e.other = true, e, to
		target.tell(to, ports.NetworkAccepted, 0)
		n.tell(e, ports.NetworkConnected, 0)
		return true
	}
	return e.leave(bytesMax) || e.arrive(bytesMax)
}

// leave moves bytes of a send to the other end.
func (e *peerEnd) leave(bytesMax int) bool {
	if e.sendsParts[0] == nil {
		return false
	}
	if !bytes.Equal(e.sendsParts[0], e.sendCopy[:len(e.sendsParts[0])]) || !bytes.Equal(e.sendsParts[1], e.sendCopy[len(e.sendsParts[0]):]) {
		e.node.world.t.Fatalf("node %d, connection %d: bytes changed while they were sent", e.node.index, e.id)
	}
	if e.other == nil {
		e.sendsParts = [2][]byte{}
		e.node.tell(e, ports.NetworkSent, -int32(unix.EPIPE))
		return true
	}
	if tap := e.node.world.tap; tap != nil && e.other.node != nil {
		e.other.arriving = append(e.other.arriving, tap(e.node.index, e.other.node.index, e.sendCopy)...)
		e.sendsParts = [2][]byte{}
		e.node.tell(e, ports.NetworkSent, int32(len(e.sendCopy)))
		return true
	}
	rest := e.sendCopy[e.taken:]
	count := min(len(rest), bytesMax, max(0, 1<<20-len(e.other.arriving)))
	if count == 0 {
		return false
	}
	e.other.arriving = append(e.other.arriving, rest[:count]...)
	if e.taken += count; e.taken == len(e.sendCopy) {
		e.sendsParts = [2][]byte{}
		e.node.tell(e, ports.NetworkSent, int32(len(e.sendCopy)))
	}
	return true
}

// arrive moves bytes to the receive.
func (e *peerEnd) arrive(bytesMax int) bool {
	if e.receive == nil || len(e.arriving) == 0 && !e.isOver {
		return false
	}
	count := copy(e.receive[:min(len(e.receive), bytesMax)], e.arriving)
	e.arriving = append(e.arriving[:0], e.arriving[count:]...)
	e.receive = nil
	e.node.tell(e, ports.NetworkReceived, int32(count))
	return true
}

// turn gives the stage of a node a turn, and then its consensus.
func (n *peerNode) turn() (busy bool) {
	if n.isDown {
		return false
	}
	busy = n.driver.Turn(n.world.nowNs, 0)
	for !n.isBusy {
		e, ok := n.fromNet.PopOne()
		if !ok {
			return busy
		}
		n.onNet(&e)
		busy = true
	}
	return busy
}

// say writes a line of the trace.
func (n *peerNode) say(format string, arguments ...any) {
	if n.world.say != nil {
		n.world.say(fmt.Sprintf("%d ", n.index)+format, arguments...)
	}
}

func (n *peerNode) push(e stages.ConsensusToNet) {
	switch e.Kind {
	case stages.NetPeerSend:
		n.say("consensus -> NetPeerSend: %s, view %d, peers %03b, %d bytes", peer.Command(e.Command), e.View, e.Peers, e.Bytes)
	case stages.NetPeerNoted:
		n.say("consensus -> NetPeerNoted: %d", e.Peer)
	case stages.NetFree:
		n.say("consensus -> NetFree")
	}
	if !n.toNet.PushOne(e) {
		n.world.t.Fatal("the ring to net is full")
	}
}

// onNet is what consensus does with a message of net.
func (n *peerNode) onNet(e *stages.NetToConsensus) {
	w := n.world
	switch e.Kind {
	case stages.NetPeerMessage:
		n.say("consensus <- NetPeerMessage of %d: %s, view %d, %d bytes", e.Peer, peer.Command(e.Command), e.View, e.Bytes)
		n.onMessage(e)
	case stages.NetPeerSent:
		n.say("consensus <- NetPeerSent: %d", e.Peer)
		n.leases[e.Slot]--
		n.pending[e.Peer]--
		if n.leases[e.Slot] < 0 || n.pending[e.Peer] < 0 {
			w.t.Fatalf("node %d: slot %d comes back from peer %d once more", n.index, e.Slot, e.Peer)
		}
		if n.leases[e.Slot] == 0 {
			delete(n.leases, e.Slot)
			n.slots.Put(e.Slot)
		}
	case stages.NetPeerLive:
		n.say("consensus <- NetPeerLive: %d", e.Peer)
		if e.Incarnation != w.nodes[e.Peer].self.Incarnation {
			w.t.Fatalf("node %d: incarnation %d of peer %d", n.index, e.Incarnation, e.Peer)
		}
		n.live[e.Peer] = true
		n.lives++
		n.push(stages.ConsensusToNet{Kind: stages.NetPeerNoted, Peer: e.Peer})
	case stages.NetPeerLost:
		n.say("consensus <- NetPeerLost: %d", e.Peer)
		n.live[e.Peer] = false
		n.push(stages.ConsensusToNet{Kind: stages.NetPeerNoted, Peer: e.Peer})
	default:
		w.t.Fatalf("node %d: event %+v", n.index, e)
	}
}

// onMessage compares a message with those that its sender has sent.
func (n *peerNode) onMessage(e *stages.NetToConsensus) {
	w := n.world
	command, message := peer.Command(e.Command), n.slots.Bytes(e.Slot)[:e.Bytes]
	from := w.nodes[e.Peer]
	numbers := from.sent[n.index][string(message)] // several of a message without a number
	if len(numbers) == 0 {
		w.t.Fatalf("node %d: %s of %d bytes from %d was not sent, or came before", n.index, command, e.Bytes, e.Peer)
	}
	number := numbers[0]
	from.sent[n.index][string(message)] = numbers[1:]
	body := message[peer.InnerBytes:]
	if e.BodyHashed != (len(body) > 0) || e.BodyHashed && e.BodySum != prepare.Sum(body) {
		w.t.Fatalf("node %d: %s has a body of %d bytes, hashed %v", n.index, command, len(body), e.BodyHashed)
	}
	if e.View != testView+1 || e.Incarnation != from.self.Incarnation || e.ReceivedNs != w.nowNs || e.ArrivingNs > w.nowNs {
		w.t.Fatalf("node %d: %+v", n.index, e)
	}
	if !isRepeated(command) {
		latest := &n.latest[e.Peer][class(command)]
		if number <= *latest {
			w.t.Fatalf("node %d: %s with number %d from %d, after %d", n.index, command, number, e.Peer, *latest)
		}
		*latest = number
	}
	n.got[command]++
	w.arrived++
	if n.blames == command {
		n.push(stages.ConsensusToNet{Kind: stages.NetFree, Slot: e.Slot, Malformed: true, Connection: e.Connection, Command: e.Command})
		return
	}
	n.held = append(n.held, e.Slot)
	if !n.isHolding && !w.faulty {
		n.freeOne(len(n.held) - 1)
	}
}

// freeOne gives the slot of a message back.
func (n *peerNode) freeOne(at int) {
	n.push(stages.ConsensusToNet{Kind: stages.NetFree, Slot: n.held[at]})
	n.held = append(n.held[:at], n.held[at+1:]...)
}

// send sends a message to a set of peers, if there is a slot and each of them has room.
func (n *peerNode) send(command peer.Command, peers uint16) (ok bool) {
	w := n.world
	n.number++
	message := testMessage(w.random, command, n.number)
	slotClass := stages.SlotSend
	if len(message) > limits.SmallSlotBytes {
		slotClass = []stages.SlotClass{stages.SlotPrepare, stages.SlotRepair}[w.random.IntN(2)]
	}
	for to := range w.nodes {
		if peers>>to&1 != 0 && n.pending[to] == stages.BudgetPeerSends {
			return false
		}
	}
	slot := n.slots.Get(slotClass)
	if slot == stages.SlotNone {
		return false
	}
	copy(n.slots.Bytes(slot), message)
	for to := range w.nodes {
		if peers>>to&1 != 0 {
			n.sent[to][string(message)] = append(n.sent[to][string(message)], n.number)
			n.pending[to]++
		}
	}
	n.leases[slot] = bits.OnesCount16(peers)
	n.push(stages.ConsensusToNet{Kind: stages.NetPeerSend, Slot: slot, Bytes: uint32(len(message)), Command: uint8(command), Peers: peers,
		View: testView + 1})
	return true
}

// others is a random set of other replicas.
func (n *peerNode) others() (peers uint16) {
	all := uint16(1<<len(n.world.nodes)-1) &^ (1 << n.index)
	for peers == 0 {
		peers = uint16(n.world.random.Uint32()) & all
	}
	return peers
}

// step is one random thing that happens.
func (w *peerWorld) step() {
	n := w.nodes[w.random.IntN(len(w.nodes))]
	w.nowNs += uint64(w.random.IntN(200_000))
	switch w.random.IntN(8) {
	case 0, 1:
		n.turn()
	case 2:
		n.send(peer.Command(1+w.random.IntN(int(commandsLast))), n.others())
	case 3:
		if len(n.held) > 0 && !n.isHolding {
			n.freeOne(w.random.IntN(len(n.held)))
		}
	case 4:
		if w.faulty && w.random.IntN(100) == 0 {
			w.mishap(n)
		}
	default:
		bytesMax := 1 << 30
		if w.faulty {
			bytesMax = 1 + w.random.IntN([]int{1, 16, 400, 70_000}[w.random.IntN(4)])
		}
		for i := range n.ends {
			n.ends[i].move(bytesMax)
		}
	}
}

// mishap breaks a connection, or ends a process.
func (w *peerWorld) mishap(n *peerNode) {
	if w.random.IntN(8) == 0 {
		n.restart()
		return
	}
	w.mishapOf(n)
}

// mishapOf breaks connections of a node.
func (w *peerWorld) mishapOf(n *peerNode) {
	for i := range n.ends {
		if e := &n.ends[i]; e.open && e.other != nil && (!w.faulty || w.random.IntN(3) == 0) {
			if w.random.IntN(2) == 0 {
				e.arriving, e.other.arriving = nil, nil // a reset, not an end
			}
			e.isOver = true
			e.part()
		}
	}
}

// settle runs until nothing moves any more. Times do not pass.
func (w *peerWorld) settle() {
	for moved := true; moved; {
		moved = false
		for _, n := range w.nodes {
			moved = n.turn() || moved
			for i := range n.ends {
				moved = n.ends[i].move(1<<30) || moved
			}
		}
	}
}

// pass lets time pass, up to the next timer each, until done.
func (w *peerWorld) pass(what string, done func() bool) {
	w.t.Helper()
	for range 20_000 {
		if w.settle(); done() {
			return
		}
		next := stages.NoTurn
		for _, n := range w.nodes {
			if !n.isDown {
				next = min(next, n.driver.NextTurnNs())
			}
		}
		w.nowNs = max(w.nowNs+1, next)
	}
	w.t.Fatalf("%s: it does not come", what)
}

// allLive tells whether each replica is connected to each other one.
func (w *peerWorld) allLive() bool {
	for _, n := range w.nodes {
		for to := range w.nodes {
			if to != n.index && !n.live[to] {
				return false
			}
		}
	}
	return true
}

// checkFree asserts that no slot and no lease is held, after all connections are closed and all
// messages are taken.
func (w *peerWorld) checkFree() {
	w.t.Helper()
	for _, n := range w.nodes {
		for len(n.held) > 0 {
			n.freeOne(0)
		}
	}
	for _, n := range w.nodes {
		for i := range n.ends {
			if e := &n.ends[i]; e.open {
				e.isOver = true
				e.part()
			}
		}
	}
	w.settle()
	for _, n := range w.nodes {
		for len(n.held) > 0 {
			n.freeOne(0)
		}
	}
	w.settle()
	for _, n := range w.nodes {
		for class, pool := range n.slots.Pools {
			if pool.FreeCount() != pool.SlotsCount() {
				w.t.Errorf("node %d: %d of %d slots of class %d are free", n.index, pool.FreeCount(), pool.SlotsCount(), class)
			}
		}
		if len(n.leases) != 0 {
			w.t.Errorf("node %d: %d leases are out", n.index, len(n.leases))
		}
	}
}
