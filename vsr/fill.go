package vsr

import "ledger/wire"

// GapHeadersMax is the largest number of headers that one request asks for.
const GapHeadersMax = 64

// ChainFrom returns the lowest op, not below first, from which the chain of parents to the head is
// unbroken.
func ChainFrom(log Log, head, first uint64) uint64 {
	at := log.Entry(head).Header
	if at.Blank {
		return head + 1
	}
	for at.Op > first {
		before := log.Entry(at.Op - 1).Header
		if before.Blank || before.Checksum != at.Parent {
			break
		}
		at = before
	}
	return at.Op
}

// HeaderGap returns the range of headers to ask for: the newest gap or break of the chain, so that
// headers are repaired backwards from the head, each one proven by the one above. first is the
// lowest op that the replica must have. The result is empty (from > to) if the chain is whole.
func HeaderGap(log Log, head, first uint64) (from, to uint64) {
	chainFrom := ChainFrom(log, head, first)
	if chainFrom <= first {
		return 1, 0
	}
	to = chainFrom - 1
	from = to
	for from > first && to-from+1 < GapHeadersMax && log.Entry(from-1).Header.Blank {
		from--
	}
	return from, to
}

// NextPrepare returns the first op from which on to last whose header is known and whose prepare is
// not here; last+1 if there is none. Prepares are repaired forwards: those that are to be executed,
// commit_min + 1 to the head, before those that only others may ask for.
func NextPrepare(log Log, op, last uint64) uint64 {
	for ; op <= last; op++ {
		if e := log.Entry(op); !e.Header.Blank && (!e.IsHeld || e.IsFaulty) {
			break
		}
	}
	return op
}

// Fill is a header or prepare that a peer sent for a place in the log, and what is there.
type Fill struct {
	Header    Header
	View      uint32 // of the replica
	Head      Header // of its log, which log_view vouches for
	First     uint64 // the lowest op that the replica must have
	CommitMin uint64
	Known     Header // what the log has of this op; it may be blank
	// ChainFrom is the lowest op from which the chain to the head is unbroken, and ChainParent the
	// checksum that the op before it must have.
	ChainFrom   uint64
	ChainParent wire.Checksum
}

// Refused returns why repair may not take the header, or nothing. Repair never moves the head, and
// a newer view is no argument: the prepare of an older view may be the committed one.
func (f *Fill) Refused() string {
	h := &f.Header
	switch {
	case h.Blank:
		return "it is blank"
	case h.View > f.View:
		return "it is of a view after this one"
	case h.Op > f.Head.Op:
		return "it is above the head"
	case h.Op < f.First:
		return "it is older than what the log needs"
	case h.Op >= f.ChainFrom:
		if h.Checksum != f.Known.Checksum {
			return "the chain of the head has another one"
		}
		return ""
	case h.Op <= f.CommitMin && !f.Known.Blank && h.Checksum != f.Known.Checksum:
		return "another one was executed"
	case h.Op == f.ChainFrom-1:
		if h.Checksum != f.ChainParent {
			return "it is not the one that the chain of the head needs"
		}
		return ""
	case h.View == f.Head.View:
		return "" // its primary had it in its log when it prepared the head
	}
	return "nothing connects it with the head yet"
}

// Start is a start_view, and the replica that it reached.
type Start struct {
	View      uint32
	From      int // the replica that sent it
	Op        uint64
	CommitMax uint64
	Nonce     [16]byte // of the request that it answers; 0 if it answers none

	Self         int
	OwnView      uint32
	OwnLogView   uint32
	OwnOp        uint64
	CheckpointOp uint64
	PrepareMax   uint64
	// IsHeadUncertain: the replica is recovering_head. OwnNonce was drawn at this start.
	IsHeadUncertain bool
	// IsStandby: only the answer to its own question changes its view. An isolated replica would take
	// it to a dead one.
	IsStandby bool
	OwnNonce  [16]byte
}

// Ignored returns why a replica does not follow a start_view, or nothing.
func (s *Start) Ignored(q *Quorums) string {
	isFresh := s.View > s.OwnView || s.Op >= s.PrepareMax || s.OwnNonce != [16]byte{} && s.Nonce == s.OwnNonce
	switch {
	case s.From == s.Self:
		return "it is its own"
	case s.From != q.PrimaryOf(s.View):
		return "it is not from the primary of its view"
	case s.View < s.OwnView:
		return "it is of an older view"
	case s.CommitMax < s.CheckpointOp:
		return "it is older than the checkpoint here"
	case s.IsHeadUncertain && !isFresh:
		return "it may have been sent before what this replica acknowledged and lost"
	case s.IsStandby && s.Nonce != s.OwnNonce:
		return "a standby takes the answer to its own question only"
	case s.OwnLogView == s.View && s.Op < s.OwnOp:
		return "the log of this view is longer here"
	}
	return ""
}
