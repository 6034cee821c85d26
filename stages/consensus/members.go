package consensus

import (
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/prepare"
	"ledger/stages"
	"ledger/vsr"
	"ledger/wire"
)

// members is which data files count as replicas. A file has a random number, its incarnation. What
// a lost replica has acknowledged and voted, another file of its index does not know. So a vote, an
// acknowledgement and a nack count only from the file that the state of the cluster names.
//
//	no names ---- all replicas are connected: the primary prepares a member op ----> all named
//	all named ---- ledger recover asks for a member op ----> one of them is another file
//
// docs/design/cluster.md has the argument. Each prepare has the table that is in force from it on.
// So there are three tables in the log, and each has its use:
//
//	of a prepare   acknowledgements of that prepare (vsr.Tally)
//	of a head      ballots: the newest head that any of them tells of (vsr.Counted)
//	of the state   with that of the own head: wishes, and what this replica thinks of itself
type members struct {
	own     uint64          // incarnation of the data file here
	isMade  bool            // ledger recover made the file: it counts only where a table names it
	table   prepare.Members // of the state: as of commit_min
	current [limits.ReplicasMax]uint64
}

// newMembers: of replicas that are not connected, no number is known.
func newMembers(self int, incarnation uint64, isMade bool, state *prepare.Members) members {
	m := members{own: incarnation, isMade: isMade, table: *state}
	if self < limits.ReplicasMax {
		m.current[self] = incarnation
	}
	return m
}

// connected: a replica is connected whose data file has this number. 0: it is not any more.
func (m *members) connected(replica int, incarnation uint64) { m.current[replica] = incarnation }

// isRecovered tells whether ledger recover made the data file here.
func (m *members) isRecovered() bool { return m.isMade }

// incarnation of the data file here.
func (m *members) incarnation() uint64 { return m.own }

// now is the table of the state.
func (m *members) now() *prepare.Members { return &m.table }

// set makes a table that of the state.
func (m *members) set(table *prepare.Members) { m.table = *table }

// connectedAll is the table of the data files that are connected, if all replicas are.
func (m *members) connectedAll(replicas int) (table prepare.Members, ok bool) {
	for i := range replicas {
		if m.current[i] == 0 {
			return prepare.Members{}, false
		}
		table[i] = m.current[i]
	}
	return table, true
}

// isStranger tells whether the cluster knows another data file as this replica. Then this one takes
// no part in any decision. It follows the others, and says what to do.
func (s *Stage) isStranger() bool {
	return s.isCluster() && !s.isStandby() && !s.mayWish(s.self, s.members.incarnation())
}

// mayWish tells whether the wishes of a data file count: by the table of the state, or by that of
// the head. A recovered replica is named by its head before it has executed the op that names it,
// and others may lag as well. A wish decides nothing but when a view is left. So it may count
// although the head's table does not become the state's.
func (s *Stage) mayWish(replica int, incarnation uint64) bool {
	if s.members.now().Counts(replica, incarnation) {
		return true
	}
	table := s.membersAtHead()
	return table.Counts(replica, incarnation)
}

// isUnnamed tells whether a prepare is of a log that does not know a file of ledger recover. The
// log of the cluster that the file was made for names it. So this is no log of that cluster, or
// a part of it in which the lost file counted.
func (s *Stage) isUnnamed(header prepare.Header) bool {
	table := header.Members()
	return s.members.isRecovered() && table[s.self] != s.members.incarnation()
}

// isFollower tells whether a data file counts as one that has this view's log, by the newest table
// that this primary knows.
func (s *Stage) isFollower(replica int, incarnation uint64) bool {
	table := s.membersAtHead()
	return table.Counts(replica, incarnation)
}

// membersAtHead is the table of the next prepare, unless that one changes it.
func (s *Stage) membersAtHead() prepare.Members {
	if head := s.log.head(); s.log.has(head) {
		return s.log.header(head).Members()
	}
	return *s.members.now() // the log begins here, with the checkpoint
}

// known is the table of the state, and its op.
func (s *Stage) known() vsr.Known {
	return vsr.Known{Op: s.commits.min(), Members: *s.members.now()}
}

// mustName tells whether the next prepare is to name all replicas: the log names none, and all of
// them are connected. Naming some only would be of no use: a file that is not named would have to
// count, or a cluster could not lose one of the others.
func (s *Stage) mustName() bool {
	if !s.isCluster() || s.members.incarnation() == 0 {
		return false
	}
	table := s.membersAtHead()
	_, ok := s.members.connectedAll(s.quorums.Replicas)
	return ok && !table.AreNamed()
}

// prepareMembers makes a member op of this primary. false: there is no slot for it.
func (s *Stage) prepareMembers() bool {
	slot := s.slots.take(stages.SlotPrepare)
	if slot == stages.SlotNone {
		return false
	}
	f := s.fields()
	f.Members, _ = s.members.connectedAll(s.quorums.Replicas)
	f.Timestamp = max(s.log.timestampLast()+1, s.timers.wall())
	f.Operation, f.SizeBytes = wire.OperationMember, prepare.HeaderBytes
	s.startPrepare(prepare.Put(s.slots.bytes(slot), &f, prepare.Sum(nil)), slot, stages.SlotNone)
	return true
}

// isForUs tells whether a client's member request is for a cluster of this size.
func (s *Stage) isForUs(m *wire.Member) bool { return int(m.ReplicasCount) == s.quorums.Replicas }

// mayReplace tells whether such a request may enter the log. The replica must not be connected: one
// that lives needs no other file. And the replicas that are connected and that the new table names
// have to be enough to commit the op at once. Otherwise it may stay in the log without a quorum for
// ever: the files that it names do not suffice, and the one that it replaces does not count any
// more. Until both are so, the request gets no answer, and its client asks again.
func (s *Stage) mayReplace(m *wire.Member) bool {
	if !s.isForUs(m) || int(m.Replica) == s.self || s.members.current[m.Replica] != 0 {
		return false
	}
	table, count := s.replacedBy(m), 0
	for i := range s.quorums.Replicas {
		if table[i] != 0 && table[i] == s.members.current[i] {
			count++
		}
	}
	return count >= s.quorums.Replication
}

// dropUnfit drops a member request at the head of the queue if it may not enter the log any more:
// it has waited, and who is connected has changed. Its client asks again.
func (s *Stage) dropUnfit() (isDropped bool) {
	r := s.queue.at(0)
	h := wire.HeaderOf(s.slots.bytes(r.slot)[:limits.HeaderBytes])
	if h.RequestOperation() != wire.OperationMember {
		return false
	}
	if m := wire.MemberOf(s.slots.bytes(r.slot)[limits.HeaderBytes:r.bytes]); s.mayReplace(&m) {
		return false
	}
	s.inFlight.remove(h.RequestClient())
	s.send.release(s.queue.pop().slot)
	return true
}

// replacedBy is the table after a client's member request. If the log names nobody, and not all
// other replicas are connected, there is none.
func (s *Stage) replacedBy(m *wire.Member) prepare.Members {
	table := s.membersAtHead()
	if !table.AreNamed() {
		all := s.members
		all.connected(int(m.Replica), m.Incarnation)
		table, _ = all.connectedAll(s.quorums.Replicas)
		return table
	}
	table[m.Replica] = m.Incarnation
	return table
}

// memberTakesEffect: a member op is committed and executed.
func (s *Stage) memberTakesEffect(op uint64) {
	assert.That(s.log.has(op), "the header of an op that takes effect is in the log")
	table := s.log.header(op).Members()
	s.members.set(&table)
}

// isInternal tells whether a prepare is one of the primary's own, which has no reply.
func isInternal(header prepare.Header) bool {
	switch header.Operation() {
	case wire.OperationPulse, wire.OperationUpgrade:
		return true
	case wire.OperationMember, wire.OperationNoop:
		return header.Client().IsZero() && !header.IsGroup()
	}
	return false
}
