package inspect

import (
	"fmt"

	"ledger/stages/journal"
	"ledger/vsr"
)

// several is what a start of one of several replicas finds out about the whole log.
type several struct {
	verdict   string
	commitMax uint64
	uncertain []uint64
}

// judgeSeveral judges the log of one of several replicas by the rules of its recovery. What crashes
// leave is no damage: several slots may be between two states, and ops may be missing, because the
// other replicas have them. A slot is damaged if a copy has no right header, if a copy of what is
// committed is not whole, or if nothing here proves what the slot held.
func (l *log) judgeSeveral(f *File) {
	in := journal.InputOf(&f.limits, &l.superblock.Superblock)
	slots := make([]vsr.Slot, len(l.slots))
	for i := range l.slots {
		s := &l.slots[i]
		s.damage, s.State, s.Row, s.Verdict = nil, "", "", ""
		slots[i] = vsr.Slot{P: s.Prepare.asRecovered(in.CheckpointOp, false), T: s.Twin.asRecovered(in.CheckpointOp, true)}
	}
	decisions := make([]vsr.Decision, len(slots))
	result, refusal := vsr.Recover(&in, slots, decisions)
	l.several = several{commitMax: in.CommitMax}
	if refusal != nil {
		damage := journal.DamageError{Slot: refusal.Slot, Letter: refusal.Row, Reason: refusal.Reason}
		l.several.verdict = "a start is refused: " + damage.Error()
	} else {
		l.head, l.several.commitMax = result.OpHead, result.CommitMax
		for op := result.OpHead + 1; op <= in.PrepareMax; op++ {
			if result.Uncertain.Has(op) {
				l.several.uncertain = append(l.several.uncertain, op)
			}
		}
	}
	faulty, fixed := 0, 0
	for i := range l.slots {
		s, d := &l.slots[i], &decisions[i]
		s.Row, s.Verdict = string(d.Row), d.Verdict.String()
		switch d.Verdict {
		case vsr.Faulty:
			faulty++
		case vsr.FixTwin, vsr.FixPrepare:
			fixed++
		}
		l.judgeDecided(s, d)
	}
	if refusal == nil {
		l.several.verdict = l.several.describe(result, faulty, fixed)
	}
}

// asRecovered is a copy as the recovery of a server sees it, which does not look at bodies at or
// below the checkpoint.
func (c *SlotCopy) asRecovered(checkpointOp uint64, isTwin bool) vsr.Copy {
	kind := map[string]vsr.Kind{CopyWhole: vsr.KindWhole, CopyHeader: vsr.KindHeader, CopyReserved: vsr.KindReserved,
		CopyTorn: vsr.KindTorn, CopyBad: vsr.KindBad}[c.Kind]
	switch {
	case kind == vsr.KindTorn && c.Op <= checkpointOp:
		kind = vsr.KindWhole
	case kind == vsr.KindTorn && !isTwin:
		kind = vsr.KindBad
	}
	if kind == vsr.KindBad || kind == vsr.KindReserved {
		return vsr.Copy{Kind: kind, IsUnread: c.isUnread}
	}
	h := &c.header
	return vsr.Copy{Kind: kind, IsUnread: c.isUnread, View: h.View, Op: h.Op, Commit: h.Commit, Checksum: h.Checksum, Parent: h.Parent}
}

// judgeDecided says what a start does with a slot, and what of it is damage.
func (l *log) judgeDecided(s *Slot, d *vsr.Decision) {
	t, p := &s.Twin, &s.Prepare
	isCommitted := d.Op <= l.several.commitMax
	broken := func(c *SlotCopy, kind string) {
		if c.Kind == CopyBad || c.Kind == CopyTorn && c.Op == d.Op && isCommitted ||
			c.Kind == CopyTorn && c.Op < d.Op && d.Verdict != vsr.Torn && !c.headerAlone {
			s.wrong(kind, c, c.Reason)
		}
	}
	switch d.Verdict {
	case vsr.Torn:
		s.State = fmt.Sprintf("torn: op %d was being written, and was never acknowledged here", d.Op)
	case vsr.Cut:
		s.State = fmt.Sprintf("cut: the op in it cannot have been acknowledged; op %d is behind a checkpoint of the others", d.Op)
	case vsr.FixTwin:
		s.State = "a start completes the twin from the prepare"
	case vsr.FixPrepare:
		s.State = "a start completes the prepare from its twin"
	case vsr.Clean:
		s.State = stateWhole
		if p.Kind == CopyReserved && t.Kind == CopyReserved {
			s.State = stateUnused
		} else if d.Row != 'P' {
			s.State = "what it holds does not count any more"
		}
	}
	broken(t, DamageTwin)
	broken(p, DamagePrepare)
	if d.Verdict == vsr.Faulty && len(s.damage) == 0 {
		s.wrong(DamageLog, p, fmt.Sprintf("nothing proves what it held of op %d: the other replicas have it", d.Op))
	}
}

// describe says how a start goes on.
func (v *several) describe(r *vsr.Result, faulty, fixed int) string {
	text := startsText + " together with the other replicas"
	if fixed > 0 {
		text += fmt.Sprintf(", and repairs %d copies from the other ones", fixed)
	}
	if faulty > 0 {
		text += fmt.Sprintf(", and needs what %d slots held from them", faulty)
	}
	if !r.Certain() {
		text += fmt.Sprintf("; the head is uncertain, because %d ops above it may have been acknowledged here", len(v.uncertain))
	}
	return text
}
