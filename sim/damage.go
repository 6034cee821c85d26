package sim

import (
	"bytes"
	"encoding/binary"

	"ledger/prepare"
	"ledger/storage/block"
	"ledger/storage/datafile"
)

// superblock returns the copy that a start would choose, or nil if fewer than two are equal. equal:
// all four copies are right.
func (m *Machine) superblock() (chosen []byte, equal bool) {
	image, layout := m.disk.image, &m.layout
	counts := map[string]int{}
	for i := range m.limits.SuperblockCopies {
		buffer := make([]byte, datafile.SuperblockContentBytes)
		if n, err := image.read(layout.SuperblockCopyAt(i), buffer); err != nil || n < len(buffer) {
			continue
		}
		sum := prepare.Sum(buffer[24:])
		if string(sum[:]) != string(buffer[:16]) {
			continue
		}
		counts[string(buffer[:16])]++
		if counts[string(buffer[:16])] == 2 && (chosen == nil || sequenceOf(buffer) > sequenceOf(chosen)) {
			chosen = buffer
		}
	}
	return chosen, chosen != nil && counts[string(chosen[:16])] == int(m.limits.SuperblockCopies)
}

func sequenceOf(superblock []byte) uint64 {
	return binary.LittleEndian.Uint64(superblock[superblockSequenceAt:])
}

// damageWithin damages parts of the file, while the machine is down, that one replica can repair or
// does not need. The replica must start all the same.
func (m *Machine) damageWithin() {
	r, image, layout := m.random, m.disk.image, &m.layout
	if r.IntN(3) != 0 {
		return
	}
	if _, equal := m.superblock(); equal && r.IntN(2) == 0 {
		for _, i := range r.Perm(4)[:1+r.IntN(2)] {
			m.note("damage: superblock copy", uint64(i), 0)
			m.result.DamagesCount++
			image.damage(r, layout.SuperblockCopyAt(uint32(i)), datafile.SuperblockContentBytes)
		}
	}
	if r.IntN(2) == 0 {
		m.damageCopies()
	}
	if m.medium.candidate != nil {
		return // there may be a torn prepare; damage below the checkpoint would be one fault too many
	}
	slots, sector := uint64(m.limits.JournalSlotsCount), uint64(m.limits.SectorBytes)
	next := (m.medium.durableOp + 1) % slots
	headerAt := func(offsetBytes uint64) (prepare.Header, bool) {
		header := make([]byte, sector)
		_, err := image.read(offsetBytes, header)
		h := prepare.Header(header[:prepare.HeaderBytes])
		return h, err == nil && prepare.ValidHeader(h, m.cluster.id, m.limits.MessageBytesMax)
	}
	nextPrepare, nextIsWhole := headerAt(layout.PrepareAt(next))
	nextTwin, ok := headerAt(layout.TwinAt(next))
	nextIsWhole = nextIsWhole && ok && nextTwin.Op() <= nextPrepare.Op() // a torn twin is newer
	if checkpoint := m.medium.checkpointOp; nextIsWhole && checkpoint > 0 && r.IntN(2) == 0 {
		op := checkpoint - r.Uint64N(min(checkpoint, slots))
		if m.medium.durableOp-op < slots-1 && op > 0 {
			m.note("damage: prepare below the checkpoint", op, checkpoint)
			m.result.DamagesCount++
			image.damage(r, layout.PrepareAt(op%slots), uint64(m.limits.MessageBytesMax))
		}
	}
}

// damageCopies damages one copy of some ops, or of all, so that another copy is left. For a small
// prepare it takes the slot or the twin, also for the head. For a large prepare it takes the twin.
// A damaged copy rots, or it has the slot's previous content as if its write had been lost, or it
// has another op.
func (m *Machine) damageCopies() {
	r, image, layout := m.random, m.disk.image, &m.layout
	slots, head := uint64(m.limits.JournalSlotsCount), m.medium.durableOp
	odds := 1 + r.IntN(int(slots))
	for slot := range slots {
		if slot == (head+1)%slots || r.IntN(odds) != 0 {
			continue // behind the head may be a torn prepare, which has no other copy
		}
		op := head - min(head, (head+slots-slot)%slots)
		if op%slots != slot || op == 0 { // never written
			m.note("damage: twin of slot", slot, 0)
			m.result.DamagesCount++
			image.damage(r, layout.TwinAt(slot), uint64(m.limits.SectorBytes))
			continue
		}
		p := m.medium.recent[op%uint64(len(m.medium.recent))]
		at, content, other, otherContent := layout.TwinAt(slot), twinOf(p, &m.limits), layout.PrepareAt(slot), padded(p, m.limits.SectorBytes)
		isTwin := uint64(1)
		if op > m.medium.checkpointOp && isSmall(p, &m.limits) && r.IntN(2) == 0 {
			at, content, other, otherContent, isTwin = other, otherContent, at, content, 0
		}
		if !m.holds(other, otherContent) {
			continue
		}
		m.note("damage: a copy of op; the twin?", op, isTwin)
		m.result.DamagesCount++
		switch r.IntN(4) {
		case 0, 1:
			image.damage(r, at, uint64(len(content)))
		case 2:
			m.lose(at, op, isTwin == 1)
		case 3:
			from := 1 + r.Uint64N(head)
			from = max(from, head-min(head-1, slots-1))
			another := m.medium.recent[from%uint64(len(m.medium.recent))]
			if from == op || isTwin == 1 && !isSmall(another, &m.limits) {
				image.damage(r, at, uint64(len(content)))
				continue
			}
			image.overwrite(at, padded(another, m.limits.SectorBytes))
		}
	}
}

// holds tells whether the medium has content at offsetBytes.
func (m *Machine) holds(offsetBytes uint64, content []byte) bool {
	have := make([]byte, len(content))
	n, err := m.disk.image.read(offsetBytes, have)
	return err == nil && n == len(content) && bytes.Equal(have, content)
}

// lose restores the content of one lap before, at the place of op.
func (m *Machine) lose(offsetBytes, op uint64, isTwin bool) {
	slots := uint64(m.limits.JournalSlotsCount)
	before := prepare.PutReserved(make([]byte, prepare.HeaderBytes), m.cluster.id, op%slots)
	if op == slots {
		before = prepare.PutRoot(make([]byte, prepare.HeaderBytes), m.cluster.id)
	} else if op > slots {
		before = m.medium.recent[(op-slots)%uint64(len(m.medium.recent))]
	}
	if isTwin {
		m.disk.image.overwrite(offsetBytes, twinOf(before, &m.limits))
	} else {
		m.disk.image.overwrite(offsetBytes, padded(before, m.limits.SectorBytes))
	}
}

// blocksHigh is the number of whole blocks in the grid.
func (m *Machine) blocksHigh() uint64 {
	size := m.disk.image.usedBytes
	if size < m.layout.GridAt {
		return 0
	}
	return (size - m.layout.GridAt) / uint64(m.limits.BlockBytes)
}

// damageBlocks damages some or many tables.
func (m *Machine) damageBlocks() {
	high := m.blocksHigh()
	if high == 0 {
		return
	}
	for range 1 + m.random.Uint64N(min(high, 1<<m.random.IntN(8))) {
		m.damageBlock(1 + m.random.Uint64N(high))
	}
}

// damageBlock damages the used part of a block.
func (m *Machine) damageBlock(address uint64) {
	m.damaged[address] = true
	g := block.GeometryOf(m.limits)
	at := m.layout.GridAt + g.Offset(address, 0)
	pages := min(block.HeaderPage(m.disk.image.bytes(at, uint64(g.PageBytes))).PagesUsed(), g.PagesMax)
	page := m.random.Uint32N(max(pages, 1))
	length := uint64(g.PageBytes)
	if page == 0 {
		length = uint64(g.HeaderUsedBytes())
	}
	m.disk.image.damage(m.random, at+uint64(page)*uint64(g.PageBytes), length)
}
