package journal

import (
	"ledger/prepare"
	"ledger/storage/datafile"
	"ledger/vsr"
)

// Several is what recovery tells one of several replicas of its log. A single replica has nothing
// of it: its log is whole, or it does not start.
//
// The slots are those of the ops above the checkpoint, one for each op (vsr.Decision). The table of
// headers has, for each slot, the header of the prepare that the slot holds; or that of the durable
// list, if the prepare is missing; or of a prepare at or below the checkpoint, of which both copies
// are there, so that other replicas can have it; or else a reserved header.
type Several struct {
	CommitMax uint64 // committed, as far as the superblock and the prepares that count know; it may lie above the head
	// Uncertain ops lie above the head and may have been acknowledged here. If there are none, the
	// head is certain.
	Uncertain vsr.Set
	// Dirty has each slot whose header is known, and whose prepare is not on disk.
	Dirty vsr.Set
	// Faulty has each slot of which nothing proves what it held. Its op is neither present nor nacked,
	// and the next prepare is written into it one copy after the other.
	Faulty vsr.Set
}

// several judges and mends the log of one of several replicas. headers has the twins' headers and
// becomes the table.
func (g *logFile) several(in *vsr.Input, superblock *datafile.Superblock, slots []vsr.Slot, headers, prepares []byte) (*Recovered, error) {
	result, refusal := vsr.Recover(in, slots, make([]vsr.Decision, len(slots)))
	if refusal != nil {
		return nil, &DamageError{refusal.Slot, refusal.Row, refusal.Reason}
	}
	r := &Recovered{Headers: headers, OpHead: result.OpHead, HeadChecksum: result.HeadChecksum, Decisions: result.Decisions}
	r.Several.CommitMax, r.Several.Uncertain = result.CommitMax, result.Uncertain
	for i := range uint64(len(slots)) {
		if r.Decisions[i].Held != vsr.HeldTwin {
			copy(headerAt(headers, i), headerAt(prepares, i))
		}
	}
	if err := r.fix(g, slots); err != nil {
		return nil, err
	}
	r.tabulate(g, in, superblock, slots)
	return r, nil
}

// tabulate keeps the headers that count, and finds the slots that are dirty or faulty.
func (r *Recovered) tabulate(g *logFile, in *vsr.Input, superblock *datafile.Superblock, slots []vsr.Slot) {
	for i := range uint64(len(slots)) {
		header, s, d := headerAt(r.Headers, i), &slots[i], &r.Decisions[i]
		if d.Verdict == vsr.Faulty || d.Verdict == vsr.Cut {
			r.Faulty.Add(i) // a cut slot is not nacked either
		}
		isOlder := s.P.Kind == vsr.KindWhole && s.P.Op <= in.CheckpointOp && d.Row == 'P'
		switch {
		case d.Held != vsr.HeldNone && d.Op <= r.OpHead:
		case d.Held == vsr.HeldNone && isOlder:
		default: // nothing, or an op above the head, which is not of the log
			prepare.PutReserved(header, g.cluster, i)
		}
	}
	for i := range superblock.HeadersCount {
		known := prepare.Header(superblock.Headers[i][:])
		if known.Command() != prepare.CommandPrepare {
			continue // blank
		}
		slot := known.Op() % uint64(len(slots))
		if d := &r.Decisions[slot]; d.Op == known.Op() && d.Held == vsr.HeldNone {
			copy(headerAt(r.Headers, slot), known)
			r.Dirty.Add(slot)
		}
	}
}
