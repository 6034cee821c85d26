package vsr

import (
	"math/bits"
	"testing"
)

// The specification's table, 2.2.
func TestQuorums(t *testing.T) {
	for _, want := range []Quorums{
		{1, 1, 1, 1, 1}, {2, 2, 2, 1, 2}, {3, 2, 2, 2, 2}, {4, 2, 3, 3, 3}, {5, 3, 3, 3, 3}, {6, 3, 4, 4, 4},
	} {
		if got := QuorumsOf(want.Replicas); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

// What the quorums are for, over all sets of replicas: whoever chooses a log meets one of those who
// committed an op, two choices have a replica in common, and if a quorum nacks an op, those who
// may have acknowledged it are too few. With one replica less, none of these holds.
func TestQuorumsMeet(t *testing.T) {
	for n := 1; n <= 6; n++ {
		q := QuorumsOf(n)
		sets := func(count int, f func(set uint)) {
			for set := range uint(1) << n {
				if bits.OnesCount(set) == count {
					f(set)
				}
			}
		}
		meets := func(a, b int) bool {
			always := true
			sets(a, func(first uint) { sets(b, func(second uint) { always = always && first&second != 0 }) })
			return always
		}
		nacksProve := func(nacks int) bool { return n-nacks < q.Replication }
		if !meets(q.Replication, q.ViewChange) || !meets(q.ViewChange, q.ViewChange) || !nacksProve(q.Nack) {
			t.Errorf("%d replicas: %+v", n, q)
		}
		if n != 2 && meets(q.Replication, q.ViewChange-1) || nacksProve(q.Nack-1) {
			t.Errorf("%d replicas: a quorum is larger than it needs to be: %+v", n, q)
		}
	}
}

func TestQuorumsAreOfOneToSixReplicas(t *testing.T) {
	for _, n := range []int{-1, 0, 7} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%d replicas have quorums", n)
				}
			}()
			QuorumsOf(n)
		}()
	}
}

// The primary changes with each view, and each replica has its turn.
func TestPrimaryOf(t *testing.T) {
	for n := 1; n <= 6; n++ {
		q := QuorumsOf(n)
		for view := range uint32(20) {
			if got := q.PrimaryOf(view); got != int(view)%n {
				t.Errorf("view %d of %d replicas: %d", view, n, got)
			}
		}
		if got := q.PrimaryOf(1<<32 - 1); got != (1<<32-1)%n {
			t.Errorf("the last view of %d replicas: %d", n, got)
		}
	}
}
