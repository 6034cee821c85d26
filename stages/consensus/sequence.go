package consensus

import (
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/prepare"
	"ledger/stages"
	"ledger/wire"
)

// groupEventsMax is the largest number of events in one prepare. Source: design, section 3.
const groupEventsMax = 8190

// sequence makes the next prepares, as long as there are requests and room for them.
func (s *Stage) sequence(nowNs uint64, out *Actions) {
	for s.mayPrepare() {
		pulseDue := s.pulseDue(nowNs)
		if pulseDue && (s.queueCount == 0 || s.pulseYielded) {
			s.pulseYielded = false
			s.preparePulse(nowNs, out)
			continue
		}
		if s.queueCount == 0 {
			return
		}
		replySlot := s.slots.Get(stages.SlotReply)
		if replySlot == stages.SlotNone {
			// A checkpoint still holds the old reply slots. A pulse needs none.
			if !pulseDue {
				return
			}
			s.preparePulse(nowNs, out)
			continue
		}
		s.pulseYielded = pulseDue
		count := s.groupCount()
		if count == 1 {
			s.prepareSingle(nowNs, replySlot, out)
			continue
		}
		group := s.slots.Get(stages.SlotPrepare)
		assert.That(group != stages.SlotNone, "there is a group slot for every prepare of the pipeline")
		s.prepareGroup(nowNs, group, count, replySlot, out)
	}
}

// mayPrepare tells whether a prepare may begin. One prepare is written at a time, and none may
// overwrite a log slot that a restart needs.
func (s *Stage) mayPrepare() bool {
	return !s.appending && s.pipelineCount < len(s.pipeline) && s.op < s.limits.PrepareMax(s.superblock.Checkpoint.Op)
}

// pulseDue tells whether a pulse is due, for expiries. Source: accounting, 7.3.
func (s *Stage) pulseDue(nowNs uint64) bool {
	if s.pulseInFlight {
		return false
	}
	if s.nextPulseNs <= s.timestampLast {
		return true
	}
	if nowNs < s.idleSinceNs+pulseIdleNs {
		return false
	}
	if s.nextPulseNs > s.wallNs {
		s.idleSinceNs = nowNs // no expiry is due: the timer starts again
		return false
	}
	return true
}

// groupCount is the number of requests from the head of the queue that go into the next prepare.
func (s *Stage) groupCount() int {
	if !s.isSmall(s.queueAt(0)) {
		return 1
	}
	replyMax := uint64(s.slots.Pools[stages.SlotReply].SlotBytes())
	bodyBytes, replyBytes, events := uint64(0), uint64(0), uint64(0)
	count := 0
	for count < s.queueCount {
		r := s.queueAt(count)
		bodyBytes = uint64(prepare.AlignUp(uint32(bodyBytes)+r.bytes-limits.HeaderBytes)) + prepare.EntryBytes
		replyBytes += uint64(r.replyBytesMax+stages.ReplyAlignBytes-1) &^ (stages.ReplyAlignBytes - 1)
		events += uint64(r.eventsCount)
		if count > 0 && (!s.isSmall(r) || bodyBytes > uint64(s.limits.GroupBytesMax) || replyBytes > replyMax || events > groupEventsMax) {
			break
		}
		count++
	}
	return count
}

// isSmall tells whether a request may share a prepare. Then it is copied. A request that opens a
// session never shares.
func (s *Stage) isSmall(r *request) bool {
	h := wire.HeaderOf(s.slots.Bytes(r.slot)[:limits.HeaderBytes])
	return r.bytes <= smallRequestBytesMax && h.RequestOperation().Class() != wire.ClassControl
}

// stamp assigns the timestamp of a request. Source: accounting, 2.1.
func (s *Stage) stamp(r *request, operation wire.Operation) uint64 {
	base := max(s.timestampLast+1, s.wallNs)
	s.timestampLast = base
	if operation.Class() == wire.ClassCreate {
		s.timestampLast += uint64(r.eventsCount)
	}
	assert.That(s.timestampLast < 1<<63, "the clock is before the year 2262")
	return s.timestampLast
}

// fields begins the header of a prepare.
func (s *Stage) fields() prepare.Fields {
	op := s.op + 1
	checkpoint := s.superblock.Checkpoint.Op
	id := s.checkpointID
	if op <= s.limits.CheckpointAfter(checkpoint) {
		id = s.checkpointParentID
	}
	return prepare.Fields{
		Parent:        s.parent,
		Cluster:       s.superblock.Cluster,
		CheckpointID:  id,
		Op:            op,
		Commit:        s.commit,
		View:          s.superblock.View,
		RequestLimit:  s.limits.RequestBytesMax,
		RequestsCount: 1,
		Command:       prepare.CommandPrepare,
		Replica:       s.superblock.Replica,
	}
}

// startPrepare gives a complete prepare to journal and apply.
func (s *Stage) startPrepare(nowNs uint64, header prepare.Header, p entry, out *Actions) {
	s.op = p.op
	s.parent = header.Checksum()
	s.checksums[s.slotIndex(p.op)] = s.parent
	s.appending = true
	s.idleSinceNs = nowNs
	s.PreparesCount++
	p.record = s.measures.record(header, p.op, p.isPulse)
	if !p.isPulse {
		s.measures.prepared(int(header.RequestsCount()))
	}
	p.loaded = true
	if p.replySlot != stages.SlotNone {
		s.replyRefs[p.replySlot.Handle()]++
	}
	s.pushEntry(p)
	out.Journal = append(out.Journal, stages.ConsensusToJournal{Kind: stages.JournalAppend, Slot: p.slot, Op: p.op})
	s.feedApply(out)
}

func (s *Stage) preparePulse(nowNs uint64, out *Actions) {
	slot := s.slots.Get(stages.SlotPrepare)
	assert.That(slot != stages.SlotNone, "there is a slot for every prepare of the pipeline")
	if s.nextPulseNs > s.timestampLast {
		s.timestampLast = max(s.timestampLast, s.wallNs) // the due time of the idle timer is on the wall clock
	}
	s.timestampLast += 1 + pulseDelta
	f := s.fields()
	f.Timestamp, f.Operation, f.SizeBytes = s.timestampLast, wire.OperationPulse, prepare.HeaderBytes
	header := prepare.Put(s.slots.Bytes(slot), &f, prepare.Sum(nil))
	s.pulseInFlight = true
	s.startPrepare(nowNs, header, entry{op: f.Op, slot: slot, replySlot: stages.SlotNone, isPulse: true}, out)
}

// prepareSingle turns the request at the head of the queue into a prepare in place. Its body is not
// copied.
func (s *Stage) prepareSingle(nowNs uint64, replySlot stages.Slot, out *Actions) {
	r := s.popRequest()
	bytes := s.slots.Bytes(r.slot)
	h := wire.HeaderOf(bytes[:limits.HeaderBytes])
	f := s.fields()
	f.Client, f.RequestChecksum, f.Session = h.RequestClient(), h.Checksum(), h.RequestSession()
	f.Request, f.Release, f.Operation, f.SizeBytes = h.RequestNumber(), h.Release(), h.RequestOperation(), r.bytes
	f.Timestamp = s.stamp(&r, f.Operation)
	sum := r.bodySum
	if !r.bodyHashed {
		sum = prepare.Sum(bytes[limits.HeaderBytes:r.bytes])
	}
	header := prepare.Put(bytes, &f, sum)
	s.startPrepare(nowNs, header, entry{op: f.Op, slot: r.slot, replySlot: replySlot}, out)
}

// prepareGroup copies count small requests into one prepare.
func (s *Stage) prepareGroup(nowNs uint64, group stages.Slot, count int, replySlot stages.Slot, out *Actions) {
	s.GroupsCount++
	bytes := s.slots.Bytes(group)
	body := bytes[prepare.HeaderBytes:]
	f := s.fields()
	// Bodies come first, entries behind them. Both are in order of arrival.
	tableAt := uint32(0)
	for i := range count {
		tableAt = prepare.AlignUp(tableAt) + s.queueAt(i).bytes - limits.HeaderBytes
	}
	tableAt = prepare.AlignUp(tableAt)
	at := uint32(0)
	for i := range count {
		r := s.popRequest()
		message := s.slots.Bytes(r.slot)[:r.bytes]
		h := wire.HeaderOf(message[:limits.HeaderBytes])
		entry := prepare.Request{
			Client:          h.RequestClient(),
			RequestChecksum: h.Checksum(),
			Session:         h.RequestSession(),
			Timestamp:       s.stamp(&r, h.RequestOperation()),
			Request:         h.RequestNumber(),
			Release:         h.Release(),
			Operation:       h.RequestOperation(),
			Body:            message[limits.HeaderBytes:],
		}
		start := prepare.AlignUp(at)
		clear(body[at:start])
		at = start + uint32(copy(body[start:], entry.Body))
		prepare.PutEntry(body[tableAt+uint32(i)*prepare.EntryBytes:], &entry, start)
		out.Net = append(out.Net, stages.ConsensusToNet{Kind: stages.NetFree, Slot: r.slot})
	}
	clear(body[at:tableAt])
	size := prepare.HeaderBytes + tableAt + uint32(count)*prepare.EntryBytes
	f.RequestsCount, f.SizeBytes, f.Timestamp = uint16(count), size, s.timestampLast
	header := prepare.Put(bytes, &f, prepare.Sum(bytes[prepare.HeaderBytes:size]))
	s.startPrepare(nowNs, header, entry{op: f.Op, slot: group, replySlot: replySlot}, out)
}

func (s *Stage) popRequest() request {
	r := *s.queueAt(0)
	s.queueFirst = (s.queueFirst + 1) % len(s.queue)
	s.queueCount--
	s.measures.popped(&r)
	return r
}
