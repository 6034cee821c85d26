package peer

import (
	"ledger/internal/assert"
	"ledger/prepare"
	"ledger/wire"
)

// CheckInner checks the inner header of a message whose envelope and tag are right, before its body
// arrives.
func CheckInner(e *Envelope, inner []byte, b *Bounds) Fault {
	inner = inner[:InnerBytes]
	switch e.Command {
	case CommandPing:
		return new(Ping).Decode(inner, e, b)
	case CommandPong:
		return new(Pong).Decode(inner, e, b)
	case CommandCommit:
		return new(Commit).Decode(inner, e, b)
	case CommandCommitEcho:
		return new(CommitEcho).Decode(inner, e, b)
	case CommandPrepare, CommandRepairPrepare:
		return checkPrepare(e, inner, b)
	case CommandPrepareOK:
		return new(PrepareOK).Decode(inner, e, b)
	case CommandRequest:
		return checkRequest(e, inner, b)
	case CommandStartViewChange:
		return new(StartViewChange).Decode(inner, e, b)
	case CommandDoViewChange:
		return new(DoViewChange).Decode(inner, e, b)
	case CommandStartView:
		return new(StartView).Decode(inner, e, b)
	case CommandRequestStartView:
		return new(RequestStartView).Decode(inner, e, b)
	case CommandRequestHeaders:
		return new(RequestHeaders).Decode(inner, e, b)
	case CommandHeaders:
		return new(Headers).Decode(inner, e, b)
	case CommandRequestPrepare:
		return new(RequestPrepare).Decode(inner, e, b)
	case CommandPrepareMissing:
		return new(PrepareMissing).Decode(inner, e, b)
	case CommandRequestBlocks:
		return new(RequestBlocks).Decode(inner, e, b)
	case CommandBlock:
		return new(Block).Decode(inner, e, b)
	case CommandBlockMissing:
		return new(BlockMissing).Decode(inner, e, b)
	}
	assert.That(false, "the command of a decoded envelope is known")
	return Fault{}
}

// checkPrepare checks the header of a prepare, which is on the wire as it is in the log.
func checkPrepare(e *Envelope, inner []byte, b *Bounds) Fault {
	h := prepare.Header(inner)
	switch {
	case !prepare.ValidHeader(h, b.Cluster, b.messageBytesMax):
		return faultLong(e.Command, "prepare checksum", inner[:8], "the 256 bytes must be a prepare's header of this cluster")
	case h.Command() != prepare.CommandPrepare:
		return fault(e.Command, "prepare command", uint64(h.Command()), "it must be that of an entry", uint64(prepare.CommandPrepare))
	case h.Op() == 0:
		return fault(e.Command, "op", 0, "it must be at least", 1)
	case h.SizeBytes()-InnerBytes != e.BodyBytes:
		return fault(e.Command, "prepare size", uint64(h.SizeBytes()), "without 256 it must be the body's", uint64(e.BodyBytes))
	case h.View() > e.View && e.Command == CommandPrepare:
		// A prepare that is repaired may be of a view that its holder has not made durable.
		return fault(e.Command, "prepare view", uint64(h.View()), "it must be at most the view", uint64(e.View))
	case h.Replica() >= b.ReplicasCount:
		return fault(e.Command, "prepare replica", uint64(h.Replica()), "it must be below the number of replicas", uint64(b.ReplicasCount))
	case h.RequestsCount() == 0:
		return fault(e.Command, "requests count", 0, "it must be at least", 1)
	}
	if sum := h.BodyChecksum(); e.BodyBytes == 0 && sum != prepare.Sum(nil) || e.BodyBytes > 0 && sum != e.BodyChecksum {
		return faultLong(e.Command, "prepare body checksum", sum[:], "it must be that of the envelope's body")
	}
	return Fault{}
}

// checkRequest checks a client's header. Its sender has checked the client's checksum of the body.
func checkRequest(e *Envelope, inner []byte, b *Bounds) Fault {
	h := wire.HeaderOf(inner)
	parser := wire.NewParser(b.Cluster, wire.SideServer)
	_, f := parser.ParseHeader(h)
	if f == "" {
		_, f = parser.CheckMessage(h)
	}
	switch {
	case f != "":
		return faultLong(e.Command, "request", inner[:8], string(f))
	case h.Command() != wire.CommandRequest:
		return fault(e.Command, "request command", uint64(h.Command()), "it must be a request's", uint64(wire.CommandRequest))
	case h.BodyBytes() != e.BodyBytes:
		return fault(e.Command, "request size", uint64(h.SizeBytes()), "without 256 it must be the body's", uint64(e.BodyBytes))
	}
	return Fault{}
}

// CheckBody checks a whole message, whose envelope and inner header are right: the body's checksum,
// and then the body itself. message is the inner header and the body.
func CheckBody(e *Envelope, message []byte, b *Bounds) Fault {
	assert.Equal(len(message), InnerBytes+int(e.BodyBytes), "bytes of a whole message")
	body := message[InnerBytes:]
	if len(body) == 0 {
		return Fault{}
	}
	if sum := prepare.Sum(body); sum != e.BodyChecksum {
		return faultLong(e.Command, faultBody, e.BodyChecksum[:], "it must be that of the body")
	}
	switch e.Command {
	case CommandPrepare, CommandRepairPrepare:
		if err := prepare.Validate(message); err != nil {
			return fault(e.Command, "requests", uint64(prepare.Header(message[:InnerBytes]).RequestsCount()), err.Error(), 0)
		}
	case CommandDoViewChange:
		var m DoViewChange
		m.Decode(message, e, b)
		return m.checkBody(e, body, b)
	case CommandStartView:
		var m StartView
		m.Decode(message, e, b)
		return m.checkBody(e, body, b)
	case CommandHeaders:
		list := headerList{e: e, b: b, body: body, viewMax: ^uint32(0)} // as for a prepare that is repaired
		return list.check()
	case CommandBlock:
		if sum := body[:wire.U128Bytes]; wire.Checksum(sum) != wire.Checksum(message[:wire.U128Bytes]) {
			return faultLong(e.Command, "block checksum", message[:8], "it must be that at the front of the block")
		}
	}
	return Fault{}
}

// headerList is the headers of a body, by falling op.
type headerList struct {
	e       *Envelope
	b       *Bounds
	body    []byte
	viewMax uint32 // no header has a later view
	blanks  bool   // there may be blank ones, and there are no gaps
	chained bool   // neighbours name each other, across views as well
}

func (l *headerList) check() Fault {
	var before prepare.Header
	for i := 0; i < len(l.body); i += prepare.HeaderBytes {
		h := prepare.Header(l.body[i : i+prepare.HeaderBytes])
		if f := l.checkOne(before, h); f.Faulty() {
			return f
		}
		before = h
	}
	return Fault{}
}

// checkOne checks a header and its relation to that before it, which has a higher op.
func (l *headerList) checkOne(before, h prepare.Header) Fault {
	command := l.e.Command
	isBlank := h.Command() == prepare.CommandReserved
	switch {
	case !prepare.ValidHeader(h, l.b.Cluster, l.b.messageBytesMax):
		return faultLong(command, "header checksum", h[:8], "the 256 bytes must be a prepare's header of this cluster")
	case isBlank && !l.blanks:
		return fault(command, "header command", uint64(h.Command()), "it must be that of an entry", uint64(prepare.CommandPrepare))
	case h.View() > l.viewMax:
		return fault(command, "header view", uint64(h.View()), "it must be at most", uint64(l.viewMax))
	case before == nil:
		return Fault{}
	case l.blanks && h.Op()+1 != before.Op():
		return fault(command, "header op", h.Op(), "it must be the op below that of the header before it, which is", before.Op())
	case h.Op() >= before.Op():
		return fault(command, "header op", h.Op(), "it must be below that of the header before it, which is", before.Op())
	}
	adjacent := h.Op()+1 == before.Op() && !isBlank && before.Command() == prepare.CommandPrepare
	if adjacent && (l.chained || h.View() == before.View()) && before.Parent() != h.Checksum() {
		return faultLong(command, "header parent", before[32:40], "it must be the checksum of the header of the op below it")
	}
	return Fault{}
}

func (m *DoViewChange) checkBody(e *Envelope, body []byte, b *Bounds) Fault {
	list := headerList{e: e, b: b, body: body, viewMax: m.LogView, blanks: true, chained: true}
	if f := list.check(); f.Faulty() {
		return f
	}
	for i := range int(m.HeadersCount) {
		h := prepare.Header(body[i*prepare.HeaderBytes : (i+1)*prepare.HeaderBytes])
		isBlank := h.Command() == prepare.CommandReserved
		switch {
		case i == 0 && h.Op() != m.Op:
			return fault(e.Command, "header op", h.Op(), "that of the first must be op", m.Op)
		case i == 0 && isBlank:
			return fault(e.Command, "header command", uint64(h.Command()), "the head must be an entry", uint64(prepare.CommandPrepare))
		case isBlank && m.Present>>i&1 != 0:
			return fault(e.Command, "present", uint64(m.Present), "a blank header must not be present; its op is", h.Op())
		}
	}
	return Fault{}
}

func (m *StartView) checkBody(e *Envelope, body []byte, b *Bounds) Fault {
	list := headerList{e: e, b: b, body: body[CheckpointBytes:], viewMax: e.View, chained: true}
	if f := list.check(); f.Faulty() {
		return f
	}
	if head := prepare.Header(list.body[:prepare.HeaderBytes]); head.Op() != m.Op {
		return fault(e.Command, "header op", head.Op(), "that of the first must be op", m.Op)
	}
	return Fault{}
}
