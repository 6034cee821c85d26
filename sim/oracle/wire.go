package oracle

import "encoding/binary"

// Checksum of a prepare's header.
type Checksum [16]byte

// Sizes on the wire.
const (
	EnvelopeBytes = 64
	InnerBytes    = 256
	HeadBytes     = EnvelopeBytes + InnerBytes
	SequenceAt    = 16 // of the envelope
	ViewAt        = 52
)

// Commands of the messages between replicas.
const (
	Ping             = 1
	Pong             = 2
	Commit           = 3
	CommitEcho       = 4
	PrepareMessage   = 5
	PrepareOK        = 6
	Request          = 7
	StartViewChange  = 8
	DoViewChange     = 9
	StartView        = 10
	RequestStartView = 11
	RequestHeaders   = 12
	Headers          = 13
	RequestPrepare   = 14
	RepairPrepare    = 15
	PrepareMissing   = 16
	RequestBlocks    = 17
	BlockMessage     = 18
	BlockMissing     = 19
)

var little = binary.LittleEndian

// Message is a message between replicas, as it leaves one of them.
type Message struct {
	Command byte
	Author  int
	View    uint32
	Inner   []byte
	Body    []byte
}

// ParseMessage reads head, which is the envelope and the inner header.
func ParseMessage(head, body []byte) Message {
	return Message{Command: head[56], Author: int(head[57]), View: little.Uint32(head[ViewAt:]), Inner: head[EnvelopeBytes:HeadBytes],
		Body: body}
}

// Sum reads the checksum at offset at of the inner header.
func (m *Message) Sum(at int) Checksum { return Checksum(m.Inner[at : at+16]) }

// U64 reads a number of the inner header.
func (m *Message) U64(at int) uint64 { return little.Uint64(m.Inner[at:]) }

// U32 reads a number of the inner header.
func (m *Message) U32(at int) uint32 { return little.Uint32(m.Inner[at:]) }

// Offsets of the fields that are judged, in the inner header.
const (
	PrepareOKChecksumAt  = 0
	PrepareOKOpAt        = 48
	PrepareOKCommitMinAt = 56
	CommitChecksumAt     = 0
	CommitOpAt           = 32
	CommitCheckpointOpAt = 40
	EchoOpAt             = 8
	EchoCommitMinAt      = 16
	BallotOpAt           = 0
	BallotCommitMinAt    = 8
	BallotCheckpointOpAt = 16
	BallotLogViewAt      = 24
	BallotPresentAt      = 28
	BallotUncertainAt    = 40
	BallotUncertainBytes = 128
	StartOpAt            = 16
	StartCommitMaxAt     = 24
	StartCheckpointOpAt  = 32
	StartCheckpointBytes = 256 // of the body, in front of the headers
	PingCommitMaxAt      = 64
	BlocksCountAt        = 0
	BlockNamesAt         = 8 // of request_blocks: a checksum and an address each
	BlockNameBytes       = 24
)

// BlockName reads the name of a block at offset at of the inner header.
func (m *Message) BlockName(at int) (address uint64, checksum Checksum) {
	return m.U64(at + 16), m.Sum(at)
}

// Prepare is a prepare that was written: header and body.
type Prepare struct {
	Bytes    []byte
	Checksum Checksum
	Parent   Checksum
	Op       uint64
	Commit   uint64
	View     uint32
	Size     uint32
	Replica  byte
	Members  [6]uint64 // the data file of each replica that counts; all zeros: any
	Rules    uint32    // by which the op is executed

	Operation   byte
	isOfAClient bool

	// Of an upgrade op: the release that goes on behind op Trigger. 0: it is another op.
	UpgradeTo uint32
	Trigger   uint64
}

func (p *Prepare) areNamed() bool { return p.Members != [6]uint64{} }

// Offsets in a prepare's header.
const (
	prepareParentAt    = 32
	prepareClientAt    = 80
	prepareSessionAt   = 112
	prepareOpAt        = 120
	prepareCommitAt    = 128
	prepareSizeAt      = 144
	prepareViewAt      = 148
	prepareRequestAt   = 152
	prepareRulesAt     = 164
	prepareOperationAt = 170
	prepareReplicaAt   = 172
	prepareMembersAt   = 176
)

// ParsePrepare reads a prepare, or its header alone. It keeps a reference to b.
func ParsePrepare(b []byte) *Prepare {
	p := &Prepare{
		Bytes: b[:min(int(little.Uint32(b[prepareSizeAt:])), len(b))], Checksum: Checksum(b[:16]),
		Parent: Checksum(b[prepareParentAt : prepareParentAt+16]),
		Op:     little.Uint64(b[prepareOpAt:]), Commit: little.Uint64(b[prepareCommitAt:]), View: little.Uint32(b[prepareViewAt:]),
		Size: little.Uint32(b[prepareSizeAt:]), Replica: b[prepareReplicaAt], Rules: little.Uint32(b[prepareRulesAt:]),
		Operation: b[prepareOperationAt], isOfAClient: little.Uint64(b[prepareClientAt:])|little.Uint64(b[prepareClientAt+8:]) != 0,
	}
	if b[prepareOperationAt] == operationUpgrade && b[prepareCommandAt] == commandPrepare {
		p.UpgradeTo, p.Trigger = little.Uint32(b[prepareRequestAt:]), little.Uint64(b[prepareSessionAt:])
	}
	for i := range p.Members {
		p.Members[i] = little.Uint64(b[prepareMembersAt+8*i:])
	}
	return p
}

const (
	prepareCommandAt, commandPrepare = 171, 1
	operationUpgrade                 = 5
	operationMember                  = 7
)

// IsBlank tells whether a header of a list stands for one that nobody knows.
func IsBlank(header []byte) bool { return header[prepareCommandAt] != commandPrepare }
