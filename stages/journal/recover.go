package journal

import (
	"fmt"

	"ledger/limits"
	"ledger/ports"
	"ledger/prepare"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/wire"
)

// copyKind is what one of the two places of a slot holds.
type copyKind uint8

const (
	copyBad      copyKind = iota // checksum, cluster, slot or body wrong
	copyReserved                 // never used
	copyEntry                    // a prepare
)

// slotCopies is what is known of a slot: H is the redundant header, P the prepare.
type slotCopies struct {
	h, p       copyKind
	hOp, pOp   uint64
	sameHeader bool // both entries, with equal checksums
}

// action that a single replica takes on a slot.
type action uint8

const (
	actionClean  action = iota // nothing to do
	actionFix                  // trust the prepare, rewrite the redundant header
	actionDamage               // refuse, unless the slot is the torn one or is not needed
	actionRefuse               // refuse: no crash of one replica leads here
)

// decide is the decision table of consensus 8.3 for a single replica. opMax is the highest op of any valid prepare, prepareMax
// the highest that may have been prepared. The letter names the table's row.
func decide(s slotCopies, prepareMax uint64) (letter byte, a action) {
	switch {
	case s.p == copyEntry && s.pOp > prepareMax:
		return 'H', actionRefuse
	case s.h == copyEntry && s.p == copyEntry && s.hOp > prepareMax:
		return 'I', actionRefuse
	case s.h == copyEntry && s.p == copyReserved && s.hOp > prepareMax:
		return 'J', actionRefuse
	case s.h == copyBad && s.p == copyBad:
		return 'A', actionDamage
	case s.h == copyReserved && s.p == copyBad:
		return 'B', actionDamage
	case s.h == copyEntry && s.p == copyBad:
		return 'C', actionDamage
	case s.h == copyBad && s.p == copyReserved:
		return 'D', actionFix
	case s.h == copyBad && s.p == copyEntry:
		return 'E', actionFix // row F, the head, is the same for us
	case s.h == copyReserved && s.p == copyEntry:
		return 'G', actionFix
	case s.h == copyEntry && s.p == copyReserved:
		return 'K', actionDamage
	case s.h == copyReserved && s.p == copyReserved:
		return 'L', actionClean
	case s.hOp < s.pOp:
		return 'M', actionFix
	case s.hOp > s.pOp:
		return 'N', actionDamage
	case !s.sameHeader:
		return 'O', actionDamage
	}
	return 'P', actionClean
}

// Recovered is the log as it was found.
type Recovered struct {
	OpHead       uint64           // highest op that is in the log
	HeadChecksum prepare.Checksum // of its header
	HeadStampNs  uint64           // its timestamp
	HeadersFixed int              // redundant headers that were rewritten
	TornOp       uint64           // op whose write the crash tore, never acknowledged; 0: none
	// Headers is the table "as it is on disk", raw: a bad header stays bad in it until its slot is written again.
	Headers []byte
}

// DamageError is a log that one replica cannot repair.
type DamageError struct {
	Slot   uint64
	Letter byte // row of the decision table, 0 for a gap in the chain
	Reason string
}

func (e *DamageError) Error() string {
	if e.Letter == 0 {
		return "the log is damaged: " + e.Reason
	}
	return fmt.Sprintf("the log is damaged at slot %d (case %c): %s", e.Slot, e.Letter, e.Reason)
}

// Fault is what a server reports when it refuses to start.
func (e *DamageError) Fault() storage.Fault {
	return storage.Fault{What: storage.FaultLog, Reason: e.Error()}
}

// Recover reads the log of a single replica, repairs redundant headers, and returns the head. headers is aligned memory of
// JournalSlotsCount * 256 bytes, scratch of at least MessageBytesMax.
//
// A crash leaves at most one torn entry, that of the op after the head, because one prepare is written at a time. Only that slot
// is given up, and only if its redundant header is readable and older. Any other damage to an op above the checkpoint is refused.
// Damage below the checkpoint does no harm, provided that the slot after the head is whole: then nothing was ever written above.
func Recover(file ports.File, l *limits.Limits, cluster wire.U128, checkpoint *storage.Checkpoint, headers, scratch []byte) (*Recovered, error) {
	layout := datafile.NewLayout(l)
	slots := uint64(l.JournalSlotsCount)
	headers = headers[:slots*limits.HeaderBytes]
	readHeaders(file, l, &layout, headers)

	copies := make([]slotCopies, slots)
	sums := make([]prepare.Checksum, slots) // of valid prepares
	parents := make([]prepare.Checksum, slots)
	stamps := make([]uint64, slots)
	r := &Recovered{Headers: headers}
	for i := range slots {
		c := &copies[i]
		h := prepare.Header(headers[i*limits.HeaderBytes : (i+1)*limits.HeaderBytes])
		c.h, c.hOp = classify(h, l, cluster, i)
		p := readPrepare(file, l, &layout, cluster, checkpoint.Op, i, scratch)
		c.p, c.pOp = classify(p, l, cluster, i)
		if c.p == copyEntry {
			sums[i], parents[i], stamps[i] = p.Checksum(), p.Parent(), p.Timestamp()
			c.sameHeader = c.h == copyEntry && h.Checksum() == sums[i]
			if c.pOp >= r.OpHead {
				r.OpHead, r.HeadChecksum, r.HeadStampNs = c.pOp, sums[i], stamps[i]
			}
		}
	}
	if r.OpHead < checkpoint.Op {
		return nil, &DamageError{Reason: fmt.Sprintf("it ends at op %d, before the checkpoint of op %d", r.OpHead, checkpoint.Op)}
	}
	if checkpoint.Op > 0 && r.OpHead < l.CheckpointTrigger(checkpoint.Op) {
		return nil, &DamageError{Reason: fmt.Sprintf("it ends at op %d, but the checkpoint of op %d was taken at op %d",
			r.OpHead, checkpoint.Op, l.CheckpointTrigger(checkpoint.Op))}
	}
	if err := r.judge(l, copies, checkpoint.Op); err != nil {
		return nil, err
	}
	// The chain proves that nothing between the checkpoint and the head was replaced.
	parent := prepare.Checksum(checkpoint.PrepareChecksum)
	for op := checkpoint.Op + 1; op <= r.OpHead; op++ {
		i := op % slots
		if copies[i].p != copyEntry || copies[i].pOp != op {
			return nil, &DamageError{Reason: fmt.Sprintf("op %d is missing, the head is op %d", op, r.OpHead)}
		}
		if parents[i] != parent {
			return nil, &DamageError{Reason: fmt.Sprintf("op %d does not follow the op before it", op)}
		}
		parent = sums[i]
	}
	return r, r.fix(file, l, &layout, copies, cluster, l.PrepareMax(checkpoint.Op), scratch)
}

// judge refuses what one replica cannot repair and finds the torn slot.
func (r *Recovered) judge(l *limits.Limits, copies []slotCopies, checkpointOp uint64) error {
	slots := uint64(len(copies))
	tornSlot := (r.OpHead + 1) % slots
	prepareMax := l.PrepareMax(checkpointOp)
	next := copies[tornSlot]
	_, nextAction := decide(next, prepareMax)
	nextIsWhole := nextAction == actionClean || nextAction == actionFix
	for i, c := range copies {
		letter, a := decide(c, prepareMax)
		if a == actionClean || a == actionFix {
			continue
		}
		if a == actionRefuse {
			return &DamageError{uint64(i), letter, fmt.Sprintf("it holds an op above %d, which cannot have been prepared", prepareMax)}
		}
		// The op that the slot holds, or held, when the head was written.
		op := r.OpHead - (r.OpHead-uint64(i))%slots
		if uint64(i) > r.OpHead {
			op = 0 // first lap, above the head
		}
		hIsOlder := c.h == copyReserved || c.h == copyEntry && c.hOp <= r.OpHead
		switch {
		case uint64(i) == tornSlot && c.p == copyBad && hIsOlder:
			r.TornOp = r.OpHead + 1
		case nextIsWhole && uint64(i) <= r.OpHead && op <= checkpointOp && (c.h == copyBad || c.h == copyReserved || c.hOp <= op):
			// Not needed any more, and nothing newer can have been there.
		default:
			return &DamageError{uint64(i), letter, "it held an op that may have been acknowledged, and this is the only copy; restore the replica from a peer or a backup"}
		}
	}
	return nil
}

// fix rewrites the redundant headers of prepares that are whole.
func (r *Recovered) fix(file ports.File, l *limits.Limits, layout *datafile.Layout, copies []slotCopies, cluster wire.U128, prepareMax uint64, scratch []byte) error {
	perSector := int(l.SectorBytes / limits.HeaderBytes)
	for sector := 0; sector < len(copies)/perSector; sector++ {
		changed := false
		for i := sector * perSector; i < (sector+1)*perSector; i++ {
			c := copies[i]
			if _, a := decide(c, prepareMax); a != actionFix {
				continue
			}
			header := r.Headers[i*limits.HeaderBytes : (i+1)*limits.HeaderBytes]
			if c.p == copyReserved {
				prepare.PutReserved(header, cluster, uint64(i))
			} else {
				sectorBuffer := scratch[:l.SectorBytes]
				if err := file.ReadAt(sectorBuffer, layout.PrepareAt(uint64(i))); err != nil {
					return fmt.Errorf("reading the prepare of slot %d again: %w", i, err)
				}
				copy(header, sectorBuffer[:prepare.HeaderBytes])
			}
			changed = true
			r.HeadersFixed++
		}
		if !changed {
			continue
		}
		buffer := scratch[:l.SectorBytes]
		copy(buffer, r.Headers[sector*int(l.SectorBytes):])
		if err := file.WriteAt(buffer, layout.HeadersAt+uint64(sector)*uint64(l.SectorBytes)); err != nil {
			return fmt.Errorf("repairing the log's headers: %w", err)
		}
	}
	return nil
}

// readHeaders fills headers; an unreadable sector counts as zeros, that is as bad.
func readHeaders(file ports.File, l *limits.Limits, layout *datafile.Layout, headers []byte) {
	if file.ReadAt(headers, layout.HeadersAt) == nil {
		return
	}
	for at := uint64(0); at < uint64(len(headers)); at += uint64(l.SectorBytes) {
		sector := headers[at : at+uint64(l.SectorBytes)]
		if file.ReadAt(sector, layout.HeadersAt+at) != nil {
			clear(sector)
		}
	}
}

// readPrepare returns the header of the prepare in a slot, or a header that does not validate. The body is read and verified only
// above the checkpoint: below it nobody needs it.
func readPrepare(file ports.File, l *limits.Limits, layout *datafile.Layout, cluster wire.U128, checkpointOp, slot uint64, scratch []byte) prepare.Header {
	sector := scratch[:l.SectorBytes]
	header := prepare.Header(sector[:prepare.HeaderBytes])
	if err := file.ReadAt(sector, layout.PrepareAt(slot)); err != nil {
		clear(sector)
		return header
	}
	if kind, op := classify(header, l, cluster, slot); kind != copyEntry || op <= checkpointOp {
		return header
	}
	size := header.SizeBytes()
	padded := (size + l.SectorBytes - 1) / l.SectorBytes * l.SectorBytes
	if err := file.ReadAt(scratch[:padded], layout.PrepareAt(slot)); err != nil || !prepare.ValidBody(scratch[:size]) ||
		!allZero(scratch[size:padded]) || prepare.Validate(scratch[:size]) != nil {
		clear(sector)
	}
	return header
}

func classify(h prepare.Header, l *limits.Limits, cluster wire.U128, slot uint64) (copyKind, uint64) {
	if !prepare.ValidHeader(h, cluster, l.MessageBytesMax) {
		return copyBad, 0
	}
	op := h.Op()
	if op%uint64(l.JournalSlotsCount) != slot {
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
