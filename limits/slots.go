package limits

// SmallSlotBytes is the size of a slot for messages between replicas that are a header, or a header
// with the list of headers of a view change. It is a page of memory, the smallest slot.
const SmallSlotBytes = 4096

// The longest of these messages starts a view: a header, a checkpoint, a set of uncertain ops and
// headers. A test compares the sizes with those of the protocol.
const (
	viewCheckpointBytes = 256
	viewUncertainBytes  = 128
	viewHeadersMax      = 11
)

// This fails to compile if a message of a view change does not fit.
const _ = uint(SmallSlotBytes - HeaderBytes - viewCheckpointBytes - viewUncertainBytes - viewHeadersMax*HeaderBytes)

// Numbers of messages between two replicas. Source: cluster, 2 and 7.
const (
	peerLeasesSpare   = 2 // messages to a peer that drains, beside those of the pipeline
	logReadsForOthers = 6 // prepares of the log that are read for other replicas at the same time
	strangersRoom     = 16
	heartbeats        = 4 // a heartbeat and its echo, each from one side and from the other
)

// BlockReadsForOthers is the number of blocks that are read for other replicas at the same time.
const BlockReadsForOthers = 4

// BlocksArrivingMax is the number of blocks that one replica is asked for, or that came from it and
// are not written yet. They lie in the slots in which they came.
const BlocksArrivingMax = 4

// SlotsCount has the number of message slots of each class. Package stages says what the classes
// are for.
type SlotsCount struct {
	Client, Prepare, Reply    uint32
	Peer, Repair, Small, Send uint32 // 0 in a cluster of one
}

// PeersCount is the number of other members of the cluster that this one speaks to: of a replica,
// the other replicas and the standbys that have an address; of a standby, all replicas.
func (l *Limits) PeersCount() uint32 {
	if l.IsStandby {
		return l.ReplicasCount
	}
	if l.ReplicasCount == 1 {
		return 0
	}
	return l.ReplicasCount - 1 + l.StandbysCount
}

// IndexesCount is one more than the highest index of a peer, or of this replica.
func (l *Limits) IndexesCount() uint32 { return l.ReplicasCount + l.StandbysCount }

// PeerLeasesMax is the number of messages that may be on their way to one other replica.
func (l *Limits) PeerLeasesMax() uint32 { return l.PipelineOpsMax + peerLeasesSpare }

// PeerGreetingsMax is the number of accepted connections in a handshake between replicas.
const PeerGreetingsMax = 8

// PeerConnectionsMax is the number of connections with other replicas. With each there may be one
// that this replica opens, one that the other has opened, and a newer one that replaces it. Those
// in a handshake come on top, and as many that were closed to make room for these.
func (l *Limits) PeerConnectionsMax() uint32 {
	if l.PeersCount() == 0 {
		return 0
	}
	return 3*l.PeersCount() + 2*PeerGreetingsMax
}

// PeerSlotsOwn and SmallSlotsOwn are the slots of these classes that each other replica has for
// itself. The rest of the slots of SlotPeer is common.
func (l *Limits) PeerSlotsOwn() uint32 { return l.PeerLeasesMax() + 1 + BlocksArrivingMax }

// SmallSlotsOwn; see PeerSlotsOwn.
func (l *Limits) SmallSlotsOwn() uint32 { return l.PeerLeasesMax() + 1 + heartbeats/2 }

// StrangersRoom is the number of connections for strangers while clients have all of theirs. In a
// cluster, a stranger may be another replica, which clients must not keep out. Beyond that, the
// oldest stranger is closed, so each has the time in which as many newcomers arrive.
func (l *Limits) StrangersRoom() uint32 {
	if l.PeersCount() == 0 {
		return 0
	}
	return strangersRoom
}

// strangerMessages are the first messages, larger than a page, that strangers may send at the same
// time.
const strangerMessages = 16

// StrangerBytesMax is the memory for first messages of connections that are not identified. Beyond
// it, such a message waits before its body is received.
func (l *Limits) StrangerBytesMax() uint64 { return strangerMessages * uint64(l.MessageBytesMax) }

// SlotsCount derives the number of message slots.
func (l *Limits) SlotsCount() SlotsCount {
	count := SlotsCount{
		// A client has one message in reception and one in the queue or the pipeline. A stranger has
		// one in reception.
		Client: 2*l.ConnectionsMax + l.StrangersRoom() + l.PipelineOpsMax,
		// A group for every prepare of the pipeline; one that is filled, and one that is read from
		// the log.
		Prepare: l.PipelineOpsMax + 2,
		// For each session its last reply and one that a checkpoint pins; for each connection one
		// that it has not read; and those of the pipeline.
		Reply: 2*l.SessionsMax + l.ConnectionsMax + 2*l.PipelineOpsMax,
	}
	peers := l.PeersCount()
	if peers == 0 {
		return count
	}
	// From each replica: the messages that it may have on their way to us, and one that is being
	// received behind them; and blocks that wait to be written. Ops that are executed or written
	// meanwhile keep the slots in which they came: another pipeline.
	count.Peer = peers*l.PeerSlotsOwn() + l.PipelineOpsMax
	// Prepares of the own that wait for a quorum, those that are executed behind them, and those that
	// net still sends: each peer that does not drain holds as many as it may have leases.
	count.Prepare = 2*l.PipelineOpsMax + 2 + peers*l.PeerLeasesMax()
	// What is read for others keeps its slot until it is sent.
	count.Repair = logReadsForOthers + BlockReadsForOthers
	// From each replica: as for Peer, since any message may be small, with its heartbeats. In the
	// other direction likewise. Nothing is kept longer than its message is on the way.
	count.Small = peers * l.SmallSlotsOwn()
	count.Send = peers * (l.PeerLeasesMax() + heartbeats/2)
	return count
}

// RepairSlotBytes is the size of a slot for a prepare, or for a header and a block.
func (l *Limits) RepairSlotBytes() uint64 {
	const page = 4096 // a slot is whole pages of memory
	return (uint64(max(l.MessageBytesMax, HeaderBytes+l.BlockBytes)) + page - 1) &^ (page - 1)
}
