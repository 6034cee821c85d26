package vsr

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"ledger/internal/seeded"
)

// heal: nothing fails any more, so the cluster goes on, and all replicas have the same log.
func (w *world) heal(random *rand.Rand) string {
	w.reach, w.slow = 1<<len(w.nodes)-1, 0
	for _, n := range w.nodes {
		n.restart(random)
		if !n.up {
			return ""
		}
	}
	for range 40 {
		view := uint32(0)
		for _, n := range w.nodes {
			view = max(view, n.view)
		}
		if view >= worldViews {
			return ""
		}
		for _, n := range w.nodes {
			n.enter(view + 1)
			n.persist()
			n.vote()
		}
		for range 6 {
			w.begin(random, 100)
			w.spread(random, 100)
		}
		isDone := true
		for _, n := range w.nodes {
			first := w.nodes[0]
			isDone = isDone && n.status == statusNormal && n.head == first.head && n.entries[n.head].Header == first.entries[first.head].Header &&
				n.commitMin == n.head
		}
		if isDone || w.failure != "" {
			w.marks["healed"]++
			return w.failure
		}
	}
	text := strings.Builder{}
	for _, n := range w.nodes {
		fmt.Fprintf(&text, "\n%d: view %d, log_view %d, status %d, head %d, executed %d of %d, %+v", n.id, n.view, n.logView, n.status, n.head,
			n.commitMin, n.commitMax, n.entries[1:])
	}
	return "the cluster does not go on although each op is intact somewhere:" + text.String()
}

// Goal: the rules of this package, kept together, lose nothing that is committed, whatever crashes,
// tears, rots, is late or comes twice; and the cluster goes on afterwards. Random schedules, two to
// six replicas.
func TestWorld(t *testing.T) {
	random := seeded.Rand(t)
	runs := 3000
	if *longFlag {
		runs = 300_000
	}
	marks := map[string]int{}
	for run := range runs {
		seed := random.Uint64()
		if failure, w := oneWorld(seed, "", false); failure != "" {
			_, w = oneWorld(seed, "", true)
			t.Fatalf("run %d: %s\n%s", run, failure, strings.Join(w.trace, "\n"))
		} else {
			for mark, count := range w.marks {
				marks[mark] += count
			}
		}
	}
	for _, mark := range []string{"chosen", "wait", "truncated", "old write landed", "write waited for an old one",
		"uncertain head voted", "uncertain head followed", "healed"} {
		if marks[mark] < runs/500 {
			t.Errorf("too rare: %s: %v", mark, marks)
		}
	}
	t.Log(marks)
}

func oneWorld(seed uint64, breaks string, isTraced bool) (string, *world) {
	random := rand.New(rand.NewPCG(seed, 0))
	replicas := 3
	if random.IntN(3) == 0 {
		replicas = 2 + random.IntN(5)
	}
	w := newWorld(replicas, breaks)
	w.isTraced, w.isFaulty, w.isMixed, w.percent = isTraced, random.IntN(4) != 0, random.IntN(2) != 0, 25+random.IntN(60)
	w.slow = 2 * random.IntN(5)
	if failure := w.run(random, 40); failure != "" {
		return failure, w
	}
	return w.heal(random), w
}
