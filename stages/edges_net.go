package stages

import (
	"ledger/internal/ports"
	"ledger/wire"
)

// NetToConsensusKind of NetToConsensus.
type NetToConsensusKind uint8

const (
	// NetMessage: a client message in Slot, frame, checksums, cluster and header rules checked.
	// Consensus owns Slot until it sends it back with NetFree, or with NetSendFree.
	NetMessage NetToConsensusKind = iota + 1
	// NetSent: net has no use for the reply Slot any more (sent, or dropped).
	NetSent
	// NetPeerMessage: a message of replica Peer in Slot (of class SlotPeer or SlotSmall): the inner
	// header, and behind it the body. Tag, sequence, author and all that package peer checks by itself
	// are right. Messages of one connection come in the order in which they were sent; some may be
	// missing. Consensus owns Slot until it sends it back with NetFree.
	NetPeerMessage
	// NetPeerSent: net has no use for Slot any more on behalf of Peer, because the message of a
	// NetPeerSend was sent or dropped. It comes once for each of the peers of that NetPeerSend.
	NetPeerSent
	// NetPeerLive: Connection is the identified connection to Peer, whose data file has Incarnation.
	// If Peer was live before, Connection has replaced the connection before it. Messages of
	// Connection may have come earlier. Consensus answers NetPeerNoted.
	NetPeerLive
	// NetPeerLost: there is no identified connection to Peer any more. Consensus answers NetPeerNoted.
	NetPeerLost
)

// NetToConsensus is a message from net to consensus.
type NetToConsensus struct {
	Kind       NetToConsensusKind
	BodyHashed bool  // BodySum holds the body's BLAKE3: of a large client body, right after the AEGIS check, and of each peer's
	Peer       uint8 // of the kinds for peers: the index of the replica or standby
	Command    uint8 // NetPeerMessage: a peer.Command
	View       uint32
	Slot       Slot
	Bytes      uint32 // of the message
	Connection ports.ConnectionID
	BodySum    wire.Checksum
	// Incarnation of the peer's data file: NetPeerMessage, NetPeerLive.
	Incarnation uint64
	// NetMessage, NetPeerMessage: the times of its first bytes and of its check, for the metrics.
	ArrivingNs, ReceivedNs uint64
}

// ConsensusToNetKind of ConsensusToNet.
type ConsensusToNetKind uint8

const (
	// NetSend: send the message at Offset of reply Slot to the client's route; answer NetSent, also
	// when there is no route.
	NetSend ConsensusToNetKind = iota + 1
	// NetSendFree: send the message in the client Slot and free the slot. The message is a pong, an
	// eviction, or a copy of a stored reply; it has overwritten the request in the slot. If Client
	// is zero, the message goes to Connection.
	NetSendFree
	// NetFree: the client, peer or small Slot is free. If Ignored is set, Slot still holds a client's
	// message, which gets no answer. If Malformed is set, Slot has the message of Command that came
	// on Connection, and it breaks a rule that only consensus can check: net ends that connection.
	NetFree
	// NetSessionEnded: the session of Client has made room for another client's. It names no slot.
	NetSessionEnded
	// NetPeerSend: send the message of Command and View in Slot to each of Peers. Its inner header and
	// its body lie at the front of Slot, as in the log, Bytes in all. Net answers NetPeerSent for each
	// of Peers, also when the message is dropped: because the peer is not connected, or does not
	// drain. The body does not change until the last of these answers. Without a body, Slot comes back
	// as soon as net has read the inner header. The slot may be of any class.
	NetPeerSend
	// NetPeerNoted: consensus has taken the latest NetPeerLive or NetPeerLost of Peer. Until then net
	// tells no further one, and afterwards only the latest. So connections that come and go do not
	// fill the edge.
	NetPeerNoted
)

// ConsensusToNet is a message from consensus to net.
type ConsensusToNet struct {
	Kind        ConsensusToNetKind
	Slot        Slot
	OffsetBytes uint32
	Bytes       uint32
	Connection  ports.ConnectionID
	Client      wire.U128
	// Registered: NetSend, NetSendFree: the client has a session, so its connection is not closed for
	// a newcomer.
	Registered bool
	Ignored    bool   // NetFree
	Malformed  bool   // NetFree: with Connection and Command
	Command    uint8  // NetPeerSend, NetFree of what is malformed: a peer.Command
	Peer       uint8  // NetPeerNoted
	Peers      uint16 // NetPeerSend: a bit for each replica and standby
	View       uint32
}

// BudgetPeerSends is the largest number of messages to one peer without a NetPeerSent, as each
// NetPeerSend counts them for all of its Peers. It has room for all urgent messages and leases of a
// peer's queue, and as many that net has not looked at yet. Consensus drops what exceeds it.
const BudgetPeerSends = 64
