package compact

import (
	"fmt"

	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/merge"
)

// peers is what the first worker does for the repair of blocks: it reads blocks for other replicas,
// and writes blocks that they have sent. Both go on beside the coroutine, which may wait for a
// block that is repaired here. The disk gets aligned memory of this part and never a slot.
type peers struct {
	slots   *stages.Slots // nil: the worker does neither
	serves  [stages.BlocksServedMax]serve
	repairs [stages.BlocksRepairedMax]repair
	syncing bool // a sync of repairs is under way
	isAsked bool // apply has asked for a sync, which has not begun
	covers  bool // the sync under way is the one that apply asked for
}

// serve is a block that is read for another replica.
type serve struct {
	busy     bool
	repeated bool
	reads    narrowing
	slot     stages.Slot
	ref      storage.Ref
	memory   []byte
}

type repairState uint8

const (
	repairFree     repairState = iota
	repairPages                // the pages behind the header page are being written
	repairUnsynced             // they are written
	repairSyncing              // they are written, and the sync under way covers them
	repairHeader               // they survive a power cut; the header page is being written
)

// repair is a block of another replica that is being written. A power cut may leave a header page
// without the other pages only if the header page is submitted before the sync has ended.
type repair struct {
	state     repairState
	slot      stages.Slot
	ref       storage.Ref
	memory    []byte
	usedBytes uint32
}

// isBusy tells whether a block is being read or written for the repair of blocks.
func (p *peers) isBusy() bool {
	for i := range p.serves {
		if p.serves[i].busy {
			return true
		}
	}
	for i := range p.repairs {
		if p.repairs[i].state != repairFree {
			return true
		}
	}
	return false
}

func (p *peers) reserve(slots *stages.Slots, memory *arena.Arena, g *block.Geometry) {
	p.slots = slots
	for i := range p.serves {
		p.serves[i].memory = memory.Bytes(uint64(g.BlockBytes), arena.PageBytes, "blocks for others")
	}
	for i := range p.repairs {
		p.repairs[i].memory = memory.Bytes(uint64(g.BlockBytes), arena.PageBytes, "repaired blocks")
	}
}

// onServe begins to read a block for another replica.
func (s *Stage) onServe(e *Event) {
	assert.That(s.peers.slots != nil, "blocks are served by the first worker")
	for i := range s.peers.serves {
		if o := &s.peers.serves[i]; !o.busy {
			o.busy, o.repeated, o.slot, o.ref = true, false, e.Slot, e.Ref
			o.reads.begin(&s.geometry)
			s.serveRead(i)
			return
		}
	}
	assert.That(false, "no more blocks are served at a time than apply promises")
}

// serveRead reads the block. The file may end behind its used pages.
func (s *Stage) serveRead(i int) {
	o := &s.peers.serves[i]
	s.act(Action{Kind: ActionRead, Tag: tagServe + uint64(i), OffsetBytes: s.gridAt + s.geometry.Offset(o.ref.Address, 0),
		Buffer: o.memory[:o.reads.pages*s.geometry.PageBytes]})
}

// onServeRead answers when the block has been read. A block that is not right is read once more.
func (s *Stage) onServeRead(i int, result int32) {
	o := &s.peers.serves[i]
	assert.That(o.busy, "a block that was read for others was asked for")
	data := o.memory[:max(result, 0)]
	if _, reason := block.VerifyPages(&s.geometry, data, o.ref, s.cluster); reason != "" {
		if o.reads.next(&s.geometry, o.memory, result, o.ref, s.cluster) {
			s.serveRead(i)
			return
		}
		if !o.repeated {
			o.repeated = true
			o.reads.begin(&s.geometry)
			s.serveRead(i)
			return
		}
		read := stages.ReadDamaged
		if result >= int32(s.geometry.PageBytes) && block.HeaderPage(data).Checksum() != o.ref.Checksum {
			read = stages.ReadAbsent
		}
		s.served(o, read, 0)
		return
	}
	bytes := block.HeaderPage(data).PagesUsed() * s.geometry.PageBytes
	copy(s.peers.slots.Bytes(o.slot)[stages.BlockOffsetBytes:], data[:bytes])
	s.served(o, stages.ReadOK, bytes)
}

func (s *Stage) served(o *serve, read stages.JournalReadResult, bytes uint32) {
	o.busy = false
	s.answer(stages.CompactToApply{Kind: stages.CompactBlockServed, Slot: o.slot, Ref: o.ref, Read: read, Bytes: bytes})
}

// onRepair verifies a block that another replica has sent, and begins to write it: first the pages
// behind the header page.
func (s *Stage) onRepair(e *Event) {
	assert.That(s.peers.slots != nil, "blocks are repaired by the first worker")
	for i := range s.peers.repairs {
		o := &s.peers.repairs[i]
		if o.state != repairFree {
			continue
		}
		o.slot, o.ref, o.usedBytes = e.Slot, e.Ref, e.Bytes
		data := s.peers.slots.Bytes(e.Slot)[stages.BlockOffsetBytes:]
		if e.Bytes > uint32(len(o.memory)) || e.Bytes > uint32(len(data)) {
			s.repaired(o, stages.RepairWrong)
			return
		}
		copy(o.memory, data[:e.Bytes])
		if _, reason := block.VerifyPages(&s.geometry, o.memory[:e.Bytes], e.Ref, s.cluster); reason != "" ||
			block.HeaderPage(o.memory).PagesUsed()*s.geometry.PageBytes != e.Bytes {
			s.repaired(o, stages.RepairWrong)
			return
		}
		o.state = repairPages
		s.repairWrite(i, 1, o.memory[s.geometry.PageBytes:e.Bytes])
		return
	}
	assert.That(false, "no more blocks are repaired at a time than apply promises")
}

// repairWrite writes pages of a block, with the writes' slot of the repair.
func (s *Stage) repairWrite(i int, page uint32, data []byte) {
	s.writeStart(merge.WritesMax+i, nil, s.peers.repairs[i].ref.Address, page, data)
}

// repairStep goes on with the repairs whose writes have ended. One sync covers all that wait for
// it.
func (s *Stage) repairStep() {
	unsynced := false
	for i := range s.peers.repairs {
		o := &s.peers.repairs[i]
		if o.state == repairPages || o.state == repairHeader {
			s.repairWritten(i)
		}
		unsynced = unsynced || o.state == repairUnsynced
	}
	if !unsynced && !s.peers.isAsked || s.peers.syncing {
		return
	}
	s.peers.covers, s.peers.isAsked = s.peers.isAsked, false
	for i := range s.peers.repairs {
		if o := &s.peers.repairs[i]; o.state == repairUnsynced {
			o.state = repairSyncing
		}
	}
	s.peers.syncing = true
	s.act(Action{Kind: ActionSync, Tag: tagRepairSync})
}

// repairWritten looks whether a write of a repair has ended.
func (s *Stage) repairWritten(i int) {
	o := &s.peers.repairs[i]
	done, errno := s.writes[merge.WritesMax+i].take()
	switch {
	case !done:
	case errno != 0:
		s.repairFailed(o, errno)
	case o.state == repairPages:
		o.state = repairUnsynced
	default:
		s.repaired(o, stages.RepairWritten)
	}
}

// onRepairSync begins to write the header pages of the blocks whose other pages are durable now.
func (s *Stage) onRepairSync(result int32) {
	assert.That(s.peers.syncing, "a sync of repairs that ended was asked for")
	s.peers.syncing = false
	if result < 0 {
		s.syncFailed("a repair", result)
	}
	if s.peers.covers {
		s.peers.covers = false
		s.answer(stages.CompactToApply{Kind: stages.CompactSynced, Fault: s.syncFault})
	}
	for i := range s.peers.repairs {
		o := &s.peers.repairs[i]
		if o.state != repairSyncing {
			continue
		}
		if s.syncFault != nil {
			o.state = repairFree
			s.answer(stages.CompactToApply{Kind: stages.CompactBlockRepaired, Slot: o.slot, Ref: o.ref, Fault: s.syncFault})
			continue
		}
		o.state = repairHeader
		s.repairWrite(i, 0, o.memory[:s.geometry.PageBytes])
	}
}

func (s *Stage) repaired(o *repair, repair stages.BlockRepair) {
	o.state = repairFree
	if repair == stages.RepairWritten {
		s.scrubRepaired(o.ref)
	}
	s.answer(stages.CompactToApply{Kind: stages.CompactBlockRepaired, Slot: o.slot, Ref: o.ref, Repair: repair})
}

// repairFailed: the disk does not take a block. The replica ends with the fault, so this may
// allocate.
func (s *Stage) repairFailed(o *repair, errno int32) {
	fault := &storage.Fault{What: storage.FaultDisk, Address: o.ref.Address,
		Reason: fmt.Sprintf("the write of a repaired block failed (errno %d)", errno)}
	if why := storage.NoSpace(errno); why != "" {
		*fault = storage.Fault{What: storage.FaultNoSpace, Reason: fmt.Sprintf("block %d could not be repaired: %s", o.ref.Address, why)}
	}
	o.state = repairFree
	s.answer(stages.CompactToApply{Kind: stages.CompactBlockRepaired, Slot: o.slot, Ref: o.ref, Fault: fault})
}
