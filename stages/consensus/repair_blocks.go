package consensus

import (
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/peer"
	"ledger/stages"
	"ledger/storage"
	"ledger/vsr"
)

// blocks is the blocks that apply wants of other replicas, because its own disk does not give them.
//
//	ApplyBlockWanted -> asked (budget) -> block: held -> ApplyBlockArrived -> ApplyBlockRepaired
//	                      ^                     |                               |
//	                      +--- block_missing ---+-------------- wrong ----------+
//
// A block that came is held in the slot in which it came, until apply has answered for it. The
// budget bounds how many slots of each peer are held.
type blocks struct {
	budget vsr.BlockBudget
	about  [vsr.BlockWantsMax]aboutWant // by the place of the want in budget
	held   [heldBlocksMax]heldBlock

	askedCount, takenCount, wrongCount, missingCount, droppedCount, takenBytes uint64
}

// heldBlocksMax is the largest number of blocks that came and are not written: those of a standby,
// which asks all replicas.
const heldBlocksMax = limits.ReplicasMax * limits.BlocksArrivingMax

// These fail to compile if the numbers of the rules, of the edges and of the protocol differ.
var (
	_ = [1]struct{}{}[stages.BlocksWantedMax-vsr.BlockWantsMax]
	_ = [1]struct{}{}[peer.BlocksPerRequest-vsr.BlocksPerRequest]
	_ = [1]struct{}{}[stages.BlocksArrivedMax-heldBlocksMax]
)

// aboutWant is what is known of a want.
type aboutWant struct {
	isNamed bool // by the durable checkpoint, as of when it was wanted
	tree    string
	sinceNs uint64
}

// heldBlock is a block that came, and that apply has.
type heldBlock struct {
	token vsr.BlockToken
	slot  stages.Slot
	bytes uint32
	isOn  bool
}

func newBlocks(self, replicas int) blocks {
	return blocks{budget: vsr.NewBlockBudget(self, replicas, limits.BlocksArrivingMax)}
}

func (b *blocks) connected(nowNs uint64, replica int, isLive bool) {
	b.budget.Connected(nowNs, replica, isLive)
}

// waiting is the number of blocks that are wanted.
func (b *blocks) waiting() int { return b.budget.Count() }

// fetched counts the blocks that others have sent and that are on disk here.
func (b *blocks) fetched() (count, bytes uint64) { return b.takenCount, b.takenBytes }

func (b *blocks) want(nowNs uint64, block vsr.Block, about aboutWant) {
	about.sinceNs = nowNs
	b.about[b.budget.Want(nowNs, block)] = about
}

func (b *blocks) unwant(block vsr.Block) { b.budget.Unwant(block) }

// ask returns whom to ask for which blocks.
func (b *blocks) ask(nowNs, random uint64) (from int, m peer.RequestBlocks, ok bool) {
	from, names, count, ok := b.budget.Ask(nowNs, random)
	if !ok {
		return 0, m, false
	}
	m.BlocksCount = uint8(count)
	for i := range names {
		m.Blocks[i] = peer.BlockName{Address: names[i].Address, Checksum: names[i].Checksum}
	}
	b.askedCount += uint64(count)
	return from, m, true
}

// arrived takes a block that came, and the caller's hold of its slot. If nobody waits for it, it is
// not taken.
func (b *blocks) arrived(nowNs uint64, from int, block vsr.Block, slot stages.Slot, bytes uint32) (isTaken bool) {
	token, isTaken := b.budget.Arrived(nowNs, from, block)
	if !isTaken {
		b.droppedCount++
		return false
	}
	for i := range b.held {
		if h := &b.held[i]; !h.isOn {
			*h = heldBlock{token, slot, bytes, true}
			return true
		}
	}
	assert.That(false, "there is a place for each block that is held")
	return false
}

// missing: a peer has not got a block.
func (b *blocks) missing(nowNs uint64, from int, block vsr.Block) {
	b.missingCount++
	b.budget.Missing(nowNs, from, block)
}

// repaired takes apply's answer about the block in slot, and gives the hold of the slot back.
func (b *blocks) repaired(nowNs uint64, slot stages.Slot, result stages.BlockRepair) {
	at := 0
	for at < len(b.held) && !(b.held[at].isOn && b.held[at].slot == slot) {
		at++
	}
	assert.Below(at, len(b.held), "place of a block that apply answers for")
	h := &b.held[at]
	h.isOn = false
	if result == stages.RepairWritten {
		b.takenCount++
		b.takenBytes += uint64(h.bytes)
		b.budget.Repaired(h.token)
		return
	}
	if result == stages.RepairWrong {
		b.wrongCount++
	}
	b.budget.Refused(nowNs, h.token)
}

// rounds counts those in which peers were asked in vain for the want of a place in the budget. Each
// step asks this of each place.
func (b *blocks) rounds(at int) uint32 { return b.budget.Rounds(at) }

// of returns the want of a place.
func (b *blocks) of(at int) lostWant {
	block, _, lost, _ := b.budget.At(at)
	about := &b.about[at]
	return lostWant{block: block, lost: lost, isNamed: about.isNamed, tree: about.tree, sinceNs: about.sinceNs}
}

func (b *blocks) nextNs(nowNs uint64) uint64 { return b.budget.NextNs(nowNs) }

// fill tells numbers for people.
func (b *blocks) fill(out *ClusterSample) {
	out.BlocksWanted, out.BlocksAsked = uint64(b.budget.Count()), b.askedCount
	out.BlocksRepaired, out.BlockBytesRepaired = b.takenCount, b.takenBytes
	out.BlocksWrong, out.BlocksMissing, out.BlocksDropped = b.wrongCount, b.missingCount, b.droppedCount
}

func blockOf(name *peer.BlockName) vsr.Block {
	return vsr.Block{Address: name.Address, Checksum: name.Checksum}
}

func nameOf(ref storage.Ref) peer.BlockName {
	return peer.BlockName{Address: ref.Address, Checksum: ref.Checksum}
}

// onBlockWanted: apply cannot go on without a block.
func (s *Stage) onBlockWanted(e *stages.ApplyToConsensus) {
	assert.That(s.isCluster(), "a single replica has nobody to ask for a block")
	s.blocks.want(s.timers.now(), vsr.Block(e.Ref), aboutWant{isNamed: e.Named, tree: e.Tree})
}

// onBlock: a peer sends a block. Only apply can tell whether it is that block.
func (s *Stage) onBlock(e *stages.NetToConsensus, m *peer.Block) {
	bytes := e.Bytes - limits.HeaderBytes
	if s.blocks.arrived(s.timers.now(), int(e.Peer), blockOf(&m.Name), e.Slot, bytes) {
		s.send.arrived(storage.Ref{Address: m.Name.Address, Checksum: m.Name.Checksum}, e.Slot, bytes)
	}
}

// onBlockRepaired: apply has no use for the slot of a block any more.
func (s *Stage) onBlockRepaired(e *stages.ApplyToConsensus) {
	s.blocks.repaired(s.timers.now(), e.Slot, e.Repair)
	s.send.returned(e.Slot)
}

// repairBlocks asks peers for what is wanted, and looks after what nobody brings.
func (s *Stage) repairBlocks() {
	for s.blocks.waiting() > 0 {
		from, m, ok := s.blocks.ask(s.timers.now(), s.deadlines.draw())
		if !ok {
			break
		}
		s.sendSmall(peer.CommandRequestBlocks, s.superblocks.now().View, in(&s.outgoing.blocks, m), 1<<from)
	}
	s.watchLost()
	s.watchHealing()
}
