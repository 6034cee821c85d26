package vsr

import "fmt"

// single is the table's column for a single replica.
//
// A crash leaves at most one torn entry, that of the op after the head, because one prepare is
// written at a time. Only that slot is given up, and only if nothing in it proves that the op was
// durable. Any other damage of an op above the checkpoint is refused. Damage at or below the
// checkpoint does no harm if the slot after the head is whole. In that case nothing was ever
// written above the head.
func (r *Result) single(in *Input) (*Result, *Refusal) {
	for i := range r.slots {
		s := &r.slots[i]
		held := &s.P
		if s.TwinWins() {
			held = &s.T
		}
		if held.Kind == KindWhole && held.Op >= r.OpHead {
			r.OpHead, r.HeadChecksum = held.Op, held.Checksum
		}
	}
	switch {
	case r.OpHead < in.CheckpointOp:
		return nil, refuse("it ends at op %d, before the checkpoint of op %d", r.OpHead, in.CheckpointOp)
	case r.OpHead < in.TriggerOp:
		return nil, refuse("it ends at op %d, but the checkpoint of op %d was taken at op %d", r.OpHead, in.CheckpointOp, in.TriggerOp)
	case r.OpHead < in.CommitMax:
		return nil, refuse("it ends at op %d, but op %d was on disk when the superblock was written", r.OpHead, in.CommitMax)
	}
	if refusal := r.findTorn(in); refusal != nil {
		return nil, refusal
	}
	// The chain of parents proves that no op between the checkpoint and the head was replaced.
	parent := in.CheckpointChecksum
	for op := in.CheckpointOp + 1; op <= r.OpHead; op++ {
		held := r.Held(op)
		if held == nil {
			return nil, refuse("op %d is missing, the head is op %d", op, r.OpHead)
		}
		if held.Parent != parent {
			return nil, refuse("op %d does not follow the op before it", op)
		}
		parent = held.Checksum
	}
	return r, nil
}

// alone is the verdict of a single replica on a row. Refuse holds unless the slot is the torn one
// or is not needed.
func (s *Slot) alone(row byte) Verdict {
	switch row {
	case 'L', 'P':
		return Clean
	case 'D', 'E', 'G', 'M':
		return FixTwin
	case 'S':
		return FixTwin
	case 'Q':
		return FixPrepare
	case 'T':
		if s.T.View > s.P.View {
			return FixPrepare
		}
		return FixTwin
	}
	return Refuse
}

// findTorn decides on each slot. It refuses damage that a single replica cannot repair, and finds
// the torn slot.
func (r *Result) findTorn(in *Input) *Refusal {
	count := uint64(len(r.slots))
	tornSlot := (r.OpHead + 1) % count
	next := &r.slots[tornSlot]
	nextVerdict := next.alone(next.row(in.PrepareMax))
	nextIsWhole := nextVerdict == Clean || nextVerdict == FixTwin || nextVerdict == FixPrepare && next.P.Kind != KindBad
	for i := range count {
		s, d := &r.slots[i], &r.Decisions[i]
		d.Row = s.row(in.PrepareMax)
		d.Verdict, d.Held = s.alone(d.Row), s.held(d.Op)
		if d.Verdict == Clean || d.Verdict == FixTwin {
			continue
		}
		if isBeyond(d.Row) {
			return refuseSlot(i, d.Row, fmt.Sprintf("it holds an op above %d, which cannot have been prepared", in.PrepareMax))
		}
		// op is the op that the slot had to hold when the head was written.
		op := r.OpHead - (r.OpHead-i)%count
		if i > r.OpHead {
			op = 0 // first lap, above the head
		}
		switch {
		case d.Verdict == FixPrepare && s.T.Op == op && op > in.CheckpointOp:
			// The twin is the prepare that the slot has to hold.
		case i == tornSlot && s.mayBeTorn(r.OpHead+1):
			r.TornOp, d.Verdict = r.OpHead+1, Torn
		case d.Verdict == FixPrepare && s.T.Op == op:
			d.Verdict = Clean // the twin is the prepare that the slot had to hold, and it is not needed any more
		case nextIsWhole && i <= r.OpHead && op <= in.CheckpointOp && (s.T.Kind == KindBad || s.T.Op <= op):
			d.Verdict = Faulty // the op is not needed any more, and nothing newer can have been in the slot
		default:
			return refuseSlot(i, d.Row,
				"it held an op that may have been acknowledged, and no copy of it is whole; restore the replica from a peer or a backup")
		}
	}
	return nil
}

// mayBeTorn tells whether a crash can have left a slot in this state while op, the first behind the
// head, was being written into it. The disk writes the first sector of a twin as a whole or not at
// all, so its header is never bad. The twin of a small prepare may be older or torn. The twin of a
// large prepare is written when the prepare is durable, so until then it is older.
func (s *Slot) mayBeTorn(op uint64) bool {
	switch s.T.Kind {
	case KindTorn:
		return s.T.Op == op
	case KindReserved:
		return s.P.Kind == KindBad
	case KindWhole, KindHeader:
		return s.P.Kind == KindBad && s.T.Op < op
	}
	return false
}
