package vsr

import (
	"ledger/internal/assert"
	"ledger/prepare"
	"ledger/wire"
)

// Sizes of header lists.
const (
	// PipelineMax is the largest number of ops that may be prepared and not committed.
	PipelineMax = 8
	// BallotHeadersMax: a do_view_change has the op that is known to be committed, and a pipeline.
	BallotHeadersMax = PipelineMax + 1
	// StartHeadersMax: a start_view has two hooks more. The superblock has room for as many.
	StartHeadersMax = BallotHeadersMax + 2
)

// Header is what the protocol needs of a prepare's header. Of a blank one only the op is known.
type Header struct {
	Op       uint64
	Commit   uint64 // committed, as far as the primary knew when it prepared
	View     uint32 // in which it was prepared; it keeps it in later views
	Checksum wire.Checksum
	Parent   wire.Checksum // checksum of the header before
	Members  prepare.Members
	Blank    bool
}

// HeaderOf reads a raw header. A reserved one, whose op is that of the list, stands for a blank.
func HeaderOf(h prepare.Header) Header {
	if h.Command() != prepare.CommandPrepare {
		return Header{Op: h.Op(), Blank: true}
	}
	return Header{Op: h.Op(), Commit: h.Commit(), View: h.View(), Checksum: h.Checksum(), Parent: h.Parent(),
		Members: h.Members()}
}

// List is the headers that the superblock has, by falling op, and the set of uncertain ops above
// them. If log_view = view, it is the beginning of that view's log. If log_view < view, it is what
// the replica says in every do_view_change until log_view moves. So it is frozen: written once,
// read back at a restart, and the same in every message.
type List struct {
	Count     int
	Headers   [StartHeadersMax]Header
	Uncertain Set
}

// ReadList reads a list as the superblock and messages have it: raw headers and the set's bytes.
func ReadList(headers []prepare.Header, uncertain *[SetBytes]byte) (l List) {
	assert.AtMost(len(headers), StartHeadersMax, "headers of a list")
	for i, h := range headers {
		l.Headers[i] = HeaderOf(h)
	}
	l.Count, l.Uncertain = len(headers), ReadSet(uncertain)
	return l
}

// Head is the highest op of the list. What is uncertain lies above it, and does not count here: the
// arithmetic of pipeline and commit_max knows only heads.
func (l *List) Head() uint64 { return l.Headers[0].Op }

// Lowest is the lowest op of a do_view_change's list. Its sender knows that it is committed.
func (l *List) Lowest() uint64 { return l.Headers[l.Count-1].Op }

// lowestChained is the lowest op down to which the headers follow each other. With it began a view,
// or a checkpoint, that knew it to be committed.
func (l *List) lowestChained() uint64 {
	op := l.Head()
	for i := 1; i < l.Count && l.Headers[i].Op == op-1; i++ {
		op--
	}
	return op
}

// find returns the header of op, or nil if the list has none, or a blank.
func (l *List) find(op uint64) *Header {
	for i := range l.Count {
		if h := &l.Headers[i]; h.Op == op && !h.Blank {
			return h
		}
	}
	return nil
}

// Entry is what a replica knows of one op of its log.
type Entry struct {
	Header   Header // blank if it is not known
	IsHeld   bool   // the prepare of Header is on disk, being written, or in memory
	IsFaulty bool   // the slot held something once, and it cannot be read or does not fit
}

// Log is what a replica knows of its log.
type Log interface {
	// Entry of any op. If the slot is another op's, the entry is blank, and neither held nor faulty.
	Entry(op uint64) Entry
}

// Freeze makes the list with which a replica leaves its log_view. durable is the list that the
// superblock has of log_view; its headers are those of the log, whatever has become of the slots.
// The list runs from the head down to commitMax, and not below what the durable list proves to be
// committed: slots below it may still have prepares that an earlier view left out. uncertain is not
// empty only if the replica started
// with an uncertain head and has not been given a log since.
func Freeze(log Log, durable *List, head, commitMax uint64, uncertain *Set) (l List) {
	if durable.Count > 0 {
		head = max(head, durable.Head()) // a backup keeps the list of a view whose log it cannot store yet
		commitMax = max(commitMax, durable.lowestChained())
	}
	commitMax = max(commitMax, log.Entry(head).Header.Commit, max(head, PipelineMax)-PipelineMax)
	commitMax = min(commitMax, head)
	for op := head; ; op-- {
		h := Header{Op: op, Blank: true}
		if known := durable.find(op); known != nil {
			h = *known
		} else if known := log.Entry(op).Header; !known.Blank {
			h = known
		}
		if l.Count > 0 && !h.Blank {
			if above := &l.Headers[l.Count-1]; !above.Blank && above.Parent != h.Checksum {
				h = Header{Op: op, Blank: true} // not of this log; a blank is always true
			}
		}
		l.Headers[l.Count] = h
		l.Count++
		if op == commitMax {
			break
		}
	}
	assert.That(!l.Headers[0].Blank, "the header of the head is known")
	l.Uncertain = *uncertain
	return l
}

// Bits says of each header of a frozen list whether the replica has the prepare, and whether it
// certainly never acknowledged any prepare of that op that the list may stand for. A faulty slot
// says neither: that is always true, while a wrong nack loses what was committed. The lowest op of
// the list is committed, so it is never nacked.
func (l *List) Bits(log Log) (present, nack uint16) {
	for i := range l.Count {
		h := &l.Headers[i]
		e := log.Entry(h.Op)
		isOther := !h.Blank && !e.Header.Blank && e.Header.Checksum != h.Checksum
		switch {
		case isOther:
			nack |= 1 << i // even if it is damaged: what the slot had is not this
		case e.IsFaulty:
		case !e.IsHeld:
			nack |= 1 << i // the slot is empty, or its prepare was never written
		case !h.Blank && !e.Header.Blank:
			present |= 1 << i
		}
	}
	return present, nack &^ (1 << (l.Count - 1))
}

// Ballot is a do_view_change: what one replica says of its log when it leaves its view.
type Ballot struct {
	LogView       uint32 // durable when the ballot is sent
	CommitMin     uint64 // executed
	CheckpointOp  uint64
	Incarnation   uint64 // of the data file that says it
	IsRecovered   bool   // ledger recover made that file: it counts only where a table names it
	List          List
	Present, Nack uint16 // bit i: of header i
}

// Check returns what is wrong with a ballot for view that a peer sent, or nothing.
func (b *Ballot) Check(view uint32, pipelineOps int) string {
	l := &b.List
	if l.Count < 1 || l.Count > pipelineOps+1 {
		return "its list has no header, or too many"
	}
	if reason := l.check(b.LogView, l.Count); reason != "" {
		return reason
	}
	blanks := uint16(0)
	for i := range l.Count {
		if l.Headers[i].Blank {
			blanks |= 1 << i
		}
	}
	switch {
	case b.LogView >= view:
		return "its log_view is not of a view before"
	case blanks&1 != 0:
		return "its head is blank"
	case (b.Present|b.Nack)>>l.Count != 0:
		return "it has bits of headers that are not in the list"
	case b.Present&b.Nack != 0:
		return "it has an op and nacks it"
	case b.Present&blanks != 0:
		return "it has an op whose header it does not know"
	case b.Nack>>(l.Count-1) != 0:
		return "it nacks an op that it knows to be committed"
	case b.CommitMin > l.Head():
		return "it has executed what is not in its log"
	case b.CheckpointOp > b.CommitMin:
		return "its checkpoint is of an op that it has not executed"
	case l.Uncertain.Has(l.Head()):
		return "its head is uncertain"
	}
	return ""
}

// CheckStart returns what is wrong with the list of a start_view that a peer sent, or nothing. The
// list has no blanks. Its first headers, down to commitMax, follow each other; hooks stand behind.
func (l *List) CheckStart(view uint32, commitMax uint64, pipelineOps int) string {
	if l.Count < 1 || l.Count > pipelineOps+3 {
		return "its list has no header, or too many"
	}
	if commitMax > l.Head() || l.Head()-commitMax > uint64(pipelineOps) {
		return "its head is not within a pipeline of what is committed"
	}
	chained := int(l.Head()-commitMax) + 1
	if l.Count < chained {
		return "its list ends above what is committed"
	}
	if reason := l.check(view, chained); reason != "" {
		return reason
	}
	for i := range l.Count {
		if l.Headers[i].Blank {
			return "its list has a blank"
		}
	}
	if !l.Uncertain.Empty() {
		return "the log of a view has nothing uncertain"
	}
	return ""
}

// check what all lists have in common. Of the first chained headers each is of the op before.
func (l *List) check(logView uint32, chained int) string {
	var above *Header // the last one that is not blank
	for i := range l.Count {
		h := &l.Headers[i]
		if i > 0 {
			before := l.Headers[i-1].Op
			if h.Op >= before || i < chained && h.Op != before-1 {
				return "its headers do not descend op by op"
			}
		}
		if h.Blank {
			if *h != (Header{Op: h.Op, Blank: true}) {
				return "a blank says more than its op"
			}
			continue
		}
		switch {
		case h.View > logView:
			return "a header is of a view after log_view"
		case h.Commit > h.Op || h.Commit == h.Op && h.Op > 0:
			return "a header commits itself"
		case above != nil && (h.View > above.View || h.Commit > above.Commit):
			return "views or commits fall along the log"
		case above != nil && above.Op == h.Op+1 && above.Parent != h.Checksum:
			return "a header is not that of the op before"
		}
		above = h
	}
	return ""
}
