package peer

import (
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/prepare"
	"ledger/wire"
)

// Sizes of the protocol.
const (
	EnvelopeBytes = 64
	InnerBytes    = limits.HeaderBytes // the inner header: a prepare's, a client request's, or one of ours
	// HeadBytes are sent in front of a body: envelope and inner header. The body goes to a slot at
	// InnerBytes, so that inner header and body lie there as the log wants them.
	HeadBytes = EnvelopeBytes + InnerBytes
	// HeadersPerAnswer is the largest number of headers in one answer to request_headers.
	HeadersPerAnswer = 64
	// BlocksPerRequest is the largest number of blocks that one message asks for.
	BlocksPerRequest = 4
	// CheckpointBytes is the room for the encoded checkpoint at the front of a start_view's body.
	CheckpointBytes = 256
	// UncertainBytes is a bit for each slot of the log.
	UncertainBytes = 1024 / 8
	// hooksMax headers of a start_view lie further back than the pipeline.
	hooksMax = 2
)

// Bounds is what the decoders need to know of the cluster.
type Bounds struct {
	Cluster       wire.U128
	ReplicasCount uint8
	IndexesCount  uint8 // one more than the highest index of a peer: that of a standby, if there are any

	messageBytesMax, requestBytesMax, blockBytes, pageBytes uint32
	pipeline, leases                                        uint32
}

// NewBounds takes the sizes from l.
func NewBounds(l *limits.Limits, cluster wire.U128) Bounds {
	assert.That(l.ReplicasCount >= 2 && l.ReplicasCount <= limits.ReplicasMax, "a cluster with peers has 2..6 replicas")
	return Bounds{
		Cluster: cluster, ReplicasCount: uint8(l.ReplicasCount), IndexesCount: uint8(l.IndexesCount()),
		messageBytesMax: l.MessageBytesMax, requestBytesMax: l.RequestBytesMax,
		blockBytes: l.BlockBytes, pageBytes: l.PageBytes, pipeline: l.PipelineOpsMax, leases: l.PeerLeasesMax(),
	}
}

// BodyBytesMax is the largest body of any message: what a receiving slot holds behind InnerBytes.
func (b *Bounds) BodyBytesMax() uint32 { return max(b.messageBytesMax-InnerBytes, b.blockBytes) }

// headersVoteMax are the headers of a do_view_change: a full pipeline and the op before it.
func (b *Bounds) headersVoteMax() uint32 { return b.pipeline + 1 }

// headersViewMax are the headers of a start_view.
func (b *Bounds) headersViewMax() uint32 { return b.headersVoteMax() + hooksMax }

// bodyBytes returns the smallest and the largest body of a known command.
func (b *Bounds) bodyBytes(command Command) (least, most uint32) {
	switch command {
	case CommandPrepare, CommandRepairPrepare:
		return 0, b.messageBytesMax - InnerBytes
	case CommandRequest:
		return 0, b.requestBytesMax - InnerBytes
	case CommandDoViewChange:
		return prepare.HeaderBytes, b.headersVoteMax() * prepare.HeaderBytes
	case CommandStartView:
		return CheckpointBytes + prepare.HeaderBytes, CheckpointBytes + b.headersViewMax()*prepare.HeaderBytes
	case CommandHeaders:
		return prepare.HeaderBytes, HeadersPerAnswer * prepare.HeaderBytes
	case CommandBlock:
		return b.pageBytes, b.blockBytes
	}
	return 0, 0
}
