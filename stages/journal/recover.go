package journal

import (
	"fmt"

	"ledger/internal/ports"
	"ledger/limits"
	"ledger/prepare"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/wire"
)

// copyKind is the content of one of the two copies of a slot.
type copyKind uint8

const (
	copyBad      copyKind = iota // wrong checksum, cluster or slot, or (above the checkpoint) a wrong body
	copyReserved                 // never used
	copyEntry                    // a whole prepare
	copyHeader                   // only a twin: the header of a large prepare, which is written after the prepare is durable
	copyTorn                     // only a twin: the header of a small prepare, without its body
)

// slotCopies is what recovery has read of a slot: T is the twin, P the prepare.
type slotCopies struct {
	t, p         copyKind
	tOp, pOp     uint64
	tView, pView uint32
	sameHeader   bool // both copies name a prepare, with equal checksums
}

// twinWins tells whether the slot is taken to hold the twin. That is the case if only the twin is
// whole, or if both are whole and the twin is newer. Two different prepares of one op come from two
// starts, and the second start gave up the first one's prepare.
func (s *slotCopies) twinWins() bool {
	return s.t == copyEntry && (s.p != copyEntry || s.tOp > s.pOp || s.tOp == s.pOp && s.tView > s.pView)
}

// action is what a single replica does with a slot.
type action uint8

const (
	actionClean      action = iota // nothing to do
	actionFixTwin                  // the prepare is right: rewrite the twin
	actionFixPrepare               // the twin is right: rewrite the prepare
	actionDamage                   // refuse, unless the slot is the torn one or is not needed
	actionRefuse                   // refuse: no crash of a single replica can cause this
)

// decide is the decision table for a single replica. prepareMax is the highest op that may have
// been prepared. letter is the row: those of consensus 8.3, and Q to T for cases that exist only
// with twins.
func decide(s slotCopies, prepareMax uint64) (letter byte, a action) {
	named := s.t == copyEntry || s.t == copyHeader || s.t == copyTorn
	switch {
	case s.p == copyEntry && s.pOp > prepareMax:
		return 'H', actionRefuse
	case named && s.p == copyEntry && s.tOp > prepareMax:
		return 'I', actionRefuse
	case named && s.p != copyEntry && s.tOp > prepareMax:
		return 'J', actionRefuse
	case s.p == copyBad && s.t == copyBad:
		return 'A', actionDamage
	case s.p == copyBad && s.t == copyReserved:
		return 'B', actionDamage
	case s.p == copyBad && s.t == copyHeader:
		return 'C', actionDamage
	case s.p == copyReserved && s.t == copyBad:
		return 'D', actionFixTwin
	case s.p == copyEntry && s.t == copyBad:
		return 'E', actionFixTwin // row F, the head, is the same for a single replica
	case s.p == copyEntry && s.t == copyReserved:
		return 'G', actionFixTwin
	case s.p == copyReserved && s.t == copyReserved:
		return 'L', actionClean
	case s.p == copyReserved && s.t == copyHeader:
		return 'K', actionDamage
	case s.p != copyEntry && s.t == copyEntry:
		return 'Q', actionFixPrepare
	case s.p != copyEntry: // the twin is torn
		return 'R', actionDamage
	case s.tOp < s.pOp:
		return 'M', actionFixTwin
	case s.tOp > s.pOp && s.t == copyEntry:
		return 'Q', actionFixPrepare
	case s.tOp > s.pOp && s.t == copyTorn:
		return 'R', actionDamage
	case s.tOp > s.pOp:
		return 'N', actionDamage
	case s.t == copyTorn:
		return 'S', actionFixTwin // it may also be of another prepare of this op, which an earlier crash tore
	case s.sameHeader:
		return 'P', actionClean
	case s.t == copyEntry && s.tView > s.pView:
		return 'T', actionFixPrepare
	case s.t == copyEntry && s.tView < s.pView:
		return 'T', actionFixTwin
	}
	return 'O', actionDamage
}

// Recovered is the state of the log after recovery.
type Recovered struct {
	OpHead        uint64           // highest op in the log
	HeadChecksum  prepare.Checksum // of its header
	HeadStampNs   uint64           // its timestamp
	TwinsFixed    int              // twins that were rewritten
	PreparesFixed int              // prepares that were rewritten from their twins
	TornOp        uint64           // op whose writes were torn by the crash, never acknowledged; 0: none
	// Headers is the table of raw headers by slot. It is right for every op above the checkpoint.
	Headers []byte
}

// DamageError is damage of the log that a single replica cannot repair.
type DamageError struct {
	Slot   uint64
	Letter byte // row of the decision table; 0 for a gap in the chain
	Reason string
}

func (e *DamageError) Error() string {
	if e.Letter == 0 {
		return "the log is damaged: " + e.Reason
	}
	return fmt.Sprintf("the log is damaged at slot %d (case %c): %s", e.Slot, e.Letter, e.Reason)
}

// Fault is the error with which the server refuses to start.
func (e *DamageError) Fault() storage.Fault {
	return storage.Fault{What: storage.FaultLog, Reason: e.Error()}
}

// Recover reads the log of a single replica, repairs each copy of which the other one is right, and
// returns the head. headers is aligned memory of JournalSlotsCount * 256 bytes, scratch of at least
// MessageBytesMax. Every op up to commitMax was durable when the superblock was written, so a log
// that ends earlier has lost ops. A log that is refused is not changed.
//
// A crash leaves at most one torn entry, that of the op after the head, because one prepare is
// written at a time. Only that slot is given up, and only if nothing in it proves that the op was
// durable. Any other damage of an op above the checkpoint is refused. Damage at or below the
// checkpoint does no harm if the slot after the head is whole. In that case nothing was ever
// written above the head.
func Recover(file ports.File, l *limits.Limits, cluster wire.U128, checkpoint *storage.Checkpoint, commitMax uint64,
	headers, scratch []byte) (*Recovered, error) {
	slots := uint64(l.JournalSlotsCount)
	headers = headers[:slots*limits.HeaderBytes]
	r := &Recovered{Headers: headers}
	g := &logFile{file: file, limits: l, layout: datafile.NewLayout(l), cluster: cluster, checkpointOp: checkpoint.Op, scratch: scratch}
	copies := make([]slotCopies, slots)
	g.readTwins(headers, copies)
	for i := range slots {
		c := &copies[i]
		h := prepare.Header(headers[i*limits.HeaderBytes : (i+1)*limits.HeaderBytes])
		p := g.readPrepare(i)
		c.p, c.pOp = g.classify(p, i)
		c.tView, c.pView = h.View(), p.View()
		c.sameHeader = c.p == copyEntry && c.t != copyBad && h.Checksum() == p.Checksum()
		if c.p == copyEntry && !c.twinWins() {
			copy(h, p) // the table has the copy that the slot is taken to hold
		}
		if op := h.Op(); (c.p == copyEntry || c.t == copyEntry) && op >= r.OpHead {
			r.OpHead, r.HeadChecksum, r.HeadStampNs = op, h.Checksum(), h.Timestamp()
		}
	}
	if r.OpHead < checkpoint.Op {
		return nil, &DamageError{Reason: fmt.Sprintf("it ends at op %d, before the checkpoint of op %d", r.OpHead, checkpoint.Op)}
	}
	if checkpoint.Op > 0 && r.OpHead < l.CheckpointTrigger(checkpoint.Op) {
		return nil, &DamageError{Reason: fmt.Sprintf("it ends at op %d, but the checkpoint of op %d was taken at op %d",
			r.OpHead, checkpoint.Op, l.CheckpointTrigger(checkpoint.Op))}
	}
	if r.OpHead < commitMax {
		return nil, &DamageError{Reason: fmt.Sprintf("it ends at op %d, but op %d was on disk when the superblock was written", r.OpHead,
			commitMax)}
	}
	if err := r.findTorn(l, copies, checkpoint.Op); err != nil {
		return nil, err
	}
	// The chain of parents proves that no op between the checkpoint and the head was replaced.
	parent := prepare.Checksum(checkpoint.PrepareChecksum)
	for op := checkpoint.Op + 1; op <= r.OpHead; op++ {
		i := op % slots
		h := prepare.Header(headers[i*limits.HeaderBytes : (i+1)*limits.HeaderBytes])
		if c := copies[i]; c.p != copyEntry && c.t != copyEntry || h.Op() != op {
			return nil, &DamageError{Reason: fmt.Sprintf("op %d is missing, the head is op %d", op, r.OpHead)}
		}
		if h.Parent() != parent {
			return nil, &DamageError{Reason: fmt.Sprintf("op %d does not follow the op before it", op)}
		}
		parent = h.Checksum()
	}
	return r, r.fix(g, copies)
}

// findTorn refuses damage that a single replica cannot repair, and finds the torn slot.
func (r *Recovered) findTorn(l *limits.Limits, copies []slotCopies, checkpointOp uint64) error {
	slots := uint64(len(copies))
	tornSlot := (r.OpHead + 1) % slots
	prepareMax := l.PrepareMax(checkpointOp)
	_, nextAction := decide(copies[tornSlot], prepareMax)
	nextIsWhole := nextAction == actionClean || nextAction == actionFixTwin || nextAction == actionFixPrepare && copies[tornSlot].p != copyBad
	for i, c := range copies {
		letter, a := decide(c, prepareMax)
		if a == actionClean || a == actionFixTwin {
			continue
		}
		if a == actionRefuse {
			return &DamageError{uint64(i), letter, fmt.Sprintf("it holds an op above %d, which cannot have been prepared", prepareMax)}
		}
		// op is the op that the slot had to hold when the head was written.
		op := r.OpHead - (r.OpHead-uint64(i))%slots
		if uint64(i) > r.OpHead {
			op = 0 // first lap, above the head
		}
		switch {
		case uint64(i) == tornSlot && mayBeTorn(c, r.OpHead+1):
			r.TornOp = r.OpHead + 1
		case a == actionFixPrepare && c.tOp == op:
			// The twin is the prepare that the slot has to hold.
		case nextIsWhole && uint64(i) <= r.OpHead && op <= checkpointOp && (c.t == copyBad || c.tOp <= op):
			// The op is not needed any more, and nothing newer can have been in the slot.
		default:
			return &DamageError{uint64(i), letter,
				"it held an op that may have been acknowledged, and no copy of it is whole; restore the replica from a peer or a backup"}
		}
	}
	return nil
}

// mayBeTorn tells whether a crash can have left a slot in this state while op, the first behind the
// head, was being written into it. The disk writes the first sector of a twin as a whole or not at
// all, so its header is never bad. The twin of a small prepare may be older or torn. The twin of a
// large prepare is written when the prepare is durable, so until then it is older.
func mayBeTorn(c slotCopies, op uint64) bool {
	switch c.t {
	case copyTorn:
		return c.tOp == op
	case copyReserved:
		return c.p == copyBad
	case copyEntry, copyHeader:
		return c.p == copyBad && c.tOp < op
	}
	return false
}

// fix rewrites copies from the other ones. If it crashes, only the copy that was being rewritten is
// bad.
func (r *Recovered) fix(g *logFile, copies []slotCopies) error {
	for i := range uint64(len(copies)) {
		c := copies[i]
		_, a := decide(c, g.limits.PrepareMax(g.checkpointOp))
		header := prepare.Header(r.Headers[i*limits.HeaderBytes : (i+1)*limits.HeaderBytes])
		from, to := g.layout.PrepareAt(i), g.layout.TwinAt(i)
		switch {
		case a == actionFixTwin:
			if c.p == copyReserved {
				prepare.PutReserved(header, g.cluster, i)
			}
			r.TwinsFixed++
		case a == actionFixPrepare && c.tOp > g.checkpointOp:
			from, to = to, from
			r.PreparesFixed++
		default:
			continue
		}
		// The body of a prepare at or below the checkpoint was not read. Nothing will need it, so
		// the header is enough.
		buffer := g.scratch[:g.limits.SectorBytes]
		if isSmall(header, g.limits) && header.Op() > g.checkpointOp {
			buffer = g.scratch[:g.sectorsUp(header.SizeBytes())]
			if err := g.file.ReadAt(buffer, from); err != nil {
				return fmt.Errorf("reading slot %d of the log again: %w", i, err)
			}
		} else {
			clear(buffer)
			copy(buffer, header)
		}
		if err := g.file.WriteAt(buffer, to); err != nil {
			return fmt.Errorf("repairing slot %d of the log: %w", i, err)
		}
	}
	return nil
}

// logFile reads the two rings.
type logFile struct {
	file         ports.File
	limits       *limits.Limits
	layout       datafile.Layout
	cluster      wire.U128
	checkpointOp uint64
	scratch      []byte // memory of the size of a message
}

// readTwins fills headers, and the twins' part of copies. An unreadable sector counts as zeros.
func (g *logFile) readTwins(headers []byte, copies []slotCopies) {
	twinBytes, sectorBytes := uint64(g.limits.TwinBytes), uint64(g.limits.SectorBytes)
	perMessage := uint64(g.limits.MessageBytesMax) / twinBytes
	for first := uint64(0); first < uint64(len(copies)); first += perMessage {
		twins := g.scratch[:min(perMessage, uint64(len(copies))-first)*twinBytes]
		if g.file.ReadAt(twins, g.layout.TwinAt(first)) != nil {
			for at := uint64(0); at < uint64(len(twins)); at += sectorBytes {
				if sector := twins[at : at+sectorBytes]; g.file.ReadAt(sector, g.layout.TwinAt(first)+at) != nil {
					clear(sector)
				}
			}
		}
		for i := first; i < first+uint64(len(twins))/twinBytes; i++ {
			twin := twins[(i-first)*twinBytes:][:twinBytes]
			header := prepare.Header(twin[:limits.HeaderBytes])
			copy(headers[i*limits.HeaderBytes:], header)
			c := &copies[i]
			c.t, c.tOp = g.classify(header, i)
			switch {
			case c.t != copyEntry:
			case !isSmall(header, g.limits):
				c.t = copyHeader
			case c.tOp > g.checkpointOp && !isWhole(twin[:g.sectorsUp(header.SizeBytes())]):
				c.t = copyTorn
			}
		}
	}
}

// readPrepare returns the header of the prepare in a slot, or a header that is not valid. The body
// is read and verified only above the checkpoint, because no body below it is needed.
func (g *logFile) readPrepare(slot uint64) prepare.Header {
	sector := g.scratch[:g.limits.SectorBytes]
	header := prepare.Header(sector[:prepare.HeaderBytes])
	if err := g.file.ReadAt(sector, g.layout.PrepareAt(slot)); err != nil {
		clear(sector)
		return header
	}
	if kind, op := g.classify(header, slot); kind != copyEntry || op <= g.checkpointOp {
		return header
	}
	padded := g.scratch[:g.sectorsUp(header.SizeBytes())]
	if err := g.file.ReadAt(padded, g.layout.PrepareAt(slot)); err != nil || !isWhole(padded) {
		clear(sector)
	}
	return header
}

func (g *logFile) sectorsUp(bytes uint32) uint32 {
	return (bytes + g.limits.SectorBytes - 1) &^ (g.limits.SectorBytes - 1)
}

// isSmall tells whether the twin of a prepare is a whole copy.
func isSmall(h prepare.Header, l *limits.Limits) bool { return h.SizeBytes() <= l.TwinBytes }

// isWhole tells whether sectors that begin with a valid header are a prepare followed by zeros.
func isWhole(padded []byte) bool {
	size := prepare.Header(padded[:prepare.HeaderBytes]).SizeBytes()
	return prepare.ValidBody(padded[:size]) && allZero(padded[size:]) && prepare.Validate(padded[:size]) == nil
}

func (g *logFile) classify(h prepare.Header, slot uint64) (copyKind, uint64) {
	if !prepare.ValidHeader(h, g.cluster, g.limits.MessageBytesMax) {
		return copyBad, 0
	}
	op := h.Op()
	if op%uint64(g.limits.JournalSlotsCount) != slot {
		return copyBad, 0
	}
	if h.Command() == prepare.CommandReserved {
		if op != slot {
			return copyBad, 0
		}
		return copyReserved, op
	}
	return copyEntry, op
}

func allZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}
