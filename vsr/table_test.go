package vsr

import (
	"strings"
	"testing"

	"ledger/wire"
)

const tableMax = 100 // prepareMax of the tests of the table

// eachSlot calls f with every combination of what the two copies of a slot can hold. Its op is 37:
// 5 is of the lap before, and 133 is beyond what may be prepared.
func eachSlot(f func(s Slot)) {
	ops := []uint64{5, 37, 133}
	for _, t := range []Kind{KindBad, KindReserved, KindWhole, KindHeader, KindTorn} {
		for _, p := range []Kind{KindBad, KindReserved, KindWhole} {
			for _, tOp := range ops {
				for _, pOp := range ops {
					for view := range uint32(3) {
						for _, same := range []bool{false, true} {
							s := Slot{P: Copy{Kind: p, Op: pOp, View: 1}}
							s.T = Copy{Kind: t, Op: tOp, View: view, Checksum: wire.Checksum{1}}
							if same && t.names() && p == KindWhole && tOp == pOp && view == 1 {
								s.P.Checksum = s.T.Checksum
							}
							f(s)
						}
					}
				}
			}
		}
	}
}

// Every combination of what the two copies of a slot can hold matches one row of the table, and
// every row is reached.
func TestDecisionTableIsComplete(t *testing.T) {
	rows := map[byte]int{}
	eachSlot(func(s Slot) {
		row := s.row(tableMax)
		rows[row]++
		got := s.alone(row)
		if want := expectedAlone(&s); got != want || isBeyond(row) != isNamedBeyond(&s) {
			t.Fatalf("%+v: row %c gives %v, want %v", s, row, got, want)
		}
	})
	for _, row := range "ABCDEGHIJKLMNOPQRST" {
		if rows[byte(row)] == 0 {
			t.Errorf("row %c was never reached", row)
		}
	}
}

func isNamedBeyond(s *Slot) bool {
	return s.P.Kind == KindWhole && s.P.Op > tableMax || s.T.Kind.names() && s.T.Op > tableMax
}

// expectedAlone is the table's column for one replica, written the other way round: by what is
// trusted.
func expectedAlone(s *Slot) Verdict {
	whole, named := s.P.Kind == KindWhole, s.T.Kind.names()
	if isNamedBeyond(s) {
		return Refuse
	}
	same := whole && named && s.P.Checksum == s.T.Checksum
	switch {
	case s.T.Kind == KindWhole && (!whole || s.T.Op > s.P.Op || s.T.Op == s.P.Op && s.T.View > s.P.View):
		return FixPrepare
	case same:
		if s.T.Kind == KindTorn {
			return FixTwin
		}
		return Clean
	case whole && named && s.T.Op == s.P.Op && (s.T.Kind == KindHeader || s.T.Kind == KindWhole && s.T.View == s.P.View):
		return Refuse
	case whole && (!named || s.T.Op <= s.P.Op):
		return FixTwin
	case s.P.Kind == KindReserved && s.T.Kind == KindReserved:
		return Clean
	case s.P.Kind == KindReserved && s.T.Kind == KindBad:
		return FixTwin
	}
	return Refuse
}

// The column for several replicas, over every combination and with each copy dropped or not, the
// other way round: by what the slot is worth.
func TestDecisionTableOfSeveral(t *testing.T) {
	verdicts := map[Verdict]int{}
	eachSlot(func(s Slot) {
		for dropped := range 4 {
			for variant := range 8 {
				commitMax := uint64(36 + variant&1)
				s := s
				s.P.IsUnread, s.T.IsUnread = variant&2 != 0 && s.P.Kind == KindBad, variant&4 != 0 && (s.T.Kind == KindBad || s.T.Kind == KindTorn)
				if dropped&1 != 0 && s.P.Kind.names() {
					s.P = Copy{Kind: s.P.Kind, IsUnread: s.P.IsUnread}
				}
				if dropped&2 != 0 && s.T.Kind.names() {
					s.T = Copy{Kind: s.T.Kind, IsUnread: s.T.IsUnread}
				}
				d := Decision{Op: 37}
				s.judge(&Input{PrepareMax: tableMax}, commitMax, &d)
				want := expectedAmongSeveral(&s, commitMax)
				verdicts[want]++
				if d.Verdict != want {
					t.Fatalf("%+v, committed %d: row %c gives %v, want %v", s, commitMax, d.Row, d.Verdict, want)
				}
			}
		}
	})
	for _, v := range []Verdict{Clean, FixTwin, FixPrepare, Torn, Faulty, Cut} {
		if verdicts[v] == 0 {
			t.Errorf("no slot is %v", v)
		}
	}
}

func expectedAmongSeveral(s *Slot, commitMax uint64) Verdict {
	if isNamedBeyond(s) {
		return Cut
	}
	whole, twin := s.P.Kind == KindWhole && s.P.Op == 37, s.T.Kind.names() && s.T.Op == 37
	torn := Torn
	if commitMax >= 37 || s.P.IsUnread || s.T.IsUnread {
		torn = Faulty
	}
	switch {
	case s.T.Kind == KindBad:
		if whole {
			return FixTwin
		}
		return Faulty
	case whole && twin && s.T.Kind != KindTorn:
		if s.P.Checksum == s.T.Checksum {
			return Clean
		}
		return Faulty
	case whole:
		return FixTwin
	case s.T.Kind == KindTorn && !(s.P.Kind == KindWhole && s.P.Op >= s.T.Op && !twin):
		return torn
	case twin && s.T.Kind == KindWhole:
		return FixPrepare
	case twin:
		return Faulty
	case s.P.Kind == KindBad:
		return torn
	}
	return Clean
}

// A set takes each op of a lap, and no other is in it then.
func TestSet(t *testing.T) {
	var s Set
	if !s.Empty() {
		t.Fatal("a new set is not empty")
	}
	s.Add(5000)
	for op := uint64(4500); op < 4500+SlotsMax; op++ {
		if s.Has(op) != (op == 5000) {
			t.Fatalf("op %d: %v", op, s.Has(op))
		}
	}
}

// Each slot stands for one op above the checkpoint.
func TestOpOf(t *testing.T) {
	for checkpoint := range uint64(100) {
		for slot := range uint64(32) {
			if op := opOf(slot, checkpoint, 32); op%32 != slot || op <= checkpoint || op > checkpoint+32 {
				t.Fatalf("checkpoint %d, slot %d: op %d", checkpoint, slot, op)
			}
		}
	}
}

// A refusal of a log of which nothing is left, or that ends too early, says so.
func TestRefusalsOfSeveral(t *testing.T) {
	in := Input{Replicas: 3, PrepareMax: 8, Headers: []Header{{Op: 0}}}
	_, refusal := Recover(&in, make([]Slot, 8), make([]Decision, 8))
	if refusal == nil || !strings.Contains(refusal.Reason, "each of its 8 slots is damaged") {
		t.Fatalf("%+v", refusal)
	}
	slots := make([]Slot, 8)
	for i := range slots {
		slots[i] = Slot{P: Copy{Kind: KindReserved}, T: Copy{Kind: KindReserved}}
	}
	in.CheckpointOp, in.PrepareMax = 4, 12
	_, refusal = Recover(&in, slots, make([]Decision, 8))
	if refusal == nil || !strings.Contains(refusal.Reason, "ends at op 0, before the checkpoint of op 4") {
		t.Fatalf("%+v", refusal)
	}
}
