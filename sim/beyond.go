package sim

import (
	"encoding/binary"
	"errors"

	"ledger/prepare"
	"ledger/sim/model"
	"ledger/storage"
	"ledger/storage/datafile"
)

// damageBeyond damages parts of the file that one replica cannot repair. The replica must refuse to
// start, or must stop when it finds the damage. It must never give a wrong reply.
func (m *Machine) damageBeyond() {
	r := m.random
	m.restart()
	// Some ops follow the superblock of this start, so that the superblock does not tell where the
	// log ends.
	a := newAuditor(m.cluster.judge.clients.Server.Machine, m.cluster.modelLimits, r)
	a.requests = a.requests[:r.IntN(min(8, len(a.requests))+1)]
	if r.IntN(2) == 0 { // the head of the log is as large as a prepare gets
		ids := make([]model.Number, min(m.cluster.modelLimits.EventsMax(model.LookupAccounts), 1000))
		for i := range ids {
			ids[i] = model.Num(uint64(i + 1))
		}
		a.lookups(model.LookupAccounts, ids, m.cluster.modelLimits)
	}
	m.ask(a)
	m.runUntil(func() bool { return m.ready && m.medium.candidate == nil }, "the replica is ready")
	m.crash(false)

	image, layout := m.disk.image, &m.layout
	superblock, _ := m.superblock()
	if superblock == nil {
		m.fail("no two copies of the superblock agree after a crash")
	}
	checkpointOp, _ := checkpointOf(superblock)
	slots, head := uint64(m.limits.JournalSlotsCount), m.medium.durableOp
	mustStop := true
	prepareOf := func(op uint64) (offsetBytes, lengthBytes uint64) {
		p := uint64(len(m.medium.recent[op%uint64(len(m.medium.recent))]))
		sector := uint64(m.limits.SectorBytes)
		return layout.PrepareAt(op % slots), (p + sector - 1) / sector * sector
	}
	small := func(op uint64) bool { return isSmall(m.medium.recent[op%uint64(len(m.medium.recent))], &m.limits) }
	// The twin of a small prepare is damaged too. If the header of the head's twin were right, the
	// head could be the torn write of a crash.
	loseTwin := func(op uint64) {
		if !small(op) {
			return
		}
		length := uint64(prepare.HeaderBytes)
		if op < head && r.IntN(2) == 0 {
			length = uint64(len(m.medium.recent[op%uint64(len(m.medium.recent))]))
		}
		image.damage(r, layout.TwinAt(op%slots), length)
	}
	// The head is a special case: recovery must not take it for the torn write of a crash.
	needed := func() uint64 {
		if r.IntN(3) == 0 {
			return head
		}
		return checkpointOp + 1 + r.Uint64N(head-checkpointOp)
	}
	what := [...]int{0, 1, 1, 1, 2, 3, 4, 5, 6, 7}[r.IntN(10)] // kind 1 has the most cases
	m.note("damage beyond repair", uint64(what), 0)
	switch what {
	case 0: // three copies of the superblock
		for _, i := range r.Perm(4)[:3] {
			image.damage(r, layout.SuperblockCopyAt(uint32(i))+24, datafile.SuperblockContentBytes-24)
		}
	case 1: // a prepare that replay needs
		if head == checkpointOp {
			return
		}
		op := needed()
		offset, length := prepareOf(op)
		image.damage(r, offset, length)
		loseTwin(op)
	case 2: // a prepare written over another's place
		if head < checkpointOp+2 {
			return
		}
		to, from := needed(), needed()
		if to == from {
			return
		}
		source, length := prepareOf(from)
		target, _ := prepareOf(to)
		image.overwrite(target, image.bytes(source, length))
		loseTwin(to)
	case 3: // a block of a trailer
		kind := storage.TrailerKind(r.IntN(int(storage.TrailersCount)))
		root := superblock[superblockCheckpointAt+8+16+16+int(kind)*(8+16+8):]
		address := binary.LittleEndian.Uint64(root)
		if address == 0 {
			return
		}
		m.damageBlock(address)
	case 4: // some blocks; they may be free ones
		m.damageBlocks()
		mustStop = false
	case 7: // the disk has lost the writes of a prepare: the slot holds its previous content
		op := head
		for range 8 { // that a small head existed is known to nobody
			if head > checkpointOp {
				op = needed()
			}
			if !small(op) || op < head {
				break
			}
		}
		if head == checkpointOp || small(op) && op == head {
			return
		}
		m.lose(layout.PrepareAt(op%slots), op, false)
		if small(op) {
			m.lose(layout.TwinAt(op%slots), op, true)
		}
	case 6: // the same, later
		mustStop = false
	case 5: // a block written over another's place
		high := m.blocksHigh()
		if high < 2 {
			return
		}
		size := uint64(m.limits.BlockBytes)
		source, target := layout.GridAt+r.Uint64N(high)*size, layout.GridAt+r.Uint64N(high)*size
		image.put(target, image.bytes(source, size))
		image.taint(target, size)
		mustStop = false
	}
	m.result.DamagesCount++
	started, err := m.start(-1)
	if err != nil {
		m.note("refused: "+err.Error(), 0, 0)
		m.result.RefusalsCount++
		return
	}
	if !started {
		m.fail("a start without a crash did not end")
	}
	rotAt, rot := r.IntN(20_000), func() {}
	if what == 6 {
		rot = m.damageBlocks
	}
	if what == 6 && head > checkpointOp && r.IntN(2) == 0 { // the log, while it is being replayed
		offset, length := prepareOf(needed())
		for range 8 { // a prepare with a body, if there is one, behind the header
			if sector := uint64(m.limits.SectorBytes); length > 2*sector {
				offset, length = offset+sector, length-sector
				break
			}
			offset, length = prepareOf(needed())
		}
		rotAt, rot = r.IntN(80), func() { image.damage(r, offset, length) }
	}
	if m.auditUntilFault(rotAt, rot); m.fault != nil {
		m.result.FaultsCount++
		return
	}
	if mustStop {
		m.fail("the replica goes on with damage that it cannot repair (kind %d)", what)
	}
}

// rotAtWork damages blocks while clients work and compaction runs. A query, a merge or the next
// start may find the damage. Then the replica must name it and stop. Until then, and as long as the
// damaged blocks are not needed, every reply must be right.
func (m *Machine) rotAtWork() {
	r := m.random
	end := m.ops() + opsMin + r.IntN(opsMax)
	for i := 0; m.fault == nil && i < workStepsMax && m.ops() < end; i++ {
		if i%rotEverySteps == 0 {
			m.damageBlocks()
		}
		m.step()
	}
	if m.fault != nil && m.isFull() {
		m.letGo()
		return
	}
	for range 2 {
		if m.fault == nil {
			break
		}
		if !m.namesDamage(m.fault) {
			m.fail("with damage in the grid the replica stops, and does not name it: %v", m.fault)
		}
		m.result.Coverage.RotFaults++
		m.result.FaultsCount++
		// Started again, the replica refuses, stops in the same way, or replays on another path.
		m.crash(r.IntN(2) == 0)
		started, err := m.start(-1)
		var fault *storage.Fault
		if err != nil {
			if !errors.As(err, &fault) || !m.namesDamage(fault) {
				m.fail("with damage in the grid the replica refuses to start, and does not name it: %v", err)
			}
			m.result.RefusalsCount++
			m.letGo()
			return
		}
		if !started {
			m.fail("a start without a crash did not end")
		}
		for i := 0; m.fault == nil && !m.ready && i < workStepsMax; i++ {
			m.step()
		}
	}
	m.letGo()
	if m.fault == nil {
		if m.auditUntilFault(-1, nil); m.fault == nil {
			m.result.Coverage.RotAnswered++
		}
	}
	if m.fault != nil && !m.isFull() && !m.namesDamage(m.fault) {
		m.fail("with damage in the grid the replica stops, and does not name it: %v", m.fault)
	}
}

// letGo keeps the requests for whose replies the clients wait, and removes the clients.
func (m *Machine) letGo() {
	for _, c := range m.cluster.clients {
		if e := c.protocol.InFlight(); e != nil {
			m.cluster.inFlight = append(m.cluster.inFlight, e)
		}
		c.links((*link).hangUp)
	}
	m.cluster.clients = m.cluster.clients[:0]
}
