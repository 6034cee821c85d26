package vsr

import (
	"fmt"
	"strings"
	"testing"

	"ledger/limits"
	"ledger/prepare"
	"ledger/wire"
)

// fixedLog is a log as a list of entries from op 0 on.
type fixedLog []Entry

func (l fixedLog) Entry(op uint64) Entry {
	if op < uint64(len(l)) {
		return l[op]
	}
	return Entry{Header: Header{Op: op, Blank: true}}
}

// The list with which a view is left: from the head down to what is committed, headers of the
// durable list first, blanks where nothing fits.
func TestFreeze(t *testing.T) {
	log := chained(1, 1, 1, 2, 2, 2, 2, 2, 2)
	other := chained(1, 1, 3)[3] // another op 3
	blank := func(op int) Entry { return Entry{Header: Header{Op: uint64(op), Blank: true}} }
	list := func(headers ...Header) (l List) {
		for _, h := range headers {
			l.Headers[l.Count] = h
			l.Count++
		}
		return l
	}
	known := func(ops ...int) (l fixedLog) {
		for op := range log {
			l = append(l, blank(op))
		}
		for _, op := range ops {
			l[op] = Entry{Header: log[op], IsHeld: true}
		}
		return l
	}
	log[8].Commit = 6
	replaced := known(0, 1, 2, 3, 4, 5)
	replaced[3].Header = other
	for _, c := range []struct {
		what            string
		log             fixedLog
		durable         List
		head, commitMax uint64
		want            string // head first: an op, b for a blank
	}{
		{"all is known", known(0, 1, 2, 3, 4, 5), list(log[0]), 5, 2, "5432"},
		{"down to op 0", known(0, 1), list(log[0]), 1, 0, "10"},
		{"all is committed", known(0, 1, 2), list(log[0]), 2, 2, "2"},
		{"more is committed than is here", known(0, 1, 2), list(log[0]), 2, 7, "2"},
		{"a hole", known(0, 1, 2, 5), list(log[0]), 5, 2, "5bb2"},
		{"a hole in the log that the durable list fills", known(0, 1, 5), list(log[3], log[2], log[1]), 5, 1, "5b321"},
		{"below the durable list all is committed", known(0, 1, 5), list(log[3], log[2]), 5, 0, "5b32"},
		{"a hook of the durable list", known(0, 1, 5), list(log[4], log[3], log[0]), 5, 0, "543"},
		{"the durable list ends above the head", known(0, 1), list(log[3], log[2], log[1]), 1, 1, "321"},
		{"a header that does not fit", replaced, list(log[0]), 5, 1, "54b21"},
		{"the durable list has the one that fits", replaced, list(log[3], log[2], log[1]), 5, 1, "54321"},
		{"the head knows more", known(0, 1, 2, 3, 4, 5, 6, 7, 8), list(log[0]), 8, 0, "876"},
		{"more than a pipeline", known(0, 1, 2, 3, 4, 5, 6, 7, 8, 9), list(log[0]), 9, 0, "987654321"},
	} {
		uncertain := Set{}
		uncertain.Add(17)
		l := Freeze(c.log, &c.durable, c.head, c.commitMax, &uncertain)
		got := ""
		for i := range l.Count {
			switch h := l.Headers[i]; {
			case h == (Header{Op: h.Op, Blank: true}):
				got += "b"
			case h == log[h.Op]:
				got += fmt.Sprint(h.Op)
			default:
				got += "?"
			}
			if l.Headers[i].Op != l.Head()-uint64(i) {
				t.Errorf("%s: %+v", c.what, l)
			}
		}
		if got != c.want || l.Uncertain != uncertain {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

// The two bits of a header, for every state of its slot.
func TestBits(t *testing.T) {
	log, others := chained(1, 1, 1), chained(2, 2, 2)
	for _, c := range []struct {
		what          string
		isBlank       bool // in the list
		entry         Entry
		present, nack bool
	}{
		{"held", false, Entry{Header: log[2], IsHeld: true}, true, false},
		{"never written", false, Entry{Header: log[2]}, false, true},
		{"empty", false, Entry{Header: Header{Op: 2, Blank: true}}, false, true},
		{"damaged", false, Entry{Header: log[2], IsFaulty: true}, false, false},
		{"damaged, nothing known", false, Entry{Header: Header{Op: 2, Blank: true}, IsFaulty: true}, false, false},
		{"another one", false, Entry{Header: others[2], IsHeld: true}, false, true},
		{"another one, damaged", false, Entry{Header: others[2], IsFaulty: true}, false, true},
		{"a blank, empty", true, Entry{Header: Header{Op: 2, Blank: true}}, false, true},
		{"a blank, never written", true, Entry{Header: log[2]}, false, true},
		{"a blank, damaged", true, Entry{Header: Header{Op: 2, Blank: true}, IsFaulty: true}, false, false},
		{"a blank, damaged, known now", true, Entry{Header: log[2], IsFaulty: true}, false, false},
		{"a blank, held now", true, Entry{Header: log[2], IsHeld: true}, false, false},
	} {
		l := List{Count: 3}
		l.Headers[0], l.Headers[1], l.Headers[2] = log[3], log[2], log[1]
		if c.isBlank {
			l.Headers[1] = Header{Op: 2, Blank: true}
		}
		entries := fixedLog{{Header: log[0], IsHeld: true}, {Header: Header{Op: 1, Blank: true}}, c.entry, {Header: log[3], IsHeld: true}}
		present, nack := l.Bits(entries)
		if present&1 == 0 || nack&1 != 0 || (present|nack)&4 != 0 { // the lowest is committed and not nacked
			t.Errorf("%s: neighbours %b, %b", c.what, present, nack)
		}
		if present&2 != 0 != c.present || nack&2 != 0 != c.nack {
			t.Errorf("%s: present %b, nack %b", c.what, present, nack)
		}
	}
}

// Each rule of a ballot is broken, and the reason names it.
func TestBallotCheck(t *testing.T) {
	log := chained(1, 1, 2, 3)
	log[4].Commit, log[3].Commit = 2, 1
	whole := func() Ballot {
		b := Ballot{LogView: 3, CommitMin: 2, CheckpointOp: 1, List: List{Count: 4}, Present: 0b1011, Nack: 0b0100}
		for i := range 4 {
			b.List.Headers[i] = log[4-i]
		}
		b.List.Uncertain.Add(6)
		return b
	}
	if b := whole(); b.Check(4, 3) != "" {
		t.Fatal(b.Check(4, 3))
	}
	blank := whole()
	blank.List.Headers[1] = Header{Op: 3, Blank: true}
	blank.Present = 0b1001
	if reason := blank.Check(4, 3); reason != "" {
		t.Fatal(reason)
	}
	fallen := blank // across the blank
	fallen.List.Headers[2].View, fallen.List.Headers[0].View = 3, 2
	for want, breaks := range map[string]func(b *Ballot){
		"its list has no header, or too many":  func(b *Ballot) { b.List.Count = 0 },
		"its list has no header, or too many ": func(b *Ballot) { b.List.Count = 5 },
		"its log_view is not of a view before": func(b *Ballot) { b.LogView = 4 },
		"its head is blank": func(b *Ballot) {
			b.List.Headers[0], b.Present = Header{Op: 4, Blank: true}, 0b1010
		},
		"it has bits of headers that are not in the list":     func(b *Ballot) { b.Present |= 0b10000 },
		"it has bits of headers that are not in the list ":    func(b *Ballot) { b.Nack |= 1 << 15 },
		"it has an op and nacks it":                           func(b *Ballot) { b.Present |= 0b0100 },
		"it has an op whose header it does not know":          func(b *Ballot) { b.List.Headers[1] = Header{Op: 3, Blank: true} },
		"it nacks an op that it knows to be committed":        func(b *Ballot) { b.Present, b.Nack = 0, 0b1000 },
		"it has executed what is not in its log":              func(b *Ballot) { b.CommitMin = 5 },
		"its checkpoint is of an op that it has not executed": func(b *Ballot) { b.CheckpointOp = 3 },
		"its head is uncertain":                               func(b *Ballot) { b.List.Uncertain.Add(4) },
		"its headers do not descend op by op":                 func(b *Ballot) { b.List.Headers[1].Op = 2 },
		"its headers do not descend op by op ":                func(b *Ballot) { b.List.Headers[3] = b.List.Headers[2] },
		"a blank says more than its op":                       func(b *Ballot) { b.List.Headers[1].Blank = true },
		"a header is of a view after log_view":                func(b *Ballot) { b.LogView = 2 },
		"a header commits itself":                             func(b *Ballot) { b.List.Headers[0].Commit = 4 },
		"a header commits itself ":                            func(b *Ballot) { b.List.Headers[0].Commit = 9 },
		"views or commits fall along the log":                 func(b *Ballot) { b.List.Headers[1].Commit, b.List.Headers[0].Commit = 2, 1 },
		"views or commits fall along the log ":                func(b *Ballot) { b.List.Headers[1].View, b.List.Headers[0].View = 3, 2 },
		"views or commits fall along the log  ":               func(b *Ballot) { *b = fallen },
		"a header is not that of the op before":               func(b *Ballot) { b.List.Headers[1].Checksum = wire.Checksum{9} },
	} {
		b := whole()
		breaks(&b)
		want = strings.TrimSpace(want)
		if got := b.Check(4, 3); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A start_view's list has no blanks, follows op by op down to what is committed, and may have hooks
// below.
func TestCheckStart(t *testing.T) {
	log := chained(1, 1, 1, 2, 2, 3, 3)
	whole := func() (l List) {
		for _, op := range []int{7, 6, 5, 2, 0} { // 2 and 0 are hooks
			l.Headers[l.Count] = log[op]
			l.Count++
		}
		return l
	}
	for _, c := range []struct {
		what   string
		breaks func(l *List)
		commit uint64
		want   string
	}{
		{"whole", func(l *List) {}, 5, ""},
		{"only the head", func(l *List) { l.Count = 1 }, 7, ""},
		{"nothing", func(l *List) { l.Count = 0 }, 5, "its list has no header, or too many"},
		{"too many", func(l *List) { l.Count = 8 }, 5, "its list has no header, or too many"},
		{"committed above the head", func(l *List) {}, 8, "its head is not within a pipeline of what is committed"},
		{"more than a pipeline", func(l *List) {}, 2, "its head is not within a pipeline of what is committed"},
		{"ends too early", func(l *List) { l.Count = 2 }, 5, "its list ends above what is committed"},
		{"a gap above the hooks", func(l *List) {}, 4, "its headers do not descend op by op"},
		{"hooks that do not descend", func(l *List) { l.Headers[4].Op = 2 }, 5, "its headers do not descend op by op"},
		{"of a later view", func(l *List) { l.Headers[0].View = 4 }, 5, "a header is of a view after log_view"},
		{"a blank", func(l *List) { l.Headers[1] = Header{Op: 6, Blank: true} }, 5, "its list has a blank"},
		{"uncertain", func(l *List) { l.Uncertain.Add(9) }, 5, "the log of a view has nothing uncertain"},
	} {
		l := whole()
		c.breaks(&l)
		if got := l.CheckStart(3, c.commit, 4); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

// A raw header is read, and a reserved one stands for a blank.
func TestHeaderOf(t *testing.T) {
	buffer := make([]byte, prepare.HeaderBytes)
	f := prepare.Fields{Op: 7, Commit: 5, View: 3, Parent: wire.Checksum{4}, SizeBytes: prepare.HeaderBytes, Command: prepare.CommandPrepare}
	h := prepare.Put(buffer, &f, prepare.Sum(nil))
	if got := HeaderOf(h); got != (Header{Op: 7, Commit: 5, View: 3, Parent: wire.Checksum{4}, Checksum: h.Checksum()}) {
		t.Errorf("%+v", got)
	}
	if got := HeaderOf(prepare.PutReserved(buffer, wire.U128{}, 9)); got != (Header{Op: 9, Blank: true}) {
		t.Errorf("%+v", got)
	}
}

// The sizes of lists are those of the pipeline.
func TestSizesOfLists(t *testing.T) {
	production := limits.Production()
	if production.PipelineOpsMax != PipelineMax || production.JournalSlotsCount > SlotsMax {
		t.Errorf("the pipeline has %d ops, the log %d slots", production.PipelineOpsMax, production.JournalSlotsCount)
	}
}

// A set is written and read again, bit by bit where the superblock has it.
func TestSetBytes(t *testing.T) {
	for _, op := range []uint64{0, 1, 7, 8, 63, 64, 1023, 1024, 1024*5 + 777} {
		var s Set
		s.Add(op)
		b := [SetBytes]byte{}
		s.Put(&b)
		for i := range b {
			want := byte(0)
			if slot := int(op % SlotsMax); slot/8 == i {
				want = 1 << (slot % 8)
			}
			if b[i] != want {
				t.Errorf("op %d: byte %d is %d, want %d", op, i, b[i], want)
			}
		}
		if ReadSet(&b) != s {
			t.Errorf("op %d is not read again", op)
		}
	}
}

// The highest op of a set, across the end of a lap.
func TestHighest(t *testing.T) {
	for _, head := range []uint64{0, 5, 1022, 1023, 5000} {
		s := Set{}
		if got := s.Highest(head); got != head {
			t.Errorf("an empty set above %d: %d", head, got)
		}
		for _, above := range []uint64{1, 2, 400, 1023} {
			s.Add(head + above)
			if got := s.Highest(head); got != head+above {
				t.Errorf("above %d: %d, want %d", head, got, head+above)
			}
		}
	}
}
