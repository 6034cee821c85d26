package net

import "ledger/wire"

// strangerBytesFree are the bytes of a first message that each stranger may send. Those of a larger
// one, and only when its header is right, count for limits.StrangerBytesMax.
const strangerBytesFree = 4096

// StrangerStallNs is the time after which the first message of a stranger gives way, if another one
// waits for the bytes that it holds.
const StrangerStallNs = 1_000_000_000

// mayHold tells whether a stranger may send the rest of its first message, whose header is right.
// If not, it waits until other strangers have become clients or are gone.
func (s *Stage) mayHold(c *connection) bool {
	if c.kind != kindStranger || c.messageBytes <= strangerBytesFree || c.bytesHeld > 0 {
		return true
	}
	if s.Counters.StrangerBytes+uint64(c.messageBytes) > s.limits.StrangerBytesMax() {
		s.Counters.StrangerWaits++
		s.bytesWaiters++
		c.waitsForBytes = true
		s.deadlineNextNs = s.nowNs // one may have stalled
		return false
	}
	c.bytesHeld, c.heldNs = c.messageBytes, s.nowNs
	s.Counters.StrangerBytes += uint64(c.bytesHeld)
	return true
}

// release ends what a stranger holds or waits for, because it is none any more.
func (s *Stage) release(c *connection) {
	if c.bytesHeld > 0 {
		s.Counters.StrangerBytes -= uint64(c.bytesHeld)
		c.bytesHeld, s.bytesFreed = 0, true
	}
	if c.waitsForBytes {
		c.waitsForBytes = false
		s.bytesWaiters--
	}
}

// serveBytesWaiters lets strangers go on that wait for bytes, in the order in which they came.
func (s *Stage) serveBytesWaiters(out *Actions) {
	s.bytesFreed = false
	for s.bytesWaiters > 0 {
		next := noConnection
		for i := range s.connections {
			if c := &s.connections[i]; c.waitsForBytes && (next == noConnection || c.turn < s.connections[next].turn) {
				next = uint32(i)
			}
		}
		c := &s.connections[next]
		if s.Counters.StrangerBytes+uint64(c.messageBytes) > s.limits.StrangerBytesMax() {
			return
		}
		s.bytesWaiters--
		c.waitsForBytes = false
		s.advance(next, c, out)
	}
}

// networkOf is what counts as one address: an IPv4 address, or a network of IPv6 (/64), of which
// one customer has all addresses.
func networkOf(peer *[18]byte) (hi, lo uint64) {
	for i := range 8 {
		hi, lo = hi<<8|uint64(peer[i]), lo<<8|uint64(peer[8+i])
	}
	if isV4 := hi == 0 && lo>>32 == 0xffff; isV4 {
		return hi, lo
	}
	return hi, 0
}

func sameAddress(a, b *[18]byte) bool {
	aHi, aLo := networkOf(a)
	bHi, bLo := networkOf(b)
	return aHi == bHi && aLo == bLo
}

// isLoopback tells whether a connection comes from this machine.
func isLoopback(peer *[18]byte) bool {
	hi, lo := networkOf(peer)
	full := wire.U128FromBytes(peer[:16])
	return hi == 0 && lo>>24 == 0xffff7f || full == wire.U128{Hi: 1 << 56}
}

// addressBuckets count connections by the hash of their address. Two addresses in one bucket count
// as one; nobody can choose them, because the hash has a secret seed.
const addressBuckets = 1024

// bucketOf an address.
func (s *Stage) bucketOf(peer *[18]byte) int {
	hi, lo := networkOf(peer)
	return int(s.addressKey.Hash(hi, lo) & (addressBuckets - 1))
}

// keepShare closes a connection of the same kind and address if there are more of them than
// ConnectionsPerAddress: the one that has been longest without a registered client, or else the
// newcomer itself. Connections from this machine are not limited, and those of other replicas are
// of another kind. stays tells whether the newcomer stays.
func (s *Stage) keepShare(newcomer uint32, out *Actions) (stays bool) {
	own := &s.connections[newcomer]
	if s.limits.ConnectionsPerAddress == 0 || isLoopback(&own.peer) {
		return true
	}
	count, victim := uint32(0), noConnection
	for i := range s.connections {
		c := &s.connections[i]
		if c.state != connectionOpen || c.kind != own.kind || !sameAddress(&c.peer, &own.peer) {
			continue
		}
		count++
		if !s.isOfClient(uint32(i), c) && (victim == noConnection || c.turn < s.connections[victim].turn) {
			victim = uint32(i)
		}
	}
	if count <= s.limits.ConnectionsPerAddress {
		return true
	}
	if victim == noConnection {
		victim = newcomer
	}
	s.logRefused(&s.connections[victim], "its address has as many connections as --connections-per-address allows",
		s.limits.ConnectionsPerAddress, out)
	s.close(victim, &s.connections[victim], CauseAddress, out)
	return victim != newcomer
}

// logRefused reports that a connection is closed for want of room.
func (s *Stage) logRefused(c *connection, reason wire.Fault, limit uint32, out *Actions) {
	s.refusedUnlogged++
	c.logged = true // this line tells the reason
	if !s.mayLog() {
		return
	}
	out.Log = append(out.Log, LogEntry{Kind: LogRefused, Peer: c.peer, Client: c.client, Reason: reason, Closed: true, Limit: limit,
		Refused: s.refusedUnlogged})
	s.refusedUnlogged = 0
}
