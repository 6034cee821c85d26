package vsr

import "ledger/wire"

// several is the table's column for one of several replicas.
//
// Entries that contradict the durable headers are dropped first, before anything is concluded from
// them: a suffix that a view change truncated would else make an innocent torn slot look like a
// hole. Each slot is then judged for itself.
func (r *Result) several(in *Input) (*Result, *Refusal) {
	faults := 0
	r.OpHead, r.HeadChecksum = in.listHead()
	for i := range r.slots {
		s := r.slots[i].kept(in)
		r.CommitMax = max(r.CommitMax, s.committed())
	}
	for i := range r.slots {
		s, d := r.slots[i].kept(in), &r.Decisions[i]
		s.judge(in, r.CommitMax, d)
		if d.Verdict == Faulty {
			faults++
		}
		if held := r.Held(d.Op); held != nil && in.LogView == in.View && d.Op > r.OpHead {
			r.OpHead, r.HeadChecksum = held.Op, held.Checksum
		}
	}
	switch {
	case faults == len(r.slots):
		return nil, refuse("each of its %d slots is damaged; restore the data file from a backup, or replace the replica", faults)
	case r.OpHead < in.CheckpointOp:
		return nil, refuse("it ends at op %d, before the checkpoint of op %d", r.OpHead, in.CheckpointOp)
	}
	if in.LogView < in.View {
		r.Uncertain = in.Uncertain // frozen together with the list, whatever has become of the log since
		return r, nil
	}
	for op := r.OpHead + 1; op <= in.PrepareMax; op++ {
		if d := &r.Decisions[op%uint64(len(r.slots))]; d.Op == op && d.Verdict == Faulty {
			r.Uncertain.Add(op)
		}
	}
	return r, nil
}

// listHead is the head of the durable headers.
func (in *Input) listHead() (uint64, wire.Checksum) {
	if len(in.Headers) == 0 {
		return in.CheckpointOp, in.CheckpointChecksum
	}
	return in.Headers[0].Op, in.Headers[0].Checksum
}

// kept returns the slot without what contradicts the durable headers: such a copy is older than all
// others.
func (s *Slot) kept(in *Input) Slot {
	kept := *s
	for _, c := range [...]*Copy{&kept.P, &kept.T} {
		if c.Kind.names() && c.contradicts(in) {
			*c = Copy{Kind: c.Kind, IsUnread: c.IsUnread} // and what it says of commits is not believed
		}
	}
	return kept
}

// committed is what the copies say of earlier ops. A number vouches for the log that is here only
// if the prepare that has it counts. A later view may have committed other ops than this log has,
// so its numbers say nothing of them until its log is known here. An earlier view's ops are in it.
func (s *Slot) committed() (op uint64) {
	for _, c := range [...]*Copy{&s.P, &s.T} {
		if c.Kind.names() {
			op = max(op, c.Commit)
		}
	}
	return op
}

// contradicts tells whether the durable headers rule out that a prepare is in the log that log_view
// vouches for.
func (c *Copy) contradicts(in *Input) bool {
	if c.View > in.LogView {
		return true // written when a start_view had come that never became durable: not acknowledged
	}
	head, _ := in.listHead()
	if c.Op > head {
		return c.View < in.LogView // truncated: what lies above the list's head is of its view
	}
	for i := range in.Headers {
		if h := &in.Headers[i]; h.Op == c.Op {
			return !h.Blank && h.Checksum != c.Checksum
		}
	}
	return false
}

// judge decides on a slot of which dropped copies count as older. A slot is torn, and may be
// nacked, because of nothing but its own copies. This rests on the writes: both copies of a small
// prepare are durable each for itself; and a slot that is not clean is mended one copy after the
// other, a whole copy being left alone. So an op that was acknowledged reads as torn only after two
// faults.
func (s *Slot) judge(in *Input, commitMax uint64, d *Decision) {
	isTwinOf := s.T.Kind.names() && s.T.Op == d.Op // and was not dropped
	isPrepareOf := s.P.Kind == KindWhole && s.P.Op == d.Op
	d.Row, d.Held = s.row(in.PrepareMax), s.held(d.Op)
	d.Verdict = Clean
	switch d.Row {
	case 'H', 'I', 'J':
		d.Verdict = Cut
	case 'A', 'D':
		d.Verdict = Faulty
	case 'B', 'R':
		d.Verdict = Torn
	case 'C':
		d.Verdict = Torn
		if isTwinOf {
			d.Verdict = Faulty // the header proves that the prepare was durable
		}
	case 'E':
		d.Verdict = Faulty
		if isPrepareOf {
			d.Verdict = FixTwin // no write to another slot can have struck the twin, so the prepare is what it was
		}
	case 'G', 'M', 'S':
		if isPrepareOf {
			d.Verdict = FixTwin
		}
	case 'K', 'N':
		if isTwinOf {
			d.Verdict = Faulty
		}
	case 'O', 'T':
		if isTwinOf {
			d.Verdict = Faulty // which of them the log had, nothing here says
		}
	case 'Q':
		switch {
		case isTwinOf:
			d.Verdict = FixPrepare
		case s.P.Kind == KindBad:
			d.Verdict = Torn
		}
	}
	// What is committed may have been acknowledged here, and nobody needs to hear that it was not.
	if d.Verdict == Torn && d.Op <= commitMax {
		d.Verdict = Faulty
	}
	// A read that fails is not a nack: both copies may be good, and be read at the next start.
	if d.Verdict == Torn && (s.P.IsUnread || s.T.IsUnread) {
		d.Verdict = Faulty
	}
	if d.Verdict == Faulty || d.Verdict == Cut {
		d.Held = HeldNone
	}
}
