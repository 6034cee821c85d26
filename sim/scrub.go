package sim

import (
	"fmt"

	"ledger/stages/journal"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/datafile"
	"ledger/storage/forest/manifest"
)

// findingNsMax is longer than a finding is on its way: from the read of a block until apply has
// said that the block is in use.
const findingNsMax = 1000 * nsPerMs

// onFinding checks that what the scrubber reports was damaged, or still was when it read it.
func (m *Machine) onFinding(f *storage.Finding) {
	m.result.Coverage.Findings[f.Zone]++
	from, length := m.placeOf(f)
	m.note(fmt.Sprintf("finding in the %s: %s", storage.ZoneNames[f.Zone], f.Reason), from, length)
	isMissed := m.witness != nil && m.witness.syncMax > 0 // it has taken a checkpoint of others, and not all blocks yet
	repairedNs, isRepaired := m.repairedAt[from]
	wasDamaged := isRepaired && m.events.nowNs < repairedNs+findingNsMax
	if !isMissed && !wasDamaged && !m.disk.image.isTainted(from, length) {
		m.fail("the scrubber reports %+v on machine %d, and nobody has damaged the %d bytes at %d", *f, m.index, length, from)
	}
	m.found[from] = true
}

// placeOf is the part of the file that a finding is about.
func (m *Machine) placeOf(f *storage.Finding) (offsetBytes, lengthBytes uint64) {
	switch f.Zone {
	case storage.ZoneSuperblock:
		return m.layout.SuperblockCopyAt(f.Copy), uint64(m.limits.SuperblockBytes)
	case storage.ZoneLog:
		if f.IsTwin {
			return m.layout.TwinAt(f.Slot), uint64(m.limits.TwinBytes)
		}
		return m.layout.PrepareAt(f.Slot), uint64(m.limits.MessageBytesMax)
	}
	g := block.GeometryOf(m.limits)
	return m.layout.GridAt + g.Offset(f.Block.Address, 0), uint64(g.BlockBytes)
}

// rest damages places that are in use, at a time when nobody needs them, and demands that the
// scrubber finds each within its period. Then the damage is undone and the replica goes on, because
// only the next checkpoint tells which blocks were in use all the time.
func (m *Machine) rest() {
	m.runUntil(func() bool { return m.ready && m.quiet() && m.replica.Apply.Settled() }, "everything in hand is done")
	before, roots := m.manifest()
	checkpointOp := m.medium.checkpointOp
	m.found = map[uint64]bool{}
	undo := m.harmAtRest(before, roots)
	m.waitForScrubber()
	if m.fault != nil { // the damage was needed all the same
		m.result.FaultsCount++
		return
	}
	for _, u := range undo {
		// Time may expire transfers, and the ops that do so may lead to another checkpoint. It
		// replaces trailers and superblocks.
		isSame := m.medium.written == checkpointOp && m.medium.checkpointOp == checkpointOp && m.replica.Apply.Settled()
		if u.isCertain && isSame && m.disk.image.isTainted(u.offsetBytes, uint64(len(u.content))) {
			m.demandFound(u.offsetBytes)
		}
		m.disk.image.heal(u.offsetBytes, u.content)
		m.repairedAt[u.offsetBytes] = m.events.nowNs // a finding may be on its way
		if u.offsetBytes >= m.layout.GridAt {
			delete(m.damaged, (u.offsetBytes-m.layout.GridAt)/uint64(m.limits.BlockBytes)+1)
		}
	}
	for range 8 {
		if m.medium.checkpointOp > checkpointOp {
			break
		}
		m.audit()
	}
	if m.medium.checkpointOp == checkpointOp {
		return
	}
	after, _ := m.manifest()
	for _, u := range undo {
		if t := u.table; t.born > 0 && after[t.Address] == t {
			m.demandFound(u.offsetBytes)
		}
	}
}

func (m *Machine) demandFound(offsetBytes uint64) {
	if !m.found[offsetBytes] {
		m.describe()
		m.fail("the scrubber has not found damage at %d within its period of %d ms", offsetBytes, m.limits.ScrubPeriodNs/nsPerMs)
	}
	m.result.Coverage.RestFound++
}

// harmed is a place that is damaged for a while.
type harmed struct {
	offsetBytes uint64
	content     []byte
	isCertain   bool   // it is in use all the time
	table       placed // or it is the place of this table, which the last checkpoint names
}

// placed is a table of a checkpoint. Another one may have the same Ref later: the block of the rows
// that fill no block is written anew by each flush. It then has another birth.
type placed struct {
	storage.Ref
	born uint64
}

// harmAtRest damages some tables, a root of a trailer, prepares of the log, and a copy of the
// superblock.
func (m *Machine) harmAtRest(tables map[uint64]placed, roots []uint64) (undo []harmed) {
	r, g := m.random, block.GeometryOf(m.limits)
	keep := func(offsetBytes, lengthBytes uint64) harmed {
		return harmed{offsetBytes: offsetBytes, content: m.disk.image.bytes(offsetBytes, lengthBytes)}
	}
	harmBlock := func(address uint64) *harmed {
		undo = append(undo, keep(m.layout.GridAt+g.Offset(address, 0), uint64(g.BlockBytes)))
		m.damageBlock(address)
		return &undo[len(undo)-1]
	}
	high := m.blocksHigh()
	for range 1 + r.IntN(8) {
		if address := 1 + r.Uint64N(max(high, 1)); tables[address].born > 0 && !m.damaged[address] {
			harmBlock(address).table = tables[address]
		}
	}
	if len(roots) > 0 && r.IntN(2) == 0 {
		harmBlock(roots[r.IntN(len(roots))]).isCertain = true
	}
	slots := uint64(m.limits.JournalSlotsCount)
	if ops := m.medium.durableOp - m.medium.checkpointOp; ops > 0 {
		for range 1 + r.IntN(3) {
			op := m.medium.checkpointOp + 1 + r.Uint64N(ops)
			p := m.medium.recent[op%uint64(len(m.medium.recent))]
			at, length := m.layout.PrepareAt(op%slots), uint64(len(padded(p, m.limits.SectorBytes)))
			if r.IntN(2) == 0 {
				at, length = m.layout.TwinAt(op%slots), uint64(len(twinOf(p, &m.limits)))
			}
			if m.disk.image.isTainted(at, length) {
				continue
			}
			u := keep(at, length)
			u.isCertain = true
			undo = append(undo, u)
			m.disk.image.damage(r, at, length)
		}
	}
	at := m.layout.SuperblockCopyAt(uint32(r.IntN(4)))
	if !m.disk.image.isTainted(at, datafile.SuperblockContentBytes) {
		u := keep(at, datafile.SuperblockContentBytes)
		u.isCertain = true
		undo = append(undo, u)
		m.disk.image.damage(r, at+24, datafile.SuperblockContentBytes-24) // the checksum does not cover itself, nor the number of the copy
	}
	m.result.DamagesCount += len(undo)
	return undo
}

// waitForScrubber waits for a period, for as much time as the bounds of bytes per second add, and
// for the latencies of the reads.
func (m *Machine) waitForScrubber() {
	reads := m.blocksHigh() + uint64(m.limits.JournalSlotsCount) + 4
	bytes := m.disk.image.usedBytes
	waitNs := m.limits.ScrubPeriodNs*5/4 + reads*2*nsPerMs + bytes*1_000_000_000/journal.ScrubBytesPerSecond
	for endNs := m.events.nowNs + waitNs; m.events.nowNs < endNs && m.fault == nil; {
		m.step()
	}
}

// manifest returns the tables that the newest durable checkpoint names, by address, and the
// addresses of the roots of its trailers.
func (m *Machine) manifest() (tables map[uint64]placed, roots []uint64) {
	file := &File{image: m.disk.image, random: m.random, crashSectors: -1}
	copies, chosen, err := datafile.ReadSuperblock(file, &m.limits, make([]byte, datafile.SuperblockContentBytes))
	if err != nil {
		m.fail("the superblock: %v", err)
	}
	checkpoint, g := &copies[chosen].Checkpoint, block.GeometryOf(m.limits)
	tables = map[uint64]placed{}
	for _, root := range checkpoint.Roots {
		if !root.IsZero() {
			roots = append(roots, root.Address)
		}
	}
	if len(roots) == 0 {
		return tables, nil
	}
	content := make([]byte, checkpoint.TrailerBytes[storage.TrailerManifest])
	fault := block.ReadTrailer(file, m.layout.GridAt, &g, m.cluster.id, storage.TrailerManifest, checkpoint.Roots[storage.TrailerManifest],
		content, make([]byte, g.BlockBytes), nil)
	if fault != nil {
		m.fail("the manifest: %v", fault)
	}
	if _, err := manifest.Walk(content, &m.limits, func(t *manifest.Table) { tables[t.Address] = placed{t.Ref, t.BornOp} }); err != nil {
		m.fail("the manifest: %v", err)
	}
	return tables, roots
}
