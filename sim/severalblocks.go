package sim

import (
	"ledger/sim/oracle"
)

// blockAt is where a block lies in the file.
func (m *Machine) blockAt(address uint64) uint64 {
	return m.layout.GridAt + (address-1)*uint64(m.limits.BlockBytes)
}

// observeBlock gives a write into the grid to the ledger of blocks.
func (m *Machine) observeBlock(offsetBytes uint64, data []byte) {
	s := m.cluster.several
	repaired, err := s.blocks.Writes(m.index, offsetBytes-m.layout.GridAt, data)
	if err != nil {
		m.fail("machine %d: %v", m.index, err)
	}
	switch {
	case repaired != nil:
		m.say("block %d is repaired", repaired.Address)
		m.repairedAt[m.blockAt(repaired.Address)] = m.events.nowNs
		if s.marks.add(MarkRepairedTable); repaired.IsTrailer() {
			s.marks.add(MarkRepairedTrailer)
		}
		if !m.replica.Apply.IsOpen() {
			s.marks.add(MarkRepairedAtOpening)
		}
	case uint64(len(data)) > uint64(m.limits.PageBytes) && (offsetBytes-m.layout.GridAt)%uint64(m.limits.BlockBytes) == 0:
		m.observeGrid(offsetBytes, data)
	}
}

// observeOpening looks whether the replica opens a checkpoint while it runs. Until it has dropped
// the state that it had, it may still write blocks of that.
func (m *Machine) observeOpening() {
	if dropped := m.replica.Apply.Dropped(); dropped > m.dropped {
		m.dropped = dropped
		m.say("opens a checkpoint")
		m.cluster.several.blocks.Reopens(m.index)
		if m.witness.syncMax == 0 {
			m.cluster.several.marks.add(MarkReopened)
		}
	}
}

// judgeBlocks judges a message that asks for blocks, or that brings one. A block is what was
// written under its name, whatever the disk has.
func (m *Machine) judgeBlocks(fail func(string, ...any), to *Machine, e *oracle.Message) {
	s := m.cluster.several
	if e.Command == oracle.BlockMessage {
		s.marks.add(MarkBlockServed)
		address, checksum := e.BlockName(0)
		if err := s.blocks.Sent(address, checksum, e.Body); err != nil {
			fail("%v", err)
		}
		return
	}
	for i := range int(e.Inner[oracle.BlocksCountAt]) {
		address, checksum := e.BlockName(oracle.BlockNamesAt + i*oracle.BlockNameBytes)
		if !s.blocks.IsKnown(address, checksum) {
			fail("block %d with checksum %x was never written", address, checksum)
		}
		if s.blocks.IsReused(to.index, address, checksum) {
			s.marks.add(MarkServedAtReuse)
		}
	}
}

// keepsHalf: an op that is acknowledged may prove that a quorum has a checkpoint. A replica that
// misses blocks of its checkpoint is no part of that quorum.
func (m *Machine) keepsHalf(fail func(string, ...any), op uint64) {
	d, l, s := m.witness, &m.limits, m.cluster.several
	if d.syncMax == 0 || d.checkpointOp == 0 || op <= l.CheckpointTrigger(d.checkpointOp)+uint64(l.SlackOps) {
		return
	}
	missing := s.blocks.Missing(m.index, d.checkpointOp)
	if missing == nil {
		return
	}
	whole := 0
	for _, other := range s.cluster.replicas() {
		isThere := other.witness.checkpointOp >= d.checkpointOp && s.blocks.Missing(other.index, other.witness.checkpointOp) == nil
		if isThere || s.replacement.hadWhole(other) >= d.checkpointOp {
			whole++
		}
	}
	if whole < oracle.Quorum(int(s.cluster.limits.ReplicasCount)) {
		fail("op %d says that a quorum has checkpoint %d; block %d of it is missing here, and %d replicas have it", op, d.checkpointOp,
			missing.Address, whole)
	}
}

// spoilKind is what becomes of a block.
type spoilKind uint8

const (
	spoilRot    spoilKind = iota // a sector of a page
	spoilMany                    // several of them
	spoilHeader                  // of the header page
	spoilLost                    // the write was lost: what lay there before lies there
	spoilAstray                  // the write of another block went here
	spoilZeros                   // nothing is left of it
	spoilsCount
)

// spoil damages blocks of a machine, within the budget of faults: each of them can be repaired.
func (s *several) spoil(m *Machine) {
	high := m.blocksHigh()
	if !s.mix.isSpoiled || high == 0 || m.isLost {
		return
	}
	r := m.random
	if r.IntN(12) == 0 {
		m.say("its disk loses all blocks")
		for address := uint64(1); address <= high; address++ {
			s.spoilBlock(m, address, spoilZeros)
		}
		return
	}
	if r.IntN(4) == 0 { // what the next start reads
		for _, block := range s.blocks.Named(m.witness.checkpointOp) {
			if block.IsTrailer() && r.IntN(3) == 0 {
				s.spoilBlock(m, block.Address, spoilKind(r.IntN(int(spoilsCount))))
			}
		}
	}
	for range 1 + r.Uint64N(min(high, 1<<r.IntN(7))) {
		s.spoilBlock(m, 1+r.Uint64N(high), spoilKind(r.IntN(int(spoilsCount))))
	}
}

// spoilOdds: of so many steps of time, one spoils blocks.
const spoilOdds = 3000

// spoilBlock damages what lies at an address of a machine, if it can be repaired.
func (s *several) spoilBlock(m *Machine, address uint64, kind spoilKind) {
	at, size := m.blockAt(address), uint64(m.limits.BlockBytes)
	for _, o := range m.disk.flying {
		if o.kind == diskWrite && o.offsetBytes < at+size && at < o.offsetBytes+o.lengthBytes {
			return // what comes of it is not known yet
		}
	}
	if s.blocks.IsRepairing(m.index, address) {
		return
	}
	block := s.blocks.Found(m.index, address)
	if block == nil || !s.blocks.MaySpoil(m.index, s.replacement.leaving(), block) {
		return
	}
	r, image, page := m.random, m.disk.image, uint64(m.limits.PageBytes)
	switch used := uint64(len(block.Bytes)); kind {
	case spoilRot, spoilMany:
		for range 1 + int(kind)*r.IntN(4) {
			if at := at + r.Uint64N(used/page)*page; at == m.blockAt(address) {
				image.damage(r, at, 128) // behind the header of the page lie zeros
			} else {
				image.damage(r, at, page)
			}
		}
	case spoilHeader:
		image.damage(r, at, 128)
	case spoilLost:
		before := make([]byte, used)
		if b := s.blocks.Before(block); b != nil {
			copy(before, b.Bytes)
		}
		image.put(at, before)
	case spoilAstray:
		other := image.bytes(m.blockAt(1+r.Uint64N(m.blocksHigh())), used)
		image.put(at, other)
	case spoilZeros:
		image.put(at, make([]byte, used))
	}
	if s.blocks.IsWhole(m.index, block) {
		return // the bytes are the same
	}
	image.taint(at, uint64(len(block.Bytes)))
	s.blocks.Spoils(m.index, block)
	m.result.DamagesCount++
	s.marks.add(MarkSpoiledBlock)
	m.say("damage: block %d, %s", address, [spoilsCount]string{"a sector", "some sectors", "its header", "a lost write", "a misdirected write",
		"all of it"}[kind])
}

// demandBlocks demands that each replica has all blocks of its checkpoint, page by page.
func (s *several) demandBlocks() {
	for _, m := range s.cluster.machines {
		if broken := s.unreadOf(m); len(broken) > 0 {
			m.fail("machine %d: %d blocks of checkpoint %d are not whole at the end, the first one is block %d", m.index, len(broken),
				m.witness.checkpointOp, broken[0].Address)
		}
	}
}

var _ oracle.BlockDisk = (*witness)(nil)
