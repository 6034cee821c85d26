package sim

import (
	"bytes"
	"encoding/binary"

	"ledger/limits"
	"ledger/sim/oracle"
	"ledger/storage/datafile"
)

// Offsets in a copy of the superblock (package datafile).
const (
	superblockViewAt        = 80
	superblockLogViewAt     = 84
	superblockReleaseAt     = 156
	superblockIncarnationAt = 160
	superblockSyncMaxAt     = 176
	superblockRecoveredAt   = 185
)

// witness observes the disk of one of several replicas: which prepares are durable there, and which
// superblock. It checks that every write is in order, and tells the oracle.
type witness struct {
	machine *Machine
	limits  *limits.Limits
	layout  datafile.Layout
	several *several

	slots  []logSlot
	copies map[uint64]uint32 // of the superblock, by sequence

	sequence      uint64 // of the durable superblock
	begun         uint64 // of the newest one of which a copy was written
	view, logView uint32
	checkpointOp  uint64
	syncMax       uint64 // blocks that were born up to this op may be missing; 0: none
	highest       uint64 // op that was ever written here
	executed      uint64 // op that apply was last seen at

	ballots map[uint32][]byte // the list that was sent as the vote of a log view

	incarnation   uint64 // of the data file
	isReplacement bool   // it was made in the place of a lost one
}

// logSlot is what the two copies of a slot hold. nil: nothing that a replica could use.
type logSlot struct {
	prepare, twin         *oracle.Prepare // durable
	prepareNext, twinNext *oracle.Prepare // being written
}

var _ oracle.Replica = (*witness)(nil)

func newWitness(m *Machine, s *several) *witness {
	return &witness{machine: m, limits: &m.limits, layout: m.layout, several: s, slots: make([]logSlot, m.limits.JournalSlotsCount),
		copies: map[uint64]uint32{}, ballots: map[uint32][]byte{}}
}

// File implements oracle.Replica.
func (d *witness) File() (incarnation uint64, isReplacement bool) {
	return d.incarnation, d.isReplacement
}

// Durable implements oracle.Replica.
func (d *witness) Durable() (view, logView uint32) { return d.view, d.logView }

func (d *witness) slot(op uint64) *logSlot { return &d.slots[op%uint64(len(d.slots))] }

// Holds implements oracle.Replica.
func (d *witness) Holds(p *oracle.Prepare) bool {
	s := d.slot(p.Op)
	if s.prepare != p && (s.twin != p || !d.isSmall(p)) {
		return false
	}
	return s.prepareNext == nil && s.twinNext == nil // a replica acknowledges only a whole write
}

// hasHeld tells whether a prepare is durable in the log, or was so until a later op took its slot.
// A message may wait for the network that long.
func (d *witness) hasHeld(p *oracle.Prepare) bool {
	s := d.slot(p.Op)
	isLater := func(other *oracle.Prepare) bool { return other != nil && other.Op > p.Op }
	return d.Holds(p) || isLater(s.prepare) || isLater(s.prepareNext)
}

func (d *witness) isSmall(p *oracle.Prepare) bool { return p.Size <= d.limits.TwinBytes }

// onWrite observes a write when it is queued.
func (d *witness) onWrite(zone Zone, offsetBytes uint64, data []byte, durable bool) {
	fail := d.machine.fail
	switch {
	case offsetBytes >= d.layout.GridAt:
		if zone != PortCompact {
			fail("machine %d: port %d writes to the grid, at %d", d.machine.index, zone, offsetBytes)
		}
		return
	case zone != PortJournal:
		fail("machine %d: port %d writes to the log or the superblock, at %d", d.machine.index, zone, offsetBytes)
	case !durable:
		fail("machine %d: the write at %d need not be durable when it completes", d.machine.index, offsetBytes)
	case offsetBytes < d.layout.TwinsAt:
		d.onSuperblock(data)
		return
	}
	if offsetBytes >= d.layout.PreparesAt {
		d.onPrepare(offsetBytes, data)
		return
	}
	p := d.several.oracle.Prepare(oracle.Checksum(data[:16]))
	if p == nil {
		fail("machine %d: a twin is written at %d, and its prepare never was", d.machine.index, offsetBytes)
	}
	if d.layout.TwinAt(p.Op%uint64(len(d.slots))) != offsetBytes || !bytes.Equal(data, twinOf(p.Bytes, d.limits)) {
		fail("machine %d: the twin of op %d is not what it has to be, or at the wrong place", d.machine.index, p.Op)
	}
	s := d.slot(p.Op)
	s.twin, s.twinNext = nil, p
}

// onPrepare observes the beginning of a prepare's write.
func (d *witness) onPrepare(offsetBytes uint64, data []byte) {
	m := d.machine
	p := d.several.oracle.Written(data)
	s, slots := d.slot(p.Op), uint64(len(d.slots))
	committed := d.several.oracle.Committed(p.Op)
	switch {
	case d.layout.PrepareAt(p.Op%slots) != offsetBytes:
		m.fail("machine %d: op %d is written at %d", m.index, p.Op, offsetBytes)
	case p.Op > d.limits.PrepareMax(d.checkpointOp):
		m.fail("machine %d: op %d is written, and with the checkpoint of op %d the last is %d", m.index, p.Op, d.checkpointOp,
			d.limits.PrepareMax(d.checkpointOp))
	case p.View > d.logView:
		m.fail("machine %d: op %d of view %d is written while the durable log view is %d", m.index, p.Op, p.View, d.logView)
	case committed != nil && committed != p && s.prepare == committed:
		m.fail("machine %d: op %d, which is committed and prepared in view %d, is written over by one of view %d", m.index, p.Op,
			committed.View, p.View)
	}
	if s.prepare != nil && s.prepare.Op > p.Op {
		m.fail("machine %d: op %d is written over op %d", m.index, p.Op, s.prepare.Op)
	}
	if p.Op+8 < d.highest {
		d.several.marks.add(MarkRepaired)
	}
	if p.Op > slots {
		d.several.marks.add(MarkWrapped)
	}
	d.highest = max(d.highest, p.Op)
	s.prepare, s.prepareNext = nil, p
}

// onSuperblock observes the beginning of a copy's write.
func (d *witness) onSuperblock(data []byte) {
	m := d.machine
	view, logView := binary.LittleEndian.Uint32(data[superblockViewAt:]), binary.LittleEndian.Uint32(data[superblockLogViewAt:])
	op, id := checkpointOf(data)
	switch sequence := sequenceOf(data); {
	case sequence < d.sequence:
		m.fail("machine %d: superblock %d is written after %d", m.index, sequence, d.sequence)
	case view < d.view || logView < d.logView || op < d.checkpointOp:
		m.fail("machine %d: the superblock goes back: view %d after %d, log view %d after %d, or checkpoint %d after %d", m.index, view, d.view,
			logView, d.logView, op, d.checkpointOp)
	case logView > view:
		m.fail("machine %d: the superblock has log view %d and view %d", m.index, logView, view)
	case op > 0 && d.limits.CheckpointTrigger(op) > d.several.oracle.Highest():
		m.fail("machine %d: the checkpoint of op %d is written, and its trigger is not committed", m.index, op)
	}
	isNew := sequenceOf(data) > d.begun
	d.begun = sequenceOf(data)
	if op == 0 {
		return
	}
	d.several.cluster.judge.checkpoint(op, id)
	if isNew {
		d.onCheckpoint(op, data)
	}
}

// onCheckpoint: a superblock begins to be written that names a checkpoint. If it has no range of
// ops whose blocks may be missing, all blocks of the checkpoint are durable.
func (d *witness) onCheckpoint(op uint64, data []byte) {
	s, m := d.several, d.machine
	s.judged(s.blocks.Checkpoint(m.index, data[superblockCheckpointAt:]))
	syncMax := binary.LittleEndian.Uint64(data[superblockSyncMaxAt:])
	if syncMax == 0 && (op > d.checkpointOp || d.syncMax > 0) {
		if b := s.blocks.Missing(m.index, op); b != nil {
			m.fail("machine %d: a superblock names checkpoint %d, and block %d of it is not durable", m.index, op, b.Address)
		}
	}
	if syncMax > d.syncMax {
		s.marks.add(MarkSync)
		if checkpointReleaseOf(data) != m.opened.Limits.Release {
			s.marks.add(MarkUpgradeSync)
		}
		if d.syncMax > 0 {
			s.marks.add(MarkSyncAgain)
		}
		m.say("takes checkpoint %d of others: what was written up to op %d may be missing", op, syncMax)
	}
}

// CheckpointOp implements oracle.BlockDisk.
func (d *witness) CheckpointOp() uint64 { return d.checkpointOp }

// IsLeaving implements oracle.BlockDisk.
func (d *witness) IsLeaving() bool {
	return d.syncMax > 0 && d.machine.replica != nil && d.machine.replica.Apply.Op() < d.checkpointOp
}

// HasBlock implements oracle.BlockDisk.
func (d *witness) HasBlock(address, offsetBytes uint64, data []byte) bool {
	return d.machine.disk.image.holdsDurable(d.layout.GridAt+(address-1)*uint64(d.limits.BlockBytes)+offsetBytes, data)
}

// onEnd observes the completion of a write.
func (d *witness) onEnd(zone Zone, offsetBytes uint64, data []byte, succeeded bool) {
	if zone != PortJournal || !succeeded {
		return
	}
	if offsetBytes < d.layout.TwinsAt {
		sequence := sequenceOf(data)
		if d.copies[sequence]++; d.copies[sequence] == 3 {
			delete(d.copies, sequence-1)
			d.take(data)
		}
		return
	}
	p := d.several.oracle.Prepare(oracle.Checksum(data[:16]))
	s := d.slot(p.Op)
	if offsetBytes >= d.layout.PreparesAt {
		s.prepare, s.prepareNext = p, nil
	} else {
		s.twin, s.twinNext = p, nil
	}
	d.onHeld(p)
}

// lostTwin: the disk says that it has written a twin, and has not. The replica does not notice it.
func (d *witness) lostTwin(offsetBytes uint64) {
	twinBytes := d.layout.TwinAt(1) - d.layout.TwinAt(0)
	s := &d.slots[(offsetBytes-d.layout.TwinsAt)/twinBytes]
	if p := s.twinNext; p != nil {
		s.twinNext = nil
		d.onHeld(p)
	}
}

// onHeld: a write into the slot of p has ended.
func (d *witness) onHeld(p *oracle.Prepare) {
	if s := d.slot(p.Op); s.prepare != p || s.prepareNext != nil || s.twinNext != nil {
		return
	}
	d.machine.say("op %d of view %d is on disk", p.Op, p.View)
	d.several.judged(d.several.oracle.Held(d.machine.index, p))
}

// onExecuted demands that an op that apply has executed is committed. Whether it was the right
// prepare shows in the replies and in the next checkpoint: the log on disk may have another one
// until the log view is durable.
func (d *witness) onExecuted(op uint64) {
	for next := d.executed + 1; next <= op; next++ { // an opened checkpoint was executed before
		d.several.upgrade.executes(d.machine, next)
	}
	d.executed = op
	if highest := d.several.oracle.Highest(); op > highest {
		d.machine.fail("machine %d executes op %d, and op %d is the last one that is committed", d.machine.index, op, highest)
	}
}

// take: the superblock of a copy is durable.
func (d *witness) take(data []byte) {
	before := *d
	d.sequence = sequenceOf(data)
	d.view, d.logView = binary.LittleEndian.Uint32(data[superblockViewAt:]), binary.LittleEndian.Uint32(data[superblockLogViewAt:])
	d.checkpointOp, _ = checkpointOf(data)
	d.syncMax = binary.LittleEndian.Uint64(data[superblockSyncMaxAt:])
	if d.view != before.view || d.logView != before.logView {
		d.machine.say("durable: view %d, log view %d", d.view, d.logView)
	}
	d.incarnation, d.isReplacement = binary.LittleEndian.Uint64(data[superblockIncarnationAt:]), data[superblockRecoveredAt] == 1
	if before.sequence > 0 && d.incarnation != before.incarnation {
		d.machine.fail("machine %d: the data file has the number %x, and had %x", d.machine.index, d.incarnation, before.incarnation)
	}
	if d.view > before.view+1 && before.sequence > 0 {
		d.several.marks.add(MarkViewSkipped)
	}
	if d.view > before.view && d.logView == d.view && d.several.upgrade.isUnderWay() {
		d.several.marks.add(MarkUpgradeInView)
	}
	if d.view > before.view && d.logView == d.view && d.several.replacement.m != nil {
		d.several.marks.add(MarkReplacedInView)
	}
	if m := d.machine; d.view > before.view && m.replica != nil && m.replica.Apply.Statistics().QueriesWaiting > 0 {
		d.several.marks.add(MarkLateInView)
	}
	d.several.marks.Views = max(d.several.marks.Views, int(d.view))
	if d.checkpointOp != before.checkpointOp {
		d.machine.say("durable: checkpoint %d", d.checkpointOp)
	}
	d.several.judged(d.several.oracle.Changed())
}

// rescan looks what the disk has after a crash, damage, or the repairs of a start.
func (d *witness) rescan() {
	m := d.machine
	if m.isLost {
		return
	}
	for i := range d.slots {
		d.slots[i] = logSlot{prepare: d.found(d.layout.PrepareAt(uint64(i)), false), twin: d.found(d.layout.TwinAt(uint64(i)), true)}
	}
	data, _ := m.superblock()
	if data == nil {
		m.fail("machine %d: no two copies of the superblock agree after a crash", m.index)
	}
	view, logView := binary.LittleEndian.Uint32(data[superblockViewAt:]), binary.LittleEndian.Uint32(data[superblockLogViewAt:])
	if op, _ := checkpointOf(data); sequenceOf(data) < d.sequence || view < d.view || logView < d.logView || op < d.checkpointOp {
		m.fail("machine %d: after a crash the superblock is %d with view %d, log view %d, checkpoint %d; %d with %d, %d, %d was durable", m.index,
			sequenceOf(data), view, logView, op, d.sequence, d.view, d.logView, d.checkpointOp)
	}
	clear(d.copies)
	d.begun = sequenceOf(data)
	if sequenceOf(data) != d.sequence {
		d.take(data)
	}
}

// found returns the prepare of which a whole copy lies at offsetBytes.
func (d *witness) found(offsetBytes uint64, isTwin bool) *oracle.Prepare {
	image := d.machine.disk.image
	p := d.several.oracle.Prepare(oracle.Checksum(image.bytes(offsetBytes, 16)))
	if p == nil {
		return nil
	}
	content := p.Bytes
	if isTwin && !d.isSmall(p) {
		content = content[:limits.HeaderBytes]
	}
	if !d.machine.holds(offsetBytes, padded(content, d.limits.SectorBytes)) {
		return nil
	}
	return p
}
