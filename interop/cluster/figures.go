package cluster

import (
	"bufio"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// figures are those of a replica that a test looks at.
type figures struct {
	view, head, commit, executed, checkpoint uint64
}

var figureClient = http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// figures asks replica i. ok is false if it does not answer.
func (g *group) figures(i int) (f figures, ok bool) {
	wanted := map[string]*uint64{
		"ledger_consensus_view": &f.view, "ledger_consensus_head_op": &f.head, "ledger_consensus_commit_op": &f.commit,
		"ledger_apply_executed_op": &f.executed, "ledger_consensus_checkpoint_op": &f.checkpoint,
	}
	return f, g.scrape(i, wanted) == len(wanted)
}

// metric is one of replica i's: its name, with the labels if it has any. ok is false if the replica
// does not answer, or has none of this name.
func (g *group) metric(i int, name string) (value uint64, ok bool) {
	return value, g.scrape(i, map[string]*uint64{name: &value}) == 1
}

// scrape asks replica i for metrics, and returns how many of those that are wanted it has.
func (g *group) scrape(i int, wanted map[string]*uint64) (found int) {
	response, err := figureClient.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", g.metrics[i]))
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		name, text, _ := strings.Cut(lines.Text(), " ")
		if into := wanted[name]; into != nil {
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return 0
			}
			*into = uint64(value)
			found++
		}
	}
	return found
}

// alive fails the test if a replica has ended that should run.
func (g *group) alive(but ...int) {
	g.t.Helper()
	for i, process := range g.processes {
		if !slices.Contains(but, i) && !process.Running() {
			g.t.Fatalf("replica %d ended by itself", i)
		}
	}
}

// await polls until done says so, often enough to notice a state that soon passes.
func (g *group) await(what string, done func() bool) {
	g.t.Helper()
	g.awaitEvery(pollNext, what, done)
}

// awaitLasting waits for a state that lasts. It polls seldom, because the metrics of three replicas
// take 20 ms of a core, which the replicas need to come there.
func (g *group) awaitLasting(what string, done func() bool) {
	g.t.Helper()
	g.awaitEvery(pollLasting, what, done)
}

// awaitEvery polls with a pause between two looks.
func (g *group) awaitEvery(poll time.Duration, what string, done func() bool) {
	g.t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(poll) {
		if time.Now().After(deadline) {
			var all []string
			for i := range replicas {
				f, ok := g.figures(i)
				all = append(all, fmt.Sprintf("replica %d: answers %v, %+v", i, ok, f))
			}
			g.t.Fatalf("not within %v: %s\n%s", patience, what, strings.Join(all, "\n"))
		}
	}
}

// lagMax is the number of committed ops by which a replica that has caught up may be behind.
const lagMax = 16

// awaitCaughtUp waits until replica i has executed nearly all that any replica knows to be
// committed.
func (g *group) awaitCaughtUp(i int) {
	g.t.Helper()
	g.awaitLasting(fmt.Sprintf("replica %d has caught up", i), func() bool {
		g.t.Helper()
		g.alive()
		newest, executed := uint64(0), uint64(0)
		for j := range replicas {
			f, ok := g.figures(j)
			newest = max(newest, f.commit)
			if j == i {
				executed = f.executed
				if !ok {
					return false
				}
			}
		}
		return newest <= executed+lagMax
	})
}

// awaitEqual waits until all replicas have executed the same ops and have the same checkpoint. It
// needs a cluster without load.
func (g *group) awaitEqual() (f figures) {
	g.t.Helper()
	g.awaitLasting("all replicas have executed the same op and have the same checkpoint", func() bool {
		g.t.Helper()
		g.alive()
		var all [replicas]figures
		for i := range all {
			one, ok := g.figures(i)
			if !ok {
				return false
			}
			one.view = 0 // a backup may hear of a view late
			all[i] = one
		}
		f = all[0]
		return all[1] == f && all[2] == f && f.executed == f.commit && f.commit == f.head
	})
	return f
}

// newest is the highest view and the highest committed op that any replica tells, but some.
func (g *group) newest(but ...int) (newest figures) {
	for i := range replicas {
		if slices.Contains(but, i) {
			continue
		}
		if f, ok := g.figures(i); ok {
			newest.view, newest.commit = max(newest.view, f.view), max(newest.commit, f.commit)
		}
	}
	return newest
}
