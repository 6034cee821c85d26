package journal

import (
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/prepare"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/wire"
)

const (
	// ScrubBytesPerSecond bounds the scrubber's reads of the log and the superblock. Those of the
	// grid have a bound of their own (package compact).
	ScrubBytesPerSecond = 1_000_000
	// scrubRepeats is how often a read that has brought wrong bytes, or an error, is repeated before
	// it counts.
	scrubRepeats = 2
)

// scrubbed is a part of the file that is read at once.
type scrubbed uint8

const (
	scrubNothing scrubbed = iota // the scrubber waits for its time
	scrubCopy                    // a copy of the superblock
	scrubPrepare                 // a slot of the log
	scrubTwin                    // its second copy
)

// scrubber reads the copies of the superblock and the slots of the log at a pace, one place after
// the other, and verifies them. A slot counts only while the table of headers knows what it holds:
// prepares that a start found above the checkpoint, and those that were written since.
//
// It yields to the stage's other work: a read that is due waits while any is under way, at most
// until the next one is due. A copy of the superblock always waits while a superblock is written.
type scrubber struct {
	periodNs uint64 // of a pass; 0: off
	buffer   []byte
	unknown  []bool // slots of which the table does not say what is on disk

	place    uint64 // first the copies of the superblock, then the slots
	reading  scrubbed
	dueNs    uint64
	freeNs   uint64
	repeated int

	// What should be there, and what was wrong.
	op       uint64
	checksum wire.Checksum
	bytes    uint32 // that are read
	isSmall  bool
	written  uint64 // superblocks that were written before
	isWrong  bool   // the prepare of the slot
	finding  storage.Finding

	superblockChecksum wire.Checksum // in force
	checkpointOp       uint64        // of it

	found  []bool // places that are damaged
	again  []bool // places that the pass under way has found damaged
	sample ScrubSample
}

// ScrubStart is what a start knows of the places.
type ScrubStart struct {
	PeriodNs           uint64
	FromOf65536        uint32 // the share of the places at which the first pass begins
	OpHead             uint64
	CheckpointOp       uint64
	SuperblockChecksum wire.Checksum
	// Lacking tells whether the prepare of a slot is missing or damaged, as recovery has found.
	Lacking func(slot uint64) bool
}

// Scrub switches the scrubber on. It is called once, right after New.
func (s *Stage) Scrub(start *ScrubStart, memory *arena.Arena) {
	assert.That(start.PeriodNs > 0, "a scrubber that is on has a period")
	c, l := &s.scrub, &s.limits
	places := uint64(l.SuperblockCopies) + uint64(l.JournalSlotsCount)
	*c = scrubber{periodNs: start.PeriodNs, superblockChecksum: start.SuperblockChecksum, checkpointOp: start.CheckpointOp,
		place: places * uint64(start.FromOf65536) >> 16}
	c.buffer = memory.Bytes(max(uint64(l.MessageBytesMax), datafile.SuperblockContentBytes), 4096, "scrubber")
	c.unknown = arena.Slice[bool](memory, uint64(l.JournalSlotsCount), "scrubber")
	c.found, c.again = arena.Slice[bool](memory, places, "scrubber"), arena.Slice[bool](memory, places, "scrubber")
	for slot := range c.unknown {
		header := headerAt(s.headers, uint64(slot))
		op := header.Op()
		// The bodies at and below the checkpoint were not read by the start, which does not need them.
		c.unknown[slot] = header.Command() != prepare.CommandPrepare || op <= start.CheckpointOp || op > start.OpHead ||
			start.Lacking(uint64(slot))
	}
	c.sample.PeriodNs, c.sample.Places = start.PeriodNs, places
}

// interval is the time between the beginnings of two places.
func (c *scrubber) interval() uint64 { return max(c.periodNs/c.sample.Places, 1) }

// isBusy tells whether the stage has anything else to do.
func (s *Stage) isBusy() bool {
	for i := range s.appends {
		if s.appends[i].step != appendIdle {
			return true
		}
	}
	for i := range s.reads {
		if s.reads[i].busy {
			return true
		}
	}
	return s.superblockStep != superblockIdle
}

// scrubNextNs is when the scrubber wants a turn although nothing happens.
func (s *Stage) scrubNextNs() uint64 {
	c := &s.scrub
	switch {
	case c.periodNs == 0 || c.reading != scrubNothing || s.failed:
		return stages.NoTurn
	case !s.isBusy():
		return max(c.dueNs, c.freeNs)
	case s.isCopy(c.place) && s.superblockStep != superblockIdle:
		return stages.NoTurn // the end of that write is an event
	}
	return max(c.dueNs+c.interval(), c.freeNs)
}

// isCopy tells whether a place is a copy of the superblock.
func (s *Stage) isCopy(place uint64) bool { return place < uint64(s.limits.SuperblockCopies) }

// slotAt is the slot of the log at a place.
func (s *Stage) slotAt(place uint64) uint64 { return place - uint64(s.limits.SuperblockCopies) }

// scrubStep begins to read a place when it is time.
func (s *Stage) scrubStep(nowNs uint64, out *Actions) {
	c := &s.scrub
	if c.periodNs == 0 || c.reading != scrubNothing {
		return
	}
	if c.dueNs == 0 {
		c.dueNs = nowNs + 1
	}
	if nowNs < s.scrubNextNs() {
		return
	}
	if s.isCopy(c.place) {
		c.written = s.measures.sample.SuperblocksCount
		s.scrubRead(scrubCopy, 0, out)
		return
	}
	slot := s.slotAt(c.place)
	header := headerAt(s.headers, slot)
	if c.unknown[slot] || s.isWriting(slot) {
		s.scrubDone(0, out)
		return
	}
	c.op, c.checksum, c.isSmall, c.isWrong = header.Op(), header.Checksum(), isSmall(header, &s.limits), false
	s.scrubRead(scrubPrepare, 0, out)
}

// scrubRead reads a part of a place.
func (s *Stage) scrubRead(part scrubbed, repeated int, out *Actions) {
	c := &s.scrub
	c.reading, c.repeated = part, repeated
	var at uint64
	switch slot := s.slotAt(c.place); part {
	case scrubCopy:
		at, c.bytes = s.layout.SuperblockCopyAt(uint32(c.place)), datafile.SuperblockContentBytes
	case scrubPrepare:
		at, c.bytes = s.layout.PrepareAt(slot), s.sectorsUp(headerAt(s.headers, slot).SizeBytes())
	default:
		at, c.bytes = s.layout.TwinAt(slot), s.limits.SectorBytes
		if c.isSmall {
			c.bytes = s.sectorsUp(headerAt(s.headers, slot).SizeBytes())
		}
	}
	out.Disk = append(out.Disk, DiskAction{Tag: tagScrub, OffsetBytes: at, Buffer: c.buffer[:c.bytes]})
}

// isKnown tells whether the place that was read still has to hold what was expected when the read
// began. The table of headers changes when a write ends.
func (s *Stage) isKnown() bool {
	c := &s.scrub
	if c.reading == scrubCopy {
		return s.superblockStep == superblockIdle && c.written == s.measures.sample.SuperblocksCount
	}
	header := headerAt(s.headers, s.slotAt(c.place))
	return header.Op() == c.op && header.Checksum() == c.checksum && !s.isWriting(c.op)
}

// onScrubRead: a read of the scrubber has ended.
func (s *Stage) onScrubRead(result int32, out *Actions) {
	c := &s.scrub
	assert.That(c.reading != scrubNothing, "a read of the scrubber that ended was under way")
	c.sample.Bytes += uint64(max(result, 0))
	isRight := result == int32(c.bytes) && s.scrubIsRight()
	switch {
	case !s.isKnown():
		s.scrubDone(result, out)
	case !isRight && c.repeated < scrubRepeats:
		s.scrubRead(c.reading, c.repeated+1, out)
	case c.reading == scrubCopy:
		if !isRight {
			s.scrubFinding(storage.Finding{Zone: storage.ZoneSuperblock, Copy: uint32(c.place), Reason: "the copy is not the one that was written",
				Errno: -min(result, 0)}, out)
		}
		s.scrubDone(result, out)
	case c.reading == scrubPrepare:
		if c.isWrong = !isRight; c.isWrong {
			c.finding = s.slotFinding(result, "the prepare is damaged")
		}
		s.scrubRead(scrubTwin, 0, out)
	default:
		if c.isWrong {
			c.finding.HasOther = isRight && c.isSmall
			s.scrubFinding(c.finding, out)
		}
		if !isRight {
			f := s.slotFinding(result, "the twin is damaged")
			f.IsTwin, f.HasOther = true, !c.isWrong
			s.scrubFinding(f, out)
		}
		s.scrubDone(result, out)
	}
}

func (s *Stage) slotFinding(result int32, reason string) storage.Finding {
	c := &s.scrub
	return storage.Finding{Zone: storage.ZoneLog, Slot: s.slotAt(c.place), Op: c.op, Reason: reason, Errno: -min(result, 0),
		IsNeeded: c.op > c.checkpointOp}
}

// scrubIsRight verifies what was read.
func (s *Stage) scrubIsRight() bool {
	c := &s.scrub
	if c.reading == scrubCopy {
		return datafile.CopyIsRight(c.buffer, c.superblockChecksum, uint32(c.place))
	}
	read := c.buffer[:c.bytes]
	header := prepare.Header(read[:limits.HeaderBytes])
	if header.Checksum() != c.checksum || !prepare.ValidHeader(header, s.cluster, s.limits.MessageBytesMax) {
		return false
	}
	if c.reading == scrubTwin && !c.isSmall {
		return allZero(read[limits.HeaderBytes:])
	}
	return isWhole(read)
}

// scrubFinding reports damage. One of several replicas gets a prepare that it has no right copy of
// from another one.
func (s *Stage) scrubFinding(f storage.Finding, out *Actions) {
	c := &s.scrub
	c.sample.Findings[f.Zone]++
	c.again[c.place] = true
	out.Findings = append(out.Findings, f)
	if f.Zone == storage.ZoneLog && !f.IsTwin && !f.HasOther && f.IsNeeded && s.limits.ReplicasCount > 1 {
		out.Consensus = append(out.Consensus, stages.JournalToConsensus{Kind: stages.JournalSlotDamaged, Op: c.op, Checksum: c.checksum})
	}
}

// scrubDone goes on to the next place.
func (s *Stage) scrubDone(result int32, out *Actions) {
	c := &s.scrub
	nowNs := s.measures.nowNs
	if c.found[c.place] && !c.again[c.place] {
		c.sample.Repaired++
	}
	c.found[c.place], c.again[c.place] = c.again[c.place], false
	c.reading = scrubNothing
	c.dueNs = max(c.dueNs+c.interval(), nowNs)
	c.freeNs = nowNs + uint64(max(result, 0))*1_000_000_000/ScrubBytesPerSecond
	if c.place++; c.place == c.sample.Places {
		c.place = 0
		c.sample.Passes++
	}
}

// scrubAppended: the copies of op are durable. They are known from now on.
func (s *Stage) scrubAppended(op uint64) {
	c := &s.scrub
	if c.periodNs == 0 {
		return
	}
	slot := s.slotIndex(op)
	c.unknown[slot] = false
	if place := slot + uint64(s.limits.SuperblockCopies); c.found[place] {
		c.found[place] = false
		c.sample.Repaired++
	}
}

// scrubSuperblock: a superblock is durable, and all its copies were written.
func (s *Stage) scrubSuperblock() {
	c := &s.scrub
	c.superblockChecksum, c.checkpointOp = s.superblockChecksum, s.superblock.Checkpoint.Op
	for place := range min(uint64(len(c.found)), uint64(s.limits.SuperblockCopies)) {
		if c.found[place] {
			c.found[place] = false
			c.sample.Repaired++
		}
	}
}
