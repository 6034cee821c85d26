package peer

import (
	"ledger/prepare"
	"ledger/wire"
)

// TagBytes is the size of a tag.
const TagBytes = 16

// Envelope is the front of every message. The inner header follows it.
type Envelope struct {
	Tag      [TagBytes]byte
	Sequence uint64
	// Incarnation of the author's data file. Votes, acknowledgements and nacks count only under the
	// number that the receiver's own state names.
	Incarnation  uint64
	BodyChecksum wire.Checksum // BLAKE3, as in a prepare; zero without a body
	BodyBytes    uint32
	View         uint32 // the author's view. Only a request_start_view may run ahead of the durable one.
	Command      Command
	Author       uint8
}

// Offsets of fields that are read without the others.
const (
	envelopeBodyBytesAt = 48
	envelopeCommandAt   = 56
)

func (e *Envelope) fields(c *cursor) {
	c.bytes("tag", e.Tag[:])
	c.u64("sequence", &e.Sequence)
	c.u64("incarnation", &e.Incarnation)
	c.bytes("body checksum", e.BodyChecksum[:])
	c.u32("body bytes", &e.BodyBytes)
	c.u32("view", &e.View)
	u8(c, "command", &e.Command)
	u8(c, "author", &e.Author)
}

// Encode writes e into the first EnvelopeBytes of head.
func (e *Envelope) Encode(head []byte) {
	c := writing(head[:EnvelopeBytes])
	e.fields(&c)
}

// Decode reads the envelope in front of head and checks it by itself. The tag, sequence and author
// are checked by Link.Open, the body by CheckBody.
func (e *Envelope) Decode(head []byte, b *Bounds) Fault {
	c := reading(head[:EnvelopeBytes])
	e.fields(&c)
	if f := c.end(e.Command); f.Faulty() {
		return f
	}
	if !e.Command.Known() {
		return fault(e.Command, "command", uint64(e.Command), "it must be one of the protocol, the last of which is", commandsCount-1)
	}
	least, most := b.bodyBytes(e.Command)
	switch {
	case e.Author >= b.IndexesCount:
		return fault(e.Command, "author", uint64(e.Author), "it must be below the number of replicas and standbys", uint64(b.IndexesCount))
	case e.Author >= b.ReplicasCount && !e.Command.OfStandby():
		return fault(e.Command, "author", uint64(e.Author), "it must be a replica: a standby only pings, and asks for what it misses",
			uint64(b.ReplicasCount))
	case e.Incarnation == 0:
		return fault(e.Command, "incarnation", 0, "it must not be 0", 0)
	case e.BodyBytes > most:
		return fault(e.Command, "body bytes", uint64(e.BodyBytes), "it must be at most what the command allows", uint64(most))
	case e.BodyBytes < least:
		return fault(e.Command, "body bytes", uint64(e.BodyBytes), "it must be at least what the command needs", uint64(least))
	case e.BodyBytes == 0 && !e.BodyChecksum.IsZero():
		return faultLong(e.Command, "body checksum", e.BodyChecksum[:], "it must be 0 without a body")
	}
	return Fault{}
}

// BodyChecksum is the checksum of a message that is to be sent, for its envelope. message is the
// inner header and the body. A prepare has it in its header already.
func BodyChecksum(command Command, message []byte) wire.Checksum {
	switch {
	case len(message) == InnerBytes:
		return wire.Checksum{}
	case command == CommandPrepare || command == CommandRepairPrepare:
		return prepare.Header(message[:InnerBytes]).BodyChecksum()
	}
	return prepare.Sum(message[InnerBytes:])
}
