package vsr

import (
	"testing"

	"ledger/wire"
)

// Goal: of every way in which up to six replicas may have told one of two ids of a checkpoint, or
// of another one, the standing is what counting says: a strict majority of all replicas decides,
// and who has told nothing is in none.
func TestStandingExhaustive(t *testing.T) {
	const op, after = 40, 60
	a, b, other := wire.Checksum{1}, wire.Checksum{2}, wire.Checksum{3}
	forms := []*CheckpointIDs{
		nil,
		{Op: op, ID: a, ParentID: other},    // it is the newest
		{Op: after, ID: other, ParentID: a}, // it is the one before
		{Op: op, ID: b, ParentID: a},
		{Op: after, ID: a, ParentID: b},
		{Op: after + 20, ID: a, ParentID: a}, // a later one
		{Op: op - 20, ID: b, ParentID: b},    // an earlier one
	}
	says := []int{0, 1, 1, 2, 2, 0, 0}
	for replicas := 1; replicas <= 6; replicas++ {
		q := QuorumsOf(replicas)
		total := 1
		for range replicas {
			total *= len(forms)
		}
		for number := range total {
			told, counts, own := make([]*CheckpointIDs, replicas), [3]int{}, 0
			for i, rest := 0, number; i < replicas; i, rest = i+1, rest/len(forms) {
				told[i] = forms[rest%len(forms)]
				word := says[rest%len(forms)]
				counts[word]++
				if i == replicas-1 {
					own = word
				}
			}
			want := StandingUnknown
			switch {
			case own == 0:
			case counts[own] > replicas/2:
				want = StandingAgrees
			case counts[3-own] > replicas/2:
				want = StandingDiffers
			case counts[0] == 0:
				want = StandingSplit
			}
			self := &CheckpointIDs{}
			if told[replicas-1] != nil {
				self = told[replicas-1]
			}
			if got := StandingOf(&q, self, op, after, told); got != want {
				t.Fatalf("%d replicas, way %d: standing %d, want %d (%v told one id, %v the other)", replicas, number, got, want, counts[1], counts[2])
			}
		}
	}
}
