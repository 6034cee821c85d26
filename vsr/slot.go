package vsr

import "ledger/wire"

// SlotsMax is the largest number of slots that a log may have.
const SlotsMax = 1024

// Kind is the content of one of the two copies of a slot.
type Kind uint8

const (
	KindBad      Kind = iota // wrong checksum, cluster or slot, or (above the checkpoint) a wrong body
	KindReserved             // never used
	KindWhole                // a whole prepare
	KindHeader               // only a twin: the header of a large prepare, which is written after the prepare is durable
	KindTorn                 // only a twin: the header of a small prepare, without its body
)

// names tells whether the copy's header is that of a prepare.
func (k Kind) names() bool { return k >= KindWhole }

// Copy is one of the two copies of a slot. Of a kind that names no prepare the fields behind
// IsUnread do not count.
type Copy struct {
	Kind     Kind
	IsUnread bool // some of it could not be read, so Kind is not what the disk holds
	View     uint32
	Op       uint64
	Commit   uint64
	Checksum wire.Checksum // of the header
	Parent   wire.Checksum
}

// Slot is what recovery has read of a slot: P is the prepare, T its twin.
type Slot struct{ P, T Copy }

// TwinWins tells whether the slot is taken to hold the twin. That is the case if only the twin is
// whole, or if both are whole and the twin is newer. Two different prepares of one op come from two
// starts, and the second start gave up the first one's prepare.
func (s *Slot) TwinWins() bool {
	p, t := &s.P, &s.T
	return t.Kind == KindWhole && (p.Kind != KindWhole || t.Op > p.Op || t.Op == p.Op && t.View > p.View)
}

// same tells whether both copies name the same prepare.
func (s *Slot) same() bool { return s.P.Checksum == s.T.Checksum }

// row returns the row of the decision table. prepareMax is the highest op that may have been
// prepared. The rows are those of consensus 8.3, where F, the head, is part of E, and Q to T for
// cases that exist only with twins.
func (s *Slot) row(prepareMax uint64) byte {
	p, t := &s.P, &s.T
	whole := p.Kind == KindWhole
	switch {
	case whole && p.Op > prepareMax:
		return 'H'
	case t.Kind.names() && whole && t.Op > prepareMax:
		return 'I'
	case t.Kind.names() && t.Op > prepareMax:
		return 'J'
	case p.Kind == KindBad && t.Kind == KindBad:
		return 'A'
	case p.Kind == KindBad && t.Kind == KindReserved:
		return 'B'
	case p.Kind == KindBad && t.Kind == KindHeader:
		return 'C'
	case p.Kind == KindReserved && t.Kind == KindBad:
		return 'D'
	case whole && t.Kind == KindBad:
		return 'E'
	case whole && t.Kind == KindReserved:
		return 'G'
	case p.Kind == KindReserved && t.Kind == KindReserved:
		return 'L'
	case p.Kind == KindReserved && t.Kind == KindHeader:
		return 'K'
	case !whole && t.Kind == KindWhole:
		return 'Q'
	case !whole: // the twin is torn
		return 'R'
	case t.Op < p.Op:
		return 'M'
	case t.Op > p.Op && t.Kind == KindWhole:
		return 'Q'
	case t.Op > p.Op && t.Kind == KindTorn:
		return 'R'
	case t.Op > p.Op:
		return 'N'
	case t.Kind == KindTorn:
		return 'S' // it may also be of another prepare of this op, which an earlier crash tore
	case s.same():
		return 'P'
	case t.Kind == KindWhole && t.View != p.View:
		return 'T'
	}
	return 'O'
}

// isBeyond tells whether the row is of an op that cannot have been prepared.
func isBeyond(row byte) bool { return row == 'H' || row == 'I' || row == 'J' }

// held tells which copy has the prepare of op.
func (s *Slot) held(op uint64) Held {
	switch {
	case s.TwinWins():
		if s.T.Op == op {
			return HeldTwin
		}
	case s.P.Kind == KindWhole && s.P.Op == op:
		return HeldPrepare
	}
	return HeldNone
}
