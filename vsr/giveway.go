package vsr

// Times by which a primary gives way. To give way means: it sends no heartbeats and prepares
// nothing more, since both are signs of life, and asks for a view change.
const (
	deafRoundTrips  = 8
	deafNsMin       = 500_000_000
	deafIdleNs      = 4 * HeartbeatNs // without work: so many heartbeats have had no echo
	slowFactor      = 4               // a slow primary takes more than this many times what its peers take
	slowNsMin       = 10_000_000      // no write and no execution is slow that takes less
	slowForNs       = 3_000_000_000   // for so long
	giveWayAgainNs  = 60_000_000_000  // a slow primary gives way once in this time
	peersMeasureMax = 8
)

// Deaf is what a primary knows of those that should answer it.
type Deaf struct {
	WaitingSinceNs uint64   // since when a prepare or a request has waited; 0 if none does
	RoundTripNs    uint64   // median of the peers
	HeardNs        []uint64 // by replica: when its last echo or acknowledgement came; its own does not count
	LeadsSinceNs   uint64   // since when it has sent heartbeats; 0: it sends none
	LiveNs         []uint64 // by replica: since when it is connected; 0: it is not
	Self           int
}

// Is tells whether the primary gives way because nobody hears it, or it hears nobody: something
// waits, and of too many replicas for a commit there was no answer for 8 round trips. Silence
// counts from when something began to wait: an idle primary may have heard nothing for long.
func (d *Deaf) Is(q *Quorums, nowNs uint64) bool {
	if q.Replicas == 1 {
		return false
	}
	if d.WaitingSinceNs == 0 {
		return d.isDeafWithoutWork(q, nowNs)
	}
	silenceNs := max(deafRoundTrips*d.RoundTripNs, deafNsMin)
	answering := 0
	for replica, heardNs := range d.HeardNs {
		if since := max(heardNs, d.WaitingSinceNs); replica != d.Self && nowNs < since+silenceNs {
			answering++
		}
	}
	return answering < q.Replication-1
}

// isDeafWithoutWork: no request reaches a primary that hears nobody, so nothing ever waits there.
// Its heartbeats keep the backups from suspecting it. So they count as what waits, if they reach
// enough replicas to go on without it: it is connected to these. Otherwise it would only make a
// view change that nobody can end.
func (d *Deaf) isDeafWithoutWork(q *Quorums, nowNs uint64) bool {
	if d.LeadsSinceNs == 0 {
		return false
	}
	silenceNs := max(deafRoundTrips*d.RoundTripNs, deafIdleNs)
	answering, connected := 0, 0
	for replica, liveNs := range d.LiveNs {
		if replica == d.Self || liveNs == 0 {
			continue
		}
		connected++
		if nowNs < max(d.HeardNs[replica], d.LeadsSinceNs, liveNs)+silenceNs {
			answering++
		}
	}
	return answering < q.Replication-1 && connected >= q.ViewChange
}

// Cost is what a replica reports of its recent work; 0 where it has done none.
type Cost struct {
	WriteNs   uint64 // of an append to the log, until it was durable
	ExecuteNs uint64 // of an op
}

// IsSlowDisk tells whether a backup with this cost cannot keep up with a primary's writes.
func (c *Cost) IsSlowDisk(own Cost) bool {
	return c.WriteNs > slowNsMin && c.WriteNs > slowFactor*own.WriteNs
}

// Slow watches whether the primary is much slower than its peers. Its own write is not needed for a
// commit, but replies wait for its execution, and sooner or later its log fills.
type Slow struct {
	sinceNs uint64 // 0: it is not slow
	gaveNs  uint64 // when it last gave way; 0: never
}

// Sample compares the primary's cost with what its peers report, and tells whether it gives way
// now. It is called every now and then while the replica is primary.
func (s *Slow) Sample(nowNs uint64, own Cost, peers []Cost) bool {
	var writes, executions [peersMeasureMax]uint64
	for i, p := range peers[:min(len(peers), peersMeasureMax)] {
		writes[i], executions[i] = p.WriteNs, p.ExecuteNs
	}
	if !isSlow(own.WriteNs, &writes) && !isSlow(own.ExecuteNs, &executions) {
		s.sinceNs = 0
		return false
	}
	if s.sinceNs == 0 {
		s.sinceNs = max(nowNs, 1)
	}
	if nowNs < s.sinceNs+slowForNs || s.gaveNs != 0 && nowNs < s.gaveNs+giveWayAgainNs {
		return false
	}
	s.sinceNs, s.gaveNs = 0, max(nowNs, 1)
	return true
}

// Left: the replica is primary no more. What was measured does not count for its next view.
func (s *Slow) Left() { s.sinceNs = 0 }

// isSlow compares with the median of the peers, of two with the slower one. Zeros report nothing.
func isSlow(own uint64, peers *[peersMeasureMax]uint64) bool {
	count := 0
	for _, v := range peers { // sorts those that are not zero
		if v == 0 {
			continue
		}
		at := count
		for at > 0 && peers[at-1] > v {
			peers[at] = peers[at-1]
			at--
		}
		peers[at] = v
		count++
	}
	return count > 0 && own > slowNsMin && own > slowFactor*peers[count/2]
}
