package consensus

import "testing"

// Goal: what is to be healed is told with each look. A line comes after a minute and every minute
// from then on, counts what came since it began, and one more comes when all is healed. What lasts
// less than a minute has no line.
func TestHealingTells(t *testing.T) {
	const second = 1_000_000_000
	var h healing
	total := Healing{BlocksRepaired: 100, BytesRepaired: 1000, PreparesRepaired: 7}
	if h.sees(5*second, total) != nil {
		t.Fatal("told, although nothing is to be healed")
	}
	for round := range uint64(2) {
		began := (10 + 1000*round) * second
		lines := 0
		for at := began; at <= began+150*second; at += second {
			now := total
			now.BlocksWanted, now.SlotsFaulty, now.BlocksRepaired = 3, 1, total.BlocksRepaired+(at-began)/second
			said := h.sees(at, now)
			if said == nil || said.BlocksWanted != 3 || said.BlocksRepaired != (at-began)/second || said.PreparesRepaired != 0 ||
				said.DurationNs != at-began || said.IsDone() {
				t.Fatalf("after %d s: %+v", (at-began)/second, said)
			}
			if said.IsLine {
				if lines++; at != began+uint64(lines)*60*second {
					t.Errorf("line %d after %d s", lines, (at-began)/second)
				}
			}
		}
		total.BlocksRepaired += 200
		said := h.sees(began+151*second, total)
		if said == nil || !said.IsLine || !said.IsDone() || said.BlocksRepaired != 200 || lines != 2 {
			t.Errorf("healed: %+v, %d lines before", said, lines)
		}
		if h.sees(began+152*second, total) != nil {
			t.Error("told again after all is healed")
		}
	}
	now := total
	now.PreparesMissing = 1
	if said := h.sees(5000*second, now); said == nil || said.IsLine {
		t.Errorf("at its beginning: %+v", said)
	}
	if said := h.sees(5030*second, total); said == nil || said.IsLine || !said.IsDone() {
		t.Errorf("after half a minute: %+v", said)
	}
}
