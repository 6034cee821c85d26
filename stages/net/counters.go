package net

import (
	"ledger/limits"
	"ledger/metrics"
	"ledger/peer"
	"ledger/stages"
	"ledger/wire"
)

// Cause says why a connection was closed.
type Cause uint8

// The causes, in the order of CauseNames.
const (
	CausePeer         Cause = iota // the peer closed it, or it broke
	CauseHeader                    // header checksum, command or size
	CauseBody                      // body checksum
	CauseMessage                   // cluster, or a client id of 0
	CauseSecondClient              // a second client id on one connection
	CauseReplaced                  // the client pinged on a newer connection
	CauseSlow                      // the client did not read its reply before the next one was due
	CauseSilent                    // no whole message within FirstMessageNs
	CauseDisplaced                 // the table was full, and this one was longest without a registered client
	CauseRefused                   // a newcomer: the table was full of connections with registered clients
	CauseAddress                   // its address has more than ConnectionsPerAddress
	CauseStalled                   // its first message stalled, and others waited for the bytes that it held
	CausePeers                     // it is another replica's, and counted with those from then on, or claimed to be
	CausesCount
)

// CauseNames are for metrics and logs.
var CauseNames = [CausesCount]string{"peer", "header", "body", "message", "second_client", "replaced", "slow",
	"silent", "displaced", "refused", "address", "stalled", "peers"}

// Counters since the start, for the metrics.
type Counters struct {
	ConnectionsCount   uint64 // open now
	AcceptedCount      uint64
	AcceptFailures     uint64 // tries that failed, for want of descriptors as a rule
	ClosedCount        [CausesCount]uint64
	MessagesCount      uint64 // given to consensus
	IgnoredCount       uint64 // broke a rule of their command
	BytesReceived      uint64
	BytesSent          uint64
	RepliesCount       uint64 // sent
	RepliesDropped     uint64 // no route, a slow client, or the connection closed first
	ShortCount         uint64 // pongs and evictions queued for sending
	ShortDropped       uint64 // no route, or four short messages were waiting already
	EvictionsCount     uint64 // of ShortCount
	ClusterMismatches  uint64 // messages to another cluster; each closed its connection
	SlotWaitsCount     uint64 // times that a connection had to wait for a slot
	CopiedBytes        uint64 // received bytes that were moved
	LogsSuppressed     uint64
	StrangerBytes      uint64 // that first messages hold of StrangerBytesMax, now
	StrangerWaits      uint64 // first messages that had to wait for others to give bytes back
	RoutesCount        uint64 // now
	ConnectionsWaiting uint64 // for a slot, now

	ReceiveNs metrics.Histogram // of a message: from its first bytes until it is checked and hashed
	SendNs    metrics.Histogram // of a message: from the order to send it until the kernel has taken it
}

// LogKind says what a LogEntry reports.
type LogKind uint8

// The kinds of LogEntry.
const (
	LogFault        LogKind = iota // a peer broke a rule or was silent for too long; once for each connection
	LogRefused                     // a full table closed this connection, which was new or had no registered client
	LogEvicted                     // an eviction goes to the client; Eviction is the reason
	LogMismatch                    // a peer names Cluster, which is not ours; once for each address
	LogAcceptFailed                // connections cannot be accepted, because of Errno; at most once in AcceptLogEveryNs
	LogPeerRefused                 // a replica and this one do not speak to each other: Refusal
	LogPeerWarning                 // Warning; for each replica at most once in PeerWarningEveryNs
	LogPeerFault                   // Replica has sent what breaks a rule: PeerFault; at most once a second
)

// LogEntry is one line for the log.
type LogEntry struct {
	Kind     LogKind
	Eviction wire.EvictionReason
	Closed   bool     // the connection was closed; otherwise a message was skipped
	Peer     [18]byte // IPv6 or v4-mapped address and port, as in ports.NetworkEvent
	Client   wire.U128
	Reason   wire.Fault
	Cluster  wire.U128 // LogMismatch: the one that the peer named
	Ours     wire.U128 // LogMismatch: the one that we serve
	Limit    uint32    // LogRefused: the size of the table, or the connections that an address may have
	Refused  uint64    // LogRefused: connections closed because of the full table since the last such line
	Failures uint64    // LogAcceptFailed: tries that failed since the last such line
	Errno    int32     // LogAcceptFailed

	// Of the kinds for peers.
	Replica   uint8
	Refusal   peer.Refusal
	Warning   peer.Warning
	PeerFault peer.Fault
	Unlogged  uint64 // such lines that were left out since the last one
}

// AcceptLogEveryNs is the time between two lines about the same lack of descriptors. The port tries
// again ten times a second.
const AcceptLogEveryNs = 10_000_000_000

// PeerWarningEveryNs is the time between two lines with a warning about the same replica.
const PeerWarningEveryNs = 60_000_000_000

// peerLogsMax is the number of lines about other replicas in one step: one of each replica and
// kind, and one about all strangers.
const peerLogsMax = 3*limits.MembersMax + 1

// LogsPerSecondMax bounds the lines that clients and strangers can cause. Further lines are counted
// in LogsSuppressed.
const LogsPerSecondMax = 16

// FirstMessageNs is the time that a connection has for its first whole message.
const FirstMessageNs = 30_000_000_000

// spareConnections is the number of places beyond ConnectionsMax. They are for newcomers until the
// stage has decided about them, and for connections that are being closed to make room.
const spareConnections = 8

// PortConnectionsMax is the number of connections that the port must hold. The stage keeps at most
// ConnectionsMax of clients and strangers open, and in a cluster some more of strangers, and those
// of other replicas.
func PortConnectionsMax(l *limits.Limits) uint32 {
	return min(l.ConnectionsMax+l.StrangersRoom()+l.PeerConnectionsMax()+spareConnections, connectionsMax)
}

// PortConnectsReserved is the number of these connections that accept leaves to Connect: one for
// each other replica.
func PortConnectsReserved(l *limits.Limits) uint32 { return l.PeersCount() }

// ClientSlotsMin is the number of client slots that net needs to make progress. The slots that
// consensus holds in queue and pipeline come on top. Without those, net reads less while consensus
// is busy.
func ClientSlotsMin(l *limits.Limits) uint32 { return l.ConnectionsMax + l.StrangersRoom() + 1 }

// BudgetToNet is the largest number of descriptors on the ring from consensus. Each client slot
// comes back once before net can use it again. Consensus sends at most one reply for each request
// that it holds, in a slot (clientSlots) or in queue, group and pipeline (inFlight). With the reply
// to a register it may say that another session has ended. To each peer it has BudgetPeerSends
// messages; each slot of a peer's message comes back once; and NetPeerNoted is outstanding once for
// each peer.
func BudgetToNet(l *limits.Limits, clientSlots, inFlight uint32) uint32 {
	return 3*clientSlots + 2*inFlight + budgetPeers(l)
}

// budgetPeers is the part of the peers in both budgets.
func budgetPeers(l *limits.Limits) uint32 {
	count := l.SlotsCount()
	return count.Peer + count.Small + l.PeersCount()*(stages.BudgetPeerSends+1)
}

// BudgetToConsensus is the largest number of descriptors on the ring to consensus: a message in
// each client slot, and the NetSent of every lease. Leases are those on the ring to net, those of
// connections, and those that wait on this ring. While these are popped, in order, no more requests
// than slots and inFlight become replies. Of peers: a message in each slot, a NetPeerSent of each
// send, and one NetPeerLive or NetPeerLost of each.
func BudgetToConsensus(l *limits.Limits, clientSlots, inFlight uint32) uint32 {
	return clientSlots + 2*(clientSlots+inFlight) + PortConnectionsMax(l) + budgetPeers(l)
}
