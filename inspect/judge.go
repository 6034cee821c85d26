package inspect

import (
	"fmt"
	"io"
	"strings"
)

// Kinds of damage.
const (
	DamageSuperblock = "superblock copy"
	DamageTwin       = "twin"
	DamagePrepare    = "prepare"
	DamageLog        = "log" // no checksum is wrong, but entries are missing or contradict each other
	DamageTable      = "table"
	DamageTrailer    = "trailer"
	DamageCheckpoint = "checkpoint"
)

// States of slots of which there is nothing to say.
const (
	stateWhole  = "whole"
	stateUnused = "unused"
)

// Damage is one place of the file that is not as it was written.
type Damage struct {
	Kind    string  `json:"kind"`
	Copy    *int    `json:"copy,omitempty"`    // of the superblock
	Slot    *uint64 `json:"slot,omitempty"`    // of the log
	Tree    string  `json:"tree,omitempty"`    // of a table, or the name of the trailer
	Address uint64  `json:"address,omitempty"` // of a block
	Page    *uint32 `json:"page,omitempty"`    // of a block; 0 is the header page
	Offset  uint64  `json:"offset"`
	Reason  string  `json:"reason"`
}

// String names the place and the reason.
func (d *Damage) String() string {
	var b strings.Builder
	b.WriteString(d.Kind)
	if d.Copy != nil {
		fmt.Fprintf(&b, " %d", *d.Copy)
	}
	if d.Tree != "" {
		b.WriteString(" " + d.Tree)
	}
	if d.Slot != nil {
		fmt.Fprintf(&b, ", slot %d", *d.Slot)
	}
	if d.Address > 0 {
		fmt.Fprintf(&b, ", block %d", d.Address)
	}
	if d.Page != nil {
		fmt.Fprintf(&b, ", page %d", *d.Page)
		if *d.Page == 0 {
			b.WriteString(" (the header page)")
		}
	}
	fmt.Fprintf(&b, ", offset %d: %s", d.Offset, d.Reason)
	return b.String()
}

func textDamage(out io.Writer, damage []Damage) {
	for i := range damage {
		fmt.Fprintf(out, "damaged: %s\n", damage[i].String())
	}
}

// damages of all slots.
func (l *log) damages() (all []Damage) {
	for i := range l.slots {
		all = append(all, l.slots[i].damage...)
	}
	return all
}

// judge finds the head, and says of each slot what it is.
func (l *log) judge(f *File) {
	if l.superblock.ReplicasCount > 1 {
		l.judgeSeveral(f)
		return
	}
	l.head = 0
	opMax := f.limits.PrepareMax(l.superblock.Checkpoint.Op)
	for i := range l.slots {
		for _, c := range []*SlotCopy{&l.slots[i].Prepare, &l.slots[i].Twin} {
			if c.Kind == CopyWhole && c.Op <= opMax {
				l.head = max(l.head, c.Op)
			}
		}
	}
	for i := range l.slots {
		l.slots[i].damage, l.slots[i].State = nil, ""
		l.judgeSlot(&l.slots[i], opMax)
	}
	l.judgeChain(f)
}

func (s *Slot) wrong(kind string, c *SlotCopy, reason string) {
	slot := s.Slot
	s.damage = append(s.damage, Damage{Kind: kind, Slot: &slot, Offset: c.Offset, Reason: reason})
	if s.State == "" {
		s.State = "damaged"
	}
}

// judgeSlot tells damage from what a crash leaves, by these facts: one prepare is written at a
// time; its first sector is written as a whole; the twin of a small prepare is written beside it,
// the twin of a large one, which is its header, when the prepare is durable. So the only slots that
// may be between two states are that of the head and the one behind it.
func (l *log) judgeSlot(s *Slot, opMax uint64) {
	t, p := &s.Twin, &s.Prepare
	checkpointOp, isChanged := l.superblock.Checkpoint.Op, l.changed[s.Slot]
	isNext := s.Slot == (l.head+1)%uint64(len(l.slots))
	for _, c := range []*SlotCopy{t, p} {
		if c.names() && c.Op > opMax {
			s.wrong(DamageLog, c, fmt.Sprintf("it holds op %d, but none above %d can have been prepared", c.Op, opMax))
			return
		}
	}
	if isNext && l.isTorn(s) {
		s.State = fmt.Sprintf("torn: op %d was being written, and was never acknowledged", l.head+1)
		return
	}
	switch {
	case t.Kind == CopyBad:
		s.wrong(DamageTwin, t, t.Reason)
	case t.Kind == CopyTorn && t.Op <= checkpointOp && t.headerAlone:
		s.State = "whole: a start has repaired the twin with its header alone, because nothing needs its body"
	case t.Kind == CopyTorn && t.Op == l.head && p.Kind == CopyWhole && p.Op == t.Op && !isChanged:
		s.State = "the twin is half written: a start completes it"
	case t.Kind == CopyTorn:
		s.wrong(DamageTwin, t, t.Reason)
	}
	switch {
	case p.Kind == CopyBad:
		s.wrong(DamagePrepare, p, p.Reason)
	case p.Kind == CopyTorn && t.Kind == CopyWhole && t.Op == l.head && !isChanged:
		s.State = "the prepare is half written: a start completes it from its twin"
	case p.Kind == CopyTorn:
		s.wrong(DamagePrepare, p, p.Reason)
	}
	if s.State == "" {
		l.judgePair(s)
	}
}

// isTorn tells whether a crash while op head+1 was written leaves the slot so.
func (l *log) isTorn(s *Slot) bool {
	t, p := &s.Twin, &s.Prepare
	switch t.Kind {
	case CopyTorn:
		return t.Op == l.head+1 && p.Kind != CopyBad
	case CopyReserved:
		return p.Kind == CopyTorn
	case CopyWhole, CopyHeader:
		return p.Kind == CopyTorn && t.Op < l.head+1 && (p.Op == l.head+1 || p.Op == t.Op)
	}
	return false
}

// judgePair judges two right copies.
func (l *log) judgePair(s *Slot) {
	t, p := &s.Twin, &s.Prepare
	switch {
	case p.Kind == CopyReserved && t.Kind == CopyReserved:
		s.State = stateUnused
	case p.Kind == CopyWhole && t.Checksum == p.Checksum:
		s.State = stateWhole
	case p.Kind == CopyWhole && (t.Kind == CopyReserved || t.Op < p.Op) && p.Op == l.head:
		s.State = "the twin is not written yet: a start completes it"
	case p.Kind == CopyWhole && (t.Kind == CopyReserved || t.Op < p.Op):
		s.wrong(DamageTwin, t, fmt.Sprintf("it should be that of op %d: its last write is lost", p.Op))
	case t.Kind == CopyWhole && (p.Kind == CopyReserved || p.Op < t.Op) && t.Op == l.head:
		s.State = "the prepare is not written yet: a start completes it from its twin"
	case t.Op > p.Op || p.Kind == CopyReserved:
		s.wrong(DamagePrepare, p, fmt.Sprintf("it should be that of op %d: its last write is lost", t.Op))
	case t.Kind == CopyWhole && t.View != p.View:
		s.State = "two starts wrote this op: a start completes the newer one"
	default:
		s.wrong(DamageLog, p, fmt.Sprintf("prepare and twin are different prepares of op %d", p.Op))
	}
}

// held returns the copy that the slot of op is taken to hold, or nil.
func (l *log) held(op uint64) *SlotCopy {
	s := &l.slots[op%uint64(len(l.slots))]
	var best *SlotCopy
	for _, c := range []*SlotCopy{&s.Prepare, &s.Twin} {
		if c.Kind == CopyWhole && c.Op == op && (best == nil || c.View > best.View) {
			best = c
		}
	}
	return best
}

// judgeChain finds ops that are missing between the checkpoint and the head.
func (l *log) judgeChain(f *File) {
	s := l.superblock
	checkpoint, missing := &s.Checkpoint, func(op uint64, reason string) {
		slot := &l.slots[op%uint64(len(l.slots))]
		slot.wrong(DamageLog, &slot.Prepare, reason)
	}
	least := max(s.CommitMax, checkpoint.Op)
	if checkpoint.Op > 0 {
		least = max(least, f.limits.CheckpointTrigger(checkpoint.Op))
	}
	if l.head < least {
		missing(l.head+1, fmt.Sprintf("it ends at op %d, but op %d was on disk when the superblock was written", l.head, least))
		return
	}
	parent := hexOf(checkpoint.PrepareChecksum)
	for op := checkpoint.Op + 1; op <= l.head; op++ {
		c := l.held(op)
		if c == nil {
			if len(l.slots[op%uint64(len(l.slots))].damage) == 0 {
				missing(op, fmt.Sprintf("op %d is missing, the head is op %d", op, l.head))
			}
			parent = ""
			continue
		}
		if parent != "" && c.Parent != parent {
			missing(op, fmt.Sprintf("op %d does not follow the op before it", op))
		}
		parent = c.Checksum
	}
}
