package peer

import "ledger/wire"

// FrameBytes is the size of each frame of a handshake. A connection that is not identified yet
// costs no more memory than that. It is also the size of a client's header. So net reads as many
// bytes of a new connection before it knows what it is.
const FrameBytes = 256

// frameTagAt is the offset of a frame's tag, which covers everything before it.
const frameTagAt = FrameBytes - TagBytes

// ProtocolVersion of this package. Replicas of different versions refuse each other: a version that
// can be upgraded to without a stop has to speak the older one as well.
const ProtocolVersion = 1

// magic begins each frame. A client's message begins with a checksum of 16 bytes, which has this
// value in one of 2^128 cases.
var magic = [MagicBytes]byte{0xd7, 'l', 'e', 'd', 'g', 'e', 'r', ' ', 'p', 'e', 'e', 'r', 0x0d, 0x0a, 0x1a, 0x9c}

// MagicBytes is the number of bytes by which IsPeer knows a replica.
const MagicBytes = 16

// IsPeer tells whether the first MagicBytes of a connection are those of a replica.
func IsPeer(first []byte) bool { return [MagicBytes]byte(first) == magic }

// FrameKind is the step of a handshake.
type FrameKind uint8

// connector: hello, acceptor: answer, connector: confirm. A refusal ends it at any step.
const (
	FrameHello FrameKind = iota + 1
	FrameAnswer
	FrameConfirm
	FrameRefusal
)

// Range of versions, both ends included.
type Range struct{ Min, Max uint32 }

// Overlaps tells whether there is a version that both have.
func (r Range) Overlaps(other Range) bool { return r.Min <= other.Max && other.Min <= r.Max }

// Frame is one step of a handshake. Each has all fields, so that either side can say what differs.
type Frame struct {
	Version         uint16
	Kind            FrameKind
	Index           uint8 // of the sender
	Target          uint8 // whom the sender wants to speak to
	ReplicasCount   uint8
	Reason          Reason // of a refusal
	Keyed           uint8  // 1: the sender has a key
	KeyPrint        uint64 // of the key under which the frame's tag was made; 0 without one
	Releases        Range
	Rules           Range // prepare.Rules that it can execute
	BlockFormats    Range // limits.BlockFormatVersion that it can read
	Cluster         wire.U128
	Digest          wire.Checksum // of Fixed
	Incarnation     uint64        // of the data file
	Process         uint64        // number of this start of the process
	Nonce           Nonce
	Echo            Nonce  // the other side's nonce; 0 in a hello
	Attempt         uint64 // counts the connector's connections to this peer
	StorageBytesMax uint64 // --limit-storage
	FileBytes       uint64 // size of the data file
	Fixed           Fixed
}

func (f *Frame) fields(c *cursor) {
	mark := magic
	c.bytes("magic", mark[:])
	c.u16("version", &f.Version)
	u8(c, "kind", &f.Kind)
	u8(c, "index", &f.Index)
	u8(c, "target", &f.Target)
	u8(c, "replicas count", &f.ReplicasCount)
	u8(c, "reason", &f.Reason)
	u8(c, "keyed", &f.Keyed)
	for _, one := range [3]struct {
		name string
		of   *Range
	}{{"releases", &f.Releases}, {"rules", &f.Rules}, {"block formats", &f.BlockFormats}} {
		c.u32(one.name, &one.of.Min)
		c.u32(one.name, &one.of.Max)
	}
	c.u128("cluster", &f.Cluster)
	c.bytes("digest", f.Digest[:])
	c.u64("incarnation", &f.Incarnation)
	c.u64("process", &f.Process)
	c.bytes("nonce", f.Nonce[:])
	c.bytes("echo", f.Echo[:])
	c.u64("attempt", &f.Attempt)
	c.u64("storage bytes max", &f.StorageBytesMax)
	c.u64("file bytes", &f.FileBytes)
	for i := range f.Fixed {
		c.u32("fixed", &f.Fixed[i])
	}
	c.u64("key print", &f.KeyPrint)
}

// encode writes f into frame, sealed under one of the keys.
func (f *Frame) encode(frame []byte, keys *Keys, key int) {
	f.KeyPrint = keys.prints[key]
	c := writing(frame[:FrameBytes])
	f.fields(&c)
	keys.sealFrame(key, f.Kind, frame)
}

// decode reads a frame whose tag is right or not. The fault is that of a reserved byte.
func (f *Frame) decode(frame []byte) Fault {
	c := reading(frame[:frameTagAt])
	f.fields(&c)
	return c.end(CommandNone)
}
