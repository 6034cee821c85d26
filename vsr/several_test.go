package vsr

import (
	"flag"
	"fmt"
	"strings"
	"testing"
)

var longFlag = flag.Bool("long", false, "the exhaustive tests take every configuration, and a view and a crash more")

// Goal: one of several replicas never says of an op that it may have acknowledged that it did not,
// nor loses it to crashes alone, and says of what it cannot have acknowledged that it did not. All
// that can become of a slot is walked through: prepares of up to three views, small and large, with
// the same body and others; writes over what is clean, truncated or half mended; views that begin
// before they are durable; two crashes or more; any sectors of what is being written; one copy of
// each op that goes bad, or is not written at all.
func TestSlotOfSeveralExhaustive(t *testing.T) {
	shards := make([]map[string]int, 4)
	t.Run("shards", func(t *testing.T) {
		for oldSectors := range shards {
			t.Run(fmt.Sprintf("before-%d", oldSectors), func(t *testing.T) {
				t.Parallel()
				shards[oldSectors] = walkShard(t, oldSectors)
			})
		}
	})
	// Every row that a fault of one copy can lead to is reached, each verdict of it, and a write
	// into a slot of each row.
	for _, want := range strings.Split("A faulty,B torn,C faulty,C torn,D faulty,E faulty,E fix the twin,G fix the twin,K faulty,"+
		"L clean,M fix the twin,N faulty,O faulty,P clean,Q fix the prepare,Q torn,R torn,S fix the twin,T faulty,"+
		"A written,B written,C written,D written,E written,G written,K written,L written,M written,N written,O written,P written,"+
		"Q written,R written,S written,T written", ",") {
		count := 0
		for _, rows := range shards {
			count += rows[want]
		}
		if count == 0 {
			t.Errorf("never reached: %s", want)
		}
	}
	t.Log(shards)
}

func walkShard(t *testing.T, oldSectors int) map[string]int {
	rows := map[string]int{}
	for _, sizes := range sizesOf(*longFlag) {
		for variant := range 6 {
			isSameBody, isEager, isRagged := variant&1 != 0, variant/2 != 0, variant/2 == 2
			// A ragged medium does all that another one does, and twice as much.
			if !*longFlag && (isEager && oldSectors%2 != 0 || isEager && isSameBody == isRagged) {
				continue
			}
			w := newSlotWorld(t, sizes, oldSectors, isSameBody)
			w.isEager, w.isRagged = isEager, isRagged
			if *longFlag && !isEager {
				w.crashesMax = 3
			}
			w.walk()
			if w.failed {
				t.Fatalf("sizes %v, before them %d, the same body: %v, eager: %v, ragged: %v",
					sizes, oldSectors, isSameBody, isEager, isRagged)
			}
			for row, n := range w.rows {
				rows[row] += n
			}
		}
	}
	return rows
}

// The oracle finds replicas that do not keep the rules on which the table rests.
func TestSlotOfSeveralRests(t *testing.T) {
	for _, c := range []struct {
		breaks            string
		isEager, isRagged bool
		want              string
	}{
		{"acknowledges before log_view is durable", true, false, "is nacked"},
		{"writes the header of a large prepare beside it", false, false, "may neither be nacked nor read"},
		{"mends both copies at once", true, true, "is nacked"},
		{"acknowledges before the mend of recovery is durable", false, false, "is nacked"},
		{"writes before log_view is durable", false, false, "may neither be nacked nor read"},
	} {
		found := map[string]int{}
		for _, sizes := range [][]int{{2, 2}, {3, 2}} {
			w := newSlotWorld(t, sizes, 0, false)
			w.breaks, w.isEager, w.isRagged, w.found = c.breaks, c.isEager, c.isRagged, found
			w.walk()
		}
		isFound := false
		for reason := range found {
			isFound = isFound || strings.Contains(reason, c.want)
		}
		if !isFound {
			t.Errorf("a replica that %s is not found: %v", c.breaks, found)
		}
	}
}

func sizesOf(long bool) (all [][]int) {
	for a := 1; a <= 3; a++ {
		for b := 1; b <= 3; b++ {
			if !long {
				all = append(all, []int{a, b})
				continue
			}
			for c := 1; c <= 3; c++ {
				all = append(all, []int{a, b, c})
			}
		}
	}
	return all
}
