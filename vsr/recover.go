package vsr

import (
	"fmt"

	"ledger/internal/assert"
	"ledger/wire"
)

// Verdict on a slot: what is done with it, and what its replica may say of the op that the slot
// stands for.
type Verdict uint8

const (
	Clean      Verdict = iota // nothing to do: the copies agree, or what they hold does not count any more
	FixTwin                   // trust the prepare, rewrite the twin
	FixPrepare                // trust the twin, rewrite the prepare
	Torn                      // a crash tore the op's first writes, so it was never acknowledged: as good as empty
	Faulty                    // the op may have been acknowledged, and nothing here proves which prepare it was
	Cut                       // what lies there is of an op that cannot have been prepared: as good as empty
	Refuse                    // a single replica may not start
)

func (v Verdict) String() string {
	return [...]string{"clean", "fix the twin", "fix the prepare", "torn", "faulty", "cut", "refuse"}[v]
}

// Held is the copy that has the prepare which the slot is taken to hold.
type Held uint8

const (
	HeldNone Held = iota
	HeldPrepare
	HeldTwin
)

// Decision on a slot.
type Decision struct {
	Op      uint64 // that the slot stands for: the one above the checkpoint
	Verdict Verdict
	Row     byte // of the decision table
	Held    Held // which copy has the prepare of Op
}

// Input is what the superblock and the limits say.
type Input struct {
	Replicas           int // of the cluster
	CheckpointOp       uint64
	CheckpointChecksum wire.Checksum // of the header of CheckpointOp
	TriggerOp          uint64        // at whose end the checkpoint was taken; 0 if there is none
	PrepareMax         uint64        // the highest op that may have been prepared
	CommitMax          uint64        // committed, as far as the superblock knows

	// Of several replicas only. Headers descend from the list's head, without a gap but for hooks at
	// their end; Uncertain is what was written beside them.
	View, LogView uint32
	Headers       []Header
	Uncertain     Set
}

// Result is the log as it is taken to be.
type Result struct {
	OpHead       uint64
	HeadChecksum wire.Checksum
	TornOp       uint64 // of a single replica: the one entry that it gives up; 0: none
	// Uncertain ops lie above the head and may have been acknowledged here. The head is certain if
	// there are none.
	Uncertain Set
	// CommitMax is what is known to be committed. Of several replicas, the prepares that count say it
	// as well as the superblock. It may lie above the head.
	CommitMax uint64
	Decisions []Decision
	slots     []Slot
}

// Certain tells whether every op that was acknowledged here is at or below the head.
func (r *Result) Certain() bool { return r.Uncertain.Empty() }

// Held returns the whole copy of op that its slot has, or nil.
func (r *Result) Held(op uint64) *Copy {
	slot := op % uint64(len(r.slots))
	switch d := &r.Decisions[slot]; {
	case d.Op != op || d.Held == HeldNone:
		return nil
	case d.Held == HeldTwin:
		return &r.slots[slot].T
	}
	return &r.slots[slot].P
}

// Entry is what a replica knows of an op right after recovery: the prepare if its slot has it, else
// the header that the durable list has.
func (r *Result) Entry(op uint64, list *List) Entry {
	d := &r.Decisions[op%uint64(len(r.slots))]
	e := Entry{Header: Header{Op: op, Blank: true}, IsFaulty: d.Op == op && d.Verdict == Faulty}
	if c := r.Held(op); c != nil {
		e.Header = Header{Op: op, Commit: c.Commit, View: c.View, Checksum: c.Checksum, Parent: c.Parent}
		e.IsHeld = true
	} else if h := list.find(op); h != nil {
		e.Header = *h
	}
	return e
}

// Present tells whether the log has the prepare of op with this checksum.
func (r *Result) Present(op uint64, checksum wire.Checksum) bool {
	c := r.Held(op)
	return c != nil && c.Checksum == checksum
}

// Nack tells whether the replica may say that it never acknowledged op, whatever its checksum. It
// may not of an op that is known to be committed, nor where a later op lay in the slot: that one
// was prepared because op was behind a checkpoint of a quorum.
func (r *Result) Nack(op uint64) bool {
	d := &r.Decisions[op%uint64(len(r.slots))]
	return d.Op == op && op > r.CommitMax && d.Held == HeldNone && (d.Verdict == Clean || d.Verdict == Torn)
}

// Refusal is a log that a replica may not go on with.
type Refusal struct {
	Slot   uint64
	Row    byte // of the decision table, 0 if it is not for a slot
	Reason string
}

// Recover judges the log. decisions has one entry for each slot and is filled in. Of several
// replicas, Held tells which copy counts, and what is mended is copied from it. A newer copy in the
// slot (TwinWins) may be one that was dropped.
func Recover(in *Input, slots []Slot, decisions []Decision) (*Result, *Refusal) {
	assert.AtMost(len(slots), SlotsMax, "slots of the log")
	assert.Equal(len(decisions), len(slots), "each slot has a decision")
	assert.AtMost(in.PrepareMax, in.CheckpointOp+uint64(len(slots)), "ops that may have been prepared")
	r := &Result{Decisions: decisions, slots: slots, CommitMax: in.CommitMax}
	for i := range decisions {
		decisions[i] = Decision{Op: opOf(uint64(i), in.CheckpointOp, uint64(len(slots)))}
	}
	if in.Replicas == 1 {
		return r.single(in)
	}
	return r.several(in)
}

// opOf returns the op above the checkpoint that belongs to a slot.
func opOf(slot, checkpointOp, slotsCount uint64) uint64 {
	first := checkpointOp + 1
	return first + (slot-first)%slotsCount
}

func refuseSlot(slot uint64, row byte, reason string) *Refusal { return &Refusal{slot, row, reason} }

func refuse(format string, arguments ...any) *Refusal {
	return &Refusal{Reason: fmt.Sprintf(format, arguments...)}
}
