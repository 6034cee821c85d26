package inspect

import (
	"fmt"
	"strings"
	"testing"

	"ledger/storage/datafile"
)

// Goal: what a crash leaves is no damage; the same copies anywhere else in the log are.
func TestJudge(t *testing.T) {
	const checkpointOp, head = 104, 114
	c := func(kind string, op uint64) SlotCopy {
		copied := SlotCopy{Kind: kind, Op: op, Checksum: fmt.Sprint("op ", op), Reason: "reason of " + kind}
		if kind == CopyWhole && op == 109 {
			copied.View = 2
		}
		return copied
	}
	other := func(copied SlotCopy, view uint32) SlotCopy {
		copied.View, copied.Checksum = view, "another"
		return copied
	}
	alone := c(CopyTorn, 103)
	alone.headerAlone = true
	cases := []struct {
		name        string
		slotOf      uint64 // op
		twin        SlotCopy
		prepare     SlotCopy
		isChanged   bool
		want        string   // part of the state
		wantDamaged []string // kinds
	}{
		{"both whole", 109, c(CopyWhole, 109), c(CopyWhole, 109), false, stateWhole, nil},
		{"large", 109, c(CopyHeader, 109), c(CopyWhole, 109), false, stateWhole, nil},
		{"never used", 60, c(CopyReserved, 0), c(CopyReserved, 0), false, stateUnused, nil},

		{"next: prepare torn, the slot was never used", head + 1, c(CopyReserved, 0), c(CopyTorn, head+1), false, "torn", nil},
		{"next: prepare torn", head + 1, c(CopyWhole, head+1-64), c(CopyTorn, head+1), false, "torn", nil},
		{"next: body torn below the old header", head + 1, c(CopyHeader, head+1-64), c(CopyTorn, head+1-64), false, "torn", nil},
		{"next: both torn", head + 1, c(CopyTorn, head+1), c(CopyTorn, head+1), false, "torn", nil},
		{"next: twin torn, prepare old", head + 1, c(CopyTorn, head+1), c(CopyWhole, head+1-64), false, "torn", nil},
		{"next: no header", head + 1, c(CopyReserved, 0), c(CopyBad, 0), false, "damaged", []string{DamagePrepare}},
		{"elsewhere: prepare torn", 109, c(CopyReserved, 0), c(CopyTorn, 109), false, "damaged", []string{DamagePrepare}},
		{"elsewhere: twin torn", 109, c(CopyTorn, 109), c(CopyWhole, 109), false, "damaged", []string{DamageTwin}},
		{"elsewhere: both torn", 109, c(CopyTorn, 109), c(CopyTorn, 109), false, "damaged", []string{DamageTwin, DamagePrepare}},

		{"head: twin half written", head, c(CopyTorn, head), c(CopyWhole, head), false, "half written", nil},
		{"head: twin changed", head, c(CopyTorn, head), c(CopyWhole, head), true, "damaged", []string{DamageTwin}},
		{"head: twin not begun", head, c(CopyReserved, 0), c(CopyWhole, head), false, "not written yet", nil},
		{"head: twin old", head, c(CopyHeader, head-64), c(CopyWhole, head), false, "not written yet", nil},
		{"head: prepare half written", head, c(CopyWhole, head), c(CopyTorn, head), false, "half written", nil},
		{"head: prepare changed", head, c(CopyWhole, head), c(CopyTorn, head), true, "damaged", []string{DamagePrepare}},
		{"head: prepare not begun", head, c(CopyWhole, head), c(CopyReserved, 0), false, "not written yet", nil},

		{"old twin", 109, c(CopyWhole, 109-32), c(CopyWhole, 109), false, "damaged", []string{DamageTwin}},
		{"no twin", 109, c(CopyReserved, 0), c(CopyWhole, 109), false, "damaged", []string{DamageTwin}},
		{"old prepare", 109, c(CopyHeader, 109), c(CopyWhole, 109-32), false, "damaged", []string{DamagePrepare}},
		{"no prepare", 109, c(CopyHeader, 109), c(CopyReserved, 0), false, "damaged", []string{DamagePrepare}},
		{"bad twin", 109, c(CopyBad, 0), c(CopyWhole, 109), false, "damaged", []string{DamageTwin}},
		{"bad prepare", 109, c(CopyWhole, 109), c(CopyBad, 0), false, "damaged", []string{DamagePrepare}},
		{"both bad", 109, c(CopyBad, 0), c(CopyBad, 0), false, "damaged", []string{DamageTwin, DamagePrepare}},
		{"repaired below the checkpoint", 103, alone, c(CopyWhole, 103), false, "header alone", nil},
		{"torn below the checkpoint", 103, c(CopyTorn, 103), c(CopyWhole, 103), false, "damaged", []string{DamageTwin}},
		{"another start", 109, other(c(CopyWhole, 109), 3), c(CopyWhole, 109), false, "two starts", nil},
		{"another prepare", 109, other(c(CopyHeader, 109), 3), c(CopyWhole, 109), false, "damaged", []string{DamageLog}},
		{"beyond", 109, c(CopyWhole, 109), c(CopyWhole, 109+6400), false, "damaged", []string{DamageLog}},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			l := &log{superblock: &datafile.Copy{}, slots: make([]Slot, 64), changed: make([]bool, 64), head: head}
			l.superblock.Checkpoint.Op = checkpointOp
			s := &l.slots[test.slotOf%64]
			s.Slot, s.Twin, s.Prepare = test.slotOf%64, test.twin, test.prepare
			l.changed[s.Slot] = test.isChanged
			l.judgeSlot(s, 200)
			var kinds []string
			for _, d := range s.damage {
				kinds = append(kinds, d.Kind)
			}
			if !strings.Contains(s.State, test.want) || strings.Join(kinds, ",") != strings.Join(test.wantDamaged, ",") {
				t.Errorf("state %q, damage %v; want %q, %v", s.State, kinds, test.want, test.wantDamaged)
			}
		})
	}
}

// Goal: a sector that is half of another write is not taken for one that was changed.
func TestMostlyRight(t *testing.T) {
	right := make([]byte, 1024)
	for i := range 700 {
		right[i] = byte(1 + i%255)
	}
	for name, test := range map[string]struct {
		change func(found []byte)
		want   bool
	}{
		"equal":                     {func([]byte) {}, false},
		"a byte":                    {func(found []byte) { found[3] ^= 1 }, true},
		"a byte of the last sector": {func(found []byte) { found[600] ^= 1 }, true},
		"a byte of the zeros":       {func(found []byte) { found[1000] ^= 1 }, true},
		"zeros":                     {func(found []byte) { clear(found) }, false},
		"a sector never written":    {func(found []byte) { clear(found[512:]) }, false},
	} {
		found := append([]byte(nil), right...)
		test.change(found)
		if got := mostlyRight(right, found, 512); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
