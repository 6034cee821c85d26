package inspect

import (
	"fmt"
	"io"
	"strings"

	"ledger/internal/ports"
	"ledger/limits"
	"ledger/stages/journal"
	"ledger/storage/datafile"
)

// WAL is the log: the ring of prepares and the ring of their twins, slot by slot.
type WAL struct {
	CheckpointOp uint64 `json:"checkpoint_op"`
	OpHead       uint64 `json:"op_head"`
	// CommitMax and Uncertain are of one of several replicas: the op up to which a start knows that
	// all is committed, and the ops above the head that may have been acknowledged here.
	CommitMax uint64   `json:"commit_max,omitempty"`
	Uncertain []uint64 `json:"uncertain_ops,omitempty"`
	// Verdict is how a start would judge the whole log.
	Verdict string   `json:"verdict"`
	Changed bool     `json:"changed"` // while it was read
	Slots   []Slot   `json:"slots"`
	Damaged []Damage `json:"damaged"` // of these slots
}

// WAL classifies all slots, or one: slot is its index, -1 means all.
func (f *File) WAL(slot int) (*WAL, error) {
	if slot >= int(f.limits.JournalSlotsCount) {
		return nil, fmt.Errorf("slot %d: the log has slots 0 to %d", slot, f.limits.JournalSlotsCount-1)
	}
	var r *WAL
	changed, err := f.settled(func(s *datafile.Copy) string {
		log := f.newLog(s)
		log.readAll([]reader{{f, f.scratch, f.buffer()}}, func(uint64) {})
		r = &WAL{CheckpointOp: log.superblock.Checkpoint.Op, OpHead: log.head, Verdict: f.verdict(log), Slots: log.slots,
			CommitMax: log.several.commitMax, Uncertain: log.several.uncertain}
		if log.isMoving(f) {
			r.Verdict = movingText
		}
		if slot >= 0 {
			r.Slots = log.slots[slot : slot+1]
		}
		r.Damaged = []Damage{}
		for i := range r.Slots {
			r.Damaged = append(r.Damaged, r.Slots[i].damage...)
		}
		if r.Verdict == movingText || strings.HasPrefix(r.Verdict, startsText) {
			return complaint(r.Damaged)
		}
		return r.Verdict + complaint(r.Damaged)
	})
	if err != nil {
		return nil, err
	}
	r.Changed = changed || r.Verdict == movingText
	return r, nil
}

// readOnly drops what a recovery would repair.
type readOnly struct{ ports.File }

func (readOnly) WriteAt([]byte, uint64) error { return nil }

const (
	startsText = "a start goes on from here"
	movingText = "a server writes to the log, so it is not judged as a whole"
)

// isMoving tells whether the log has a further op since it was read.
func (l *log) isMoving(f *File) bool {
	next := f.newLog(l.superblock)
	next.read(&reader{f, f.scratch, f.buffer()}, (l.head+1)%uint64(len(l.slots)))
	return next.held(l.head+1) != nil
}

// verdict is that of the recovery of a server.
func (f *File) verdict(l *log) string {
	s := l.superblock
	if s.ReplicasCount > 1 {
		return l.several.verdict
	}
	headers := f.memory.Bytes(uint64(f.limits.JournalSlotsCount)*limits.HeaderBytes, 4096, "inspect")
	recovered, err := journal.Recover(readOnly{f.file}, &f.limits, &s.Superblock, headers, f.scratch)
	switch {
	case err != nil:
		return "a start is refused: " + err.Error()
	case recovered.TornOp > 0:
		return fmt.Sprintf("%s, and gives up op %d, which was being written and was never acknowledged", startsText, recovered.TornOp)
	case recovered.TwinsFixed+recovered.PreparesFixed > 0:
		return fmt.Sprintf("%s, and repairs %d twins and %d prepares from their other copies", startsText, recovered.TwinsFixed,
			recovered.PreparesFixed)
	}
	return startsText
}

// Text implements Report.
func (r *WAL) Text(out io.Writer) {
	fmt.Fprintf(out, "checkpoint op %d, head op %d: %s\n", r.CheckpointOp, r.OpHead, r.Verdict)
	if len(r.Slots) == 1 {
		r.Slots[0].text(out)
	} else {
		table(out, func(row func(cells ...any)) {
			head := []any{"slot", "twin", "op", "prepare", "op", "view", "bytes", "operation", "state"}
			if r.Slots[0].Verdict != "" {
				head = append(head, "row", "verdict")
			}
			row(head...)
			for i := range r.Slots {
				s := &r.Slots[i]
				p := &s.Prepare
				if p.Kind != CopyWhole && s.Twin.names() {
					p = &s.Twin
				}
				cells := []any{s.Slot, s.Twin.Kind, s.Twin.opText(), s.Prepare.Kind, s.Prepare.opText(), p.View, p.SizeBytes, p.Operation, s.State}
				if s.Verdict != "" {
					cells = append(cells, s.Row, s.Verdict)
				}
				row(cells...)
			}
		})
	}
	textDamage(out, r.Damaged)
	textChanged(out, r.Changed)
}

func (s *Slot) text(out io.Writer) {
	fmt.Fprintf(out, "slot %d: %s\n", s.Slot, s.State)
	if s.Verdict != "" {
		fmt.Fprintf(out, "row %s of the decision table: %s\n", s.Row, s.Verdict)
	}
	for _, c := range []struct {
		name string
		copy *SlotCopy
	}{{"twin", &s.Twin}, {"prepare", &s.Prepare}} {
		fmt.Fprintf(out, "%s, offset %d: %s", c.name, c.copy.Offset, c.copy.Kind)
		if c.copy.Reason != "" {
			fmt.Fprintf(out, ": %s", c.copy.Reason)
		}
		fmt.Fprintln(out)
		if c.copy.names() {
			table(out, func(row func(cells ...any)) {
				row("  op", c.copy.Op)
				row("  view", c.copy.View)
				row("  checksum", c.copy.Checksum)
				row("  parent", c.copy.Parent)
				row("  checkpoint", c.copy.CheckpointID)
				row("  bytes", c.copy.SizeBytes)
				row("  timestamp", c.copy.Timestamp)
				row("  operation", c.copy.Operation)
				row("  requests", c.copy.Requests)
			})
		}
	}
}

func (c *SlotCopy) opText() string {
	if !c.names() {
		return "-"
	}
	return fmt.Sprint(c.Op)
}
