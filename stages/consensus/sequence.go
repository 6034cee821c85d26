package consensus

import (
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/prepare"
	"ledger/stages"
	"ledger/vsr"
	"ledger/wire"
)

// groupEventsMax is the largest number of events in one prepare. Source: design, section 3.
const groupEventsMax = 8190

// smallRequestBytesMax is the largest request that is copied into a group. A larger one becomes a
// prepare of its own, without a copy.
const smallRequestBytesMax = 32 << 10

// pulseDelta is the number of timestamps that a pulse takes, however many transfers expire. Source:
// accounting, 2.1.
const pulseDelta = 8190

// sequence makes the next prepares, as long as there are requests and room for them.
func (s *Stage) sequence() {
	for s.mayPrepare() {
		if s.isCluster() && s.queue.count() > 0 && s.dropUnfit() {
			continue
		}
		if isDue, isDone := s.sequenceUpgrade(); isDone {
			continue
		} else if isDue {
			return
		}
		if s.settling.leaves() {
			if !s.prepareNoop() {
				return
			}
			continue
		}
		if s.mustName() {
			if !s.prepareMembers() {
				return
			}
			continue
		}
		pulseDue := s.timers.pulseDue(s.log.timestampLast())
		if s.timers.pulseNow(pulseDue, s.queue.count() > 0) {
			if !s.preparePulse() {
				return
			}
			continue
		}
		if s.queue.count() == 0 {
			s.prepareNoop()
			return
		}
		if s.isCluster() {
			if !s.sequenceCluster(pulseDue) {
				return
			}
			continue
		}
		replySlot := s.slots.take(stages.SlotReply)
		if replySlot == stages.SlotNone {
			// A checkpoint still holds the old reply slots. A pulse needs none.
			if !pulseDue {
				return
			}
			s.preparePulse()
			continue
		}
		s.timers.requestsGo(pulseDue)
		count := s.groupCount()
		if count == 1 {
			s.prepareSingle(replySlot)
			continue
		}
		group := s.slots.take(stages.SlotPrepare)
		assert.That(group != stages.SlotNone, "there is a group slot for every prepare of the pipeline")
		s.prepareGroup(group, count, replySlot)
	}
}

// sequenceCluster makes the next prepare of requests, if the time is known, there is room, and no
// backup is to catch up first. A prepare gets its reply slot when it is executed.
func (s *Stage) sequenceCluster(isPulseDue bool) bool {
	if s.timers.wall() == 0 || s.isSmall(s.queue.at(0)) && !s.pipeline.mayPushSmall() {
		return false
	}
	if s.pressure.holds(s.timers.now()) || s.isSpaced() || s.isPaced() {
		return false
	}
	count := s.groupCount()
	group := stages.SlotNone
	if count > 1 {
		if group = s.slots.take(stages.SlotPrepare); group == stages.SlotNone {
			return false
		}
	}
	s.timers.requestsGo(isPulseDue)
	if count == 1 {
		s.prepareSingle(stages.SlotNone)
	} else {
		s.prepareGroup(group, count, stages.SlotNone)
	}
	return true
}

// mayPrepare tells whether a prepare may begin. None may overwrite a log slot that a restart needs,
// or one into which an older prepare is still being written.
func (s *Stage) mayPrepare() bool {
	op := s.log.head() + 1
	if s.isCluster() && (!s.mayOrder() || !s.recent.isFree(op) || op > s.commits.last()+s.recent.reach()) {
		return false
	}
	if !s.upgrade.executes(op) || s.behindHead() == vsr.BehindNothing {
		return false
	}
	return s.pipeline.mayPush() && !s.commits.isFull() && op <= s.limits.PrepareMax(s.superblocks.now().Checkpoint.Op) &&
		!s.log.isWriting(op)
}

// groupCount is the number of requests from the head of the queue that go into the next prepare.
func (s *Stage) groupCount() int {
	if !s.isSmall(s.queue.at(0)) {
		return 1
	}
	replyMax := uint64(s.slots.bytesMax(stages.SlotReply))
	bodyBytes, replyBytes, events := uint64(0), uint64(0), uint64(0)
	count := 0
	for count < s.queue.count() {
		r := s.queue.at(count)
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
	h := wire.HeaderOf(s.slots.bytes(r.slot)[:limits.HeaderBytes])
	return r.bytes <= smallRequestBytesMax && h.RequestOperation().Class() != wire.ClassControl
}

// stamp returns the timestamp of a request that follows last. Source: accounting, 2.1.
func stamp(last, wallNs uint64, r *request, operation wire.Operation) uint64 {
	timestamp := max(last+1, wallNs)
	if operation.Class() == wire.ClassCreate {
		timestamp += uint64(r.eventsCount)
	}
	assert.That(timestamp < 1<<63, "the clock is before the year 2262")
	return timestamp
}

// fields begins the header of a prepare.
func (s *Stage) fields() prepare.Fields {
	op, now := s.log.head()+1, s.superblocks.now()
	id := s.superblocks.checkpointID()
	if op <= s.limits.CheckpointAfter(now.Checkpoint.Op) {
		id = now.Checkpoint.ParentID
	}
	return prepare.Fields{
		Parent:        s.log.checksum(op - 1),
		Cluster:       now.Cluster,
		CheckpointID:  id,
		Op:            op,
		Commit:        s.committed(),
		View:          now.View,
		RequestLimit:  s.limits.RequestBytesMax,
		Rules:         limits.RulesOf(s.limits.Release),
		RequestsCount: 1,
		Command:       prepare.CommandPrepare,
		Replica:       now.Replica,
		Members:       s.membersAtHead(),
	}
}

// startPrepare gives a complete prepare to journal and apply. It takes over the caller's hold of
// the slots.
func (s *Stage) startPrepare(header prepare.Header, slot, replySlot stages.Slot) {
	op, isPulse := header.Op(), header.Operation() == wire.OperationPulse
	s.log.append(header)
	s.timers.prepared()
	s.pipeline.push(op, header.Checksum(), header.Members(), header.IsGroup() || header.SizeBytes() <= smallRequestBytesMax)
	if s.isCluster() {
		s.startPrepareCluster(header, slot)
		return
	}
	s.commits.push(op, inCommit{
		checksum: header.Checksum(), slot: slot, replySlot: replySlot, isPulse: isPulse, isAnswered: true, isLoaded: true,
		record: s.measures.prepared(header, s.timers.now()),
	})
	s.log.beginWrite(op)
	s.send.append(op, slot, s.log.writesInTurn(op))
	s.feed()
}

// preparePulse makes a pulse. false: there is no slot for it. In a cluster, messages to peers hold
// prepare slots until net has sent them. One comes back with an event, and then the pulse goes.
func (s *Stage) preparePulse() bool {
	slot := s.slots.take(stages.SlotPrepare)
	if slot == stages.SlotNone {
		assert.That(s.isCluster(), "there is a slot for every prepare of a single replica's pipeline")
		return false
	}
	f := s.fields()
	f.Timestamp = s.timers.pulseGoes(s.log.timestampLast()) + 1 + pulseDelta
	f.Operation, f.SizeBytes = wire.OperationPulse, prepare.HeaderBytes
	s.startPrepare(prepare.Put(s.slots.bytes(slot), &f, prepare.Sum(nil)), slot, stages.SlotNone)
	return true
}

// prepareSingle turns the request at the head of the queue into a prepare in place. Its body is not
// copied.
func (s *Stage) prepareSingle(replySlot stages.Slot) {
	r := s.popRequest()
	bytes := s.slots.bytes(r.slot)
	h := wire.HeaderOf(bytes[:limits.HeaderBytes])
	f := s.fields()
	f.Client, f.RequestChecksum, f.Session = h.RequestClient(), h.Checksum(), h.RequestSession()
	f.Request, f.Release, f.Operation, f.SizeBytes = h.RequestNumber(), h.Release(), h.RequestOperation(), r.bytes
	f.Timestamp = stamp(s.log.timestampLast(), s.timers.wall(), &r, f.Operation)
	if f.Operation == wire.OperationMember {
		m := wire.MemberOf(bytes[limits.HeaderBytes:r.bytes])
		f.Members = s.replacedBy(&m)
	}
	sum := r.bodySum
	if !r.bodyHashed {
		sum = prepare.Sum(bytes[limits.HeaderBytes:r.bytes])
	}
	s.startPrepare(prepare.Put(bytes, &f, sum), r.slot, replySlot)
}

// prepareGroup copies count small requests into one prepare.
func (s *Stage) prepareGroup(group stages.Slot, count int, replySlot stages.Slot) {
	bytes := s.slots.bytes(group)
	body := bytes[prepare.HeaderBytes:]
	f := s.fields()
	// Bodies come first, entries behind them. Both are in order of arrival.
	tableAt := uint32(0)
	for i := range count {
		tableAt = prepare.AlignUp(tableAt) + s.queue.at(i).bytes - limits.HeaderBytes
	}
	tableAt = prepare.AlignUp(tableAt)
	at, timestamp := uint32(0), s.log.timestampLast()
	for i := range count {
		r := s.popRequest()
		message := s.slots.bytes(r.slot)[:r.bytes]
		h := wire.HeaderOf(message[:limits.HeaderBytes])
		timestamp = stamp(timestamp, s.timers.wall(), &r, h.RequestOperation())
		entry := prepare.Request{
			Client:          h.RequestClient(),
			RequestChecksum: h.Checksum(),
			Session:         h.RequestSession(),
			Timestamp:       timestamp,
			Request:         h.RequestNumber(),
			Release:         h.Release(),
			Operation:       h.RequestOperation(),
			Body:            message[limits.HeaderBytes:],
		}
		start := prepare.AlignUp(at)
		clear(body[at:start])
		at = start + uint32(copy(body[start:], entry.Body))
		prepare.PutEntry(body[tableAt+uint32(i)*prepare.EntryBytes:], &entry, start)
		s.send.release(r.slot)
	}
	clear(body[at:tableAt])
	size := prepare.HeaderBytes + tableAt + uint32(count)*prepare.EntryBytes
	f.RequestsCount, f.SizeBytes, f.Timestamp = uint16(count), size, timestamp
	s.startPrepare(prepare.Put(bytes, &f, prepare.Sum(bytes[prepare.HeaderBytes:size])), group, replySlot)
}

func (s *Stage) popRequest() request {
	r := s.queue.pop()
	s.measures.popped(&r, s.timers.now())
	s.settling.busy(s.timers.now())
	return r
}
