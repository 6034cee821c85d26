package consensus

import (
	"bytes"
	"maps"
	"slices"

	"ledger/limits"
	"ledger/stages"
	"ledger/storage"
	"ledger/wire"
)

// testGrid is the blocks of a machine, as apply sees them. Each machine has all blocks, but for
// those that are damaged.
type testGrid struct {
	damaged map[uint64]bool // by address; it outlives the process
	wanted  map[uint64]bool
	serves  []stages.ConsensusToApply
	arrived []arrivedBlock
	isLiar  bool // it answers with wrong blocks
	isHeld  bool // a script keeps reads and repairs from ending

	servesMost int // the largest number of reads under way
}

// rebuiltFrom: blocks from this address on come into being when the log is executed again.
const rebuiltFrom = 1000

type arrivedBlock struct {
	action stages.ConsensusToApply
	copy   []byte
}

func (g *testGrid) start() {
	if g.damaged == nil {
		g.damaged = map[uint64]bool{}
	}
	g.wanted, g.serves, g.arrived = map[uint64]bool{}, nil, nil
}

func blockRef(address uint64) storage.Ref {
	return storage.Ref{Address: address, Checksum: wire.Checksum{byte(address), byte(address >> 8), 7}}
}

// blockBytes are the used pages of a block.
func (w *several) blockBytes(ref storage.Ref) []byte {
	pages := uint32(1 + ref.Address%3)
	data := bytes.Repeat([]byte{ref.Checksum[0], ref.Checksum[1], 1, 2}, int(pages*w.l.PageBytes/4))
	copy(data, ref.Checksum[:])
	return data
}

// want: the machine cannot go on without a block.
func (m *machine) want(address uint64, isNamed bool) {
	if m.grid.wanted[address] {
		return
	}
	m.grid.wanted[address] = true
	m.w.tell("%d wants block %d", m.index, address)
	m.applyEvents = append(m.applyEvents, stages.ApplyToConsensus{Kind: stages.ApplyBlockWanted, Ref: blockRef(address), Named: isNamed,
		Tree: "balances"})
}

func (m *machine) unwant(address uint64) {
	delete(m.grid.wanted, address)
	m.applyEvents = append(m.applyEvents, stages.ApplyToConsensus{Kind: stages.ApplyBlockUnwanted, Ref: blockRef(address)})
}

// damage a block here, and find that out.
func (m *machine) damage(address uint64) {
	m.grid.damaged[address] = true
	m.want(address, true)
}

func (m *machine) performBlock(a *stages.ConsensusToApply) {
	g, t := &m.grid, m.w.t
	if a.Kind == stages.ApplyBlockServe {
		g.serves = append(g.serves, *a)
		if g.servesMost = max(g.servesMost, len(g.serves)); len(g.serves) > stages.BlocksServedMax {
			t.Fatalf("seed %d: %d blocks are read for others at a time", m.w.seed, len(g.serves))
		}
		return
	}
	if m.w.count["block"]++; a.Ref != blockRef(a.Ref.Address) || a.Bytes == 0 || a.Bytes%m.w.l.PageBytes != 0 {
		t.Fatalf("block %d arrives with %d bytes", a.Ref.Address, a.Bytes)
	}
	of := map[uint64]bool{}
	for _, other := range g.arrived {
		of[other.action.Ref.Address] = true
	}
	if of[a.Ref.Address] && g.wanted[a.Ref.Address] && m.w.isExact {
		t.Fatalf("block %d is at apply twice", a.Ref.Address)
	}
	data := m.slots.Bytes(a.Slot)[limits.HeaderBytes:][:a.Bytes]
	if g.arrived = append(g.arrived, arrivedBlock{*a, bytes.Clone(data)}); len(g.arrived) > heldBlocksMax {
		t.Fatalf("seed %d: %d blocks wait to be written", m.w.seed, len(g.arrived))
	}
}

// finishBlocks lets reads for others and repairs end.
func (m *machine) finishBlocks() {
	g := &m.grid
	for len(g.serves) > 0 && !g.isHeld && m.w.chance(3, 1) > 0 {
		a := g.serves[0]
		g.serves = g.serves[1:]
		e := stages.ApplyToConsensus{Kind: stages.ApplyBlockServed, Slot: a.Slot, Ref: a.Ref, Read: stages.ReadDamaged}
		switch data := m.w.blockBytes(a.Ref); {
		case a.Ref != blockRef(a.Ref.Address):
			e.Read = stages.ReadAbsent
		case !g.damaged[a.Ref.Address]:
			e.Read, e.Bytes = stages.ReadOK, uint32(len(data))
			copy(m.slots.Bytes(a.Slot)[limits.HeaderBytes:], data)
			if g.isLiar {
				m.slots.Bytes(a.Slot)[limits.HeaderBytes+20]++
			}
		}
		m.applyEvents = append(m.applyEvents, e)
	}
	for len(g.arrived) > 0 && !g.isHeld && m.w.chance(3, 1) > 0 {
		a := g.arrived[0]
		g.arrived = g.arrived[1:]
		m.applyEvents = append(m.applyEvents, stages.ApplyToConsensus{Kind: stages.ApplyBlockRepaired, Slot: a.action.Slot, Ref: a.action.Ref,
			Repair: m.repair(&a)})
	}
}

// repair tells what becomes of a block that came.
func (m *machine) repair(a *arrivedBlock) stages.BlockRepair {
	address := a.action.Ref.Address
	if data := m.slots.Bytes(a.action.Slot)[limits.HeaderBytes:][:a.action.Bytes]; !bytes.Equal(data, a.copy) {
		m.w.t.Fatalf("seed %d: the slot of block %d changed while it was being written", m.w.seed, address)
	}
	switch {
	case !m.grid.wanted[address]:
		m.w.count["block unwanted"]++
		return stages.RepairUnwanted
	case !bytes.Equal(a.copy, m.w.blockBytes(a.action.Ref)):
		m.w.count["wrong block"]++
		m.w.tell("%d has got another block for block %d", m.index, address)
		return stages.RepairWrong
	}
	delete(m.grid.wanted, address)
	delete(m.grid.damaged, address)
	m.w.count["repaired block"]++
	m.w.tell("%d has repaired block %d", m.index, address)
	return stages.RepairWritten
}

// damageBlocks damages some blocks. Each stays whole on one machine that tells the truth. Sometimes
// a want ends by itself, and sometimes no machine that is up has the block.
func (w *several) damageBlocks() {
	if w.onLost == nil {
		w.onLost = func(*machine, LostBlocks) { w.count["block lost"]++ }
		w.machines[w.random.IntN(len(w.machines))].grid.isLiar = true
	}
	for _, m := range w.machines {
		m.grid.isHeld = w.random.IntN(4) == 0
		for i := range m.grid.arrived {
			if address := m.grid.arrived[i].action.Ref.Address; m.grid.wanted[address] && w.random.IntN(3) == 0 {
				m.unwant(address)
			}
		}
	}
	if m := w.machines[w.random.IntN(len(w.machines))]; m.isUp && w.random.IntN(8) == 0 {
		w.count["block of no checkpoint"]++
		address := uint64(rebuiltFrom + w.count["block of no checkpoint"])
		for _, m := range w.machines {
			m.grid.damaged[address] = true
		}
		m.want(address, false)
	}
	for range w.random.IntN(30) {
		address := uint64(1 + w.random.IntN(100))
		m := w.machines[w.random.IntN(len(w.machines))]
		switch {
		case !m.isUp:
		case m.grid.wanted[address]:
			if w.random.IntN(10) == 0 {
				m.unwant(address)
			}
		case len(m.grid.wanted) > stages.BlocksWantedMax/2: // apply never wants more than it has room for
		case w.copies(address) > 1 || w.copies(address) == 1 && (m.isStandby() || m.grid.isLiar || m.grid.damaged[address]):
			m.damage(address)
		}
	}
}

// copies is the number of replicas that have a block, and say the truth.
func (w *several) copies(address uint64) (count int) {
	for _, m := range w.machines {
		if !m.isStandby() && !m.grid.isLiar && !m.grid.damaged[address] {
			count++
		}
	}
	return count
}

// isWhole tells whether nobody waits for a block.
func (w *several) isWhole() bool {
	for _, m := range w.machines {
		if len(m.grid.wanted) > 0 {
			return false
		}
	}
	return true
}

// wantsOf are the blocks that a machine waits for.
func (m *machine) wantsOf() []uint64 { return slices.Sorted(maps.Keys(m.grid.wanted)) }
