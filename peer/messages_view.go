package peer

import (
	"ledger/prepare"
	"ledger/wire"
)

// Cause of a start_view_change, for the line that every replica logs.
type Cause uint8

// Why a view ends.
const (
	CauseSilent    Cause = iota + 1 // no sign of life of the primary
	CauseStuck                      // the view change itself took too long
	CauseDeaf                       // the primary hears no quorum
	CauseSlow                       // the primary's disk or execution is slow
	CauseRestarted                  // the primary of the durable view has started anew
	CauseClock                      // the primary has no synchronised clock
	CauseForfeit                    // another replica has a later checkpoint
	CauseMismatch                   // the primary's checkpoint id is another than a majority's
	CauseUncertain                  // the head is uncertain and no view answered
	CauseFollowed                   // others have sent it
	CauseUnready                    // the new primary does not come to serve
	CauseNoQuorum                   // the primary's oldest prepare gets no quorum
	causeLast      = CauseNoQuorum
)

// String is the cause in the words of a line for people.
func (c Cause) String() string {
	if c == 0 || c > causeLast {
		return "unknown"
	}
	return [...]string{
		CauseSilent:    "nothing was heard of the primary",
		CauseStuck:     "the view change took too long",
		CauseDeaf:      "the primary heard too few replicas",
		CauseSlow:      "the primary was slow",
		CauseRestarted: "the primary has started anew",
		CauseClock:     "the primary lost the cluster's time",
		CauseForfeit:   "the new primary was behind another replica",
		CauseMismatch:  "the primary's checkpoint differed from a majority's",
		CauseUncertain: "the end of the log was uncertain, and no view answered",
		CauseFollowed:  "the other replicas left the view before",
		CauseUnready:   "the new primary did not come to serve",
		CauseNoQuorum:  "the primary's prepares got no quorum",
	}[c]
}

// StartViewChange is the wish to leave the view of the envelope.
type StartViewChange struct {
	Cause Cause
}

func (m *StartViewChange) fields(c *cursor) { u8(c, "cause", &m.Cause) }

func (m *StartViewChange) check(e *Envelope, _ *Bounds) Fault {
	if m.Cause < CauseSilent || m.Cause > causeLast {
		return fault(e.Command, "cause", uint64(m.Cause), "it must be 1 to", uint64(causeLast))
	}
	return Fault{}
}

// DoViewChange is a vote for the envelope's view: the end of the author's log, frozen since its log
// view. The headers are the body, by falling op, without gaps; the first is the head. An op whose
// header is not known is blank: it has the header of a reserved slot with that op.
type DoViewChange struct {
	Op           uint64 // the head
	CommitMin    uint64
	CheckpointOp uint64
	LogView      uint32
	Present      uint16 // bit i: the prepare of header i is here
	Nack         uint16 // bit i: the author has certainly never acknowledged op - i with that header
	HeadersCount uint8
	Recovered    uint8 // 1: ledger recover made the author's data file
	// Uncertain ops above the head: bit op modulo the slots of the log. They are blank, neither
	// present nor nacked.
	Uncertain [UncertainBytes]byte
}

func (m *DoViewChange) fields(c *cursor) {
	c.u64("op", &m.Op)
	c.u64("commit min", &m.CommitMin)
	c.u64("checkpoint op", &m.CheckpointOp)
	c.u32("log view", &m.LogView)
	c.u16("present", &m.Present)
	c.u16("nack", &m.Nack)
	u8(c, "headers count", &m.HeadersCount)
	u8(c, "recovered", &m.Recovered)
	c.pad(6)
	c.bytes("uncertain", m.Uncertain[:])
}

func (m *DoViewChange) check(e *Envelope, b *Bounds) Fault {
	count := uint64(m.HeadersCount)
	switch {
	case m.LogView >= e.View:
		return fault(e.Command, "log view", uint64(m.LogView), "it must be below the view", uint64(e.View))
	case count == 0 || count > uint64(b.headersVoteMax()):
		return fault(e.Command, "headers count", count, "it must be 1 to", uint64(b.headersVoteMax()))
	case count*prepare.HeaderBytes != uint64(e.BodyBytes):
		return fault(e.Command, "headers count", count, "256 bytes each must be the body's", uint64(e.BodyBytes))
	case count > m.Op+1:
		return fault(e.Command, "headers count", count, "no header lies below op 0; op is", m.Op)
	case m.Present>>count != 0:
		return fault(e.Command, "present", uint64(m.Present), "it must have no bit but of headers, whose count is", count)
	case m.Nack>>count != 0:
		return fault(e.Command, "nack", uint64(m.Nack), "it must have no bit but of headers, whose count is", count)
	case m.CheckpointOp > m.CommitMin:
		return fault(e.Command, "checkpoint op", m.CheckpointOp, "it must be at most commit min", m.CommitMin)
	case m.Recovered > 1:
		return fault(e.Command, "recovered", uint64(m.Recovered), "it must be 0 or", 1)
	}
	return Fault{}
}

// StartView fixes the log of the envelope's view. The body is the checkpoint, encoded as in the
// superblock and filled up with zeros, and the headers by falling op: the end of the log, and up to
// two that lie further back.
type StartView struct {
	CheckpointID wire.Checksum
	Op           uint64 // the head
	CommitMax    uint64
	CheckpointOp uint64
	Nonce        uint64 // of the request that this answers, or 0
	HeadersCount uint8
}

func (m *StartView) fields(c *cursor) {
	c.bytes("checkpoint id", m.CheckpointID[:])
	c.u64("op", &m.Op)
	c.u64("commit max", &m.CommitMax)
	c.u64("checkpoint op", &m.CheckpointOp)
	c.u64("nonce", &m.Nonce)
	u8(c, "headers count", &m.HeadersCount)
}

func (m *StartView) check(e *Envelope, b *Bounds) Fault {
	count := uint64(m.HeadersCount)
	switch {
	case count == 0 || count > uint64(b.headersViewMax()):
		return fault(e.Command, "headers count", count, "it must be 1 to", uint64(b.headersViewMax()))
	case count*prepare.HeaderBytes+CheckpointBytes != uint64(e.BodyBytes):
		return fault(e.Command, "headers count", count, "256 bytes each behind the checkpoint must be the body's", uint64(e.BodyBytes))
	case m.CommitMax > m.Op:
		return fault(e.Command, "commit max", m.CommitMax, "it must be at most op", m.Op)
	case m.Op-m.CommitMax > uint64(b.pipeline):
		return fault(e.Command, "op", m.Op, "it must be at most a pipeline above commit max", m.CommitMax)
	case m.CheckpointOp > m.CommitMax:
		return fault(e.Command, "checkpoint op", m.CheckpointOp, "it must be at most commit max", m.CommitMax)
	}
	return Fault{}
}

// RequestStartView asks the primary of the envelope's view for its log.
type RequestStartView struct {
	// Nonce is drawn at random at this start of the author. A start_view that repeats it was sent
	// after the start.
	Nonce uint64
}

func (m *RequestStartView) fields(c *cursor) { c.u64("nonce", &m.Nonce) }

func (m *RequestStartView) check(e *Envelope, _ *Bounds) Fault {
	if m.Nonce == 0 {
		return fault(e.Command, "nonce", 0, "it must not be 0", 0)
	}
	return Fault{}
}
