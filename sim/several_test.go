package sim

import (
	"flag"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ledger/internal/seeded"
)

var (
	severalFlag = flag.Int("several-seeds", 8, "seeds that TestSeveralSeeds runs")
	shortFlag   = flag.Bool("short-lives", false, "TestSeveralSeeds leaves out the long lives")
)

// severalSharesMin is the number of seeds from which on the marks have their least shares.
const severalSharesMin = 150

// Goal: a cluster of several replicas under all simulated faults keeps what it acknowledged, gives
// the model's replies, and answers every client when the faults end. All replicas come to the same
// checkpoints.
func TestSeveralSeeds(t *testing.T) {
	first, count := seeded.First(), *severalFlag
	if testing.Short() {
		count = min(count, 5)
	}
	collectSeldom(t)
	start, startCPU := time.Now(), processorTime(t)
	var sum Result
	var ops, crashes []int // of each seed
	var reached MarksReached
	var lock sync.Mutex
	var next atomic.Uint64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= uint64(count) || t.Failed() {
					return
				}
				result, err := Run(Options{Seed: first + i, Several: true, ShortLives: *shortFlag, TraceLines: *linesFlag})
				if err != nil {
					t.Errorf("%v\nreplay: make cluster-seed SEED=%d SHORT=%v", err, first+i, *shortFlag)
					return
				}
				lock.Lock()
				sum.Add(&result)
				ops, crashes = append(ops, result.OpsCount), append(crashes, result.CrashesCount)
				reached.Add(&result.Marks)
				lock.Unlock()
			}
		})
	}
	workers.Wait()
	t.Logf("%d seeds from %d in %v\n%s", count, first, time.Since(start).Round(time.Millisecond), reached.Text(count))
	if t.Failed() || count == 0 {
		return
	}
	seconds := (processorTime(t) - startCPU).Seconds() / float64(count)
	t.Logf("the median seed: %d ops, %d crashes; the mean seed: %.3f s of one core, so %.0f seeds per hour and core",
		median(ops), median(crashes), seconds, 3600/seconds)
	if !*shortFlag && count >= severalSharesMin && (isMedianBelow(ops, opsMedianMin) || isMedianBelow(crashes, crashesMedianMin)) {
		t.Errorf("the median seed has %d ops and %d crashes, want at least %d and %d", median(ops), median(crashes), opsMedianMin,
			crashesMedianMin)
	}
	if missing := reached.Missing(count); missing != "" && count >= severalSharesMin {
		t.Errorf("of %d seeds, too few have met %s", count, missing)
	}
}

// Goal: a seed of a cluster is a run: twice the same steps, in the same order, at the same times.
func TestSeveralReplaysExactly(t *testing.T) {
	for seed := uint64(1); seed <= 2; seed++ {
		first, err := Run(Options{Seed: seed, Several: true, ShortLives: true})
		if err != nil {
			t.Fatal(err)
		}
		second, err := Run(Options{Seed: seed, Several: true, ShortLives: true, Trace: true})
		if err != nil {
			t.Fatal(err)
		}
		if first != second {
			t.Errorf("seed %d: first %+v, then %+v", seed, first, second)
		}
	}
}

// Goal: what the seeds of clusters found once stays found.
func TestSeveralRegressions(t *testing.T) {
	runRegressions(t, "testdata/regressions-clusters", Options{Several: true, ShortLives: true})
	if !testing.Short() {
		runRegressions(t, "testdata/regressions-clusters-long", Options{Several: true})
	}
}

// Goal: a mark that is missing is named, and chance alone names none.
func TestMissingMarks(t *testing.T) {
	least := markRules[MarkTornAppend].least
	full := func(runs int) (r MarksReached) {
		for i := range r.Runs {
			r.Runs[i] = runs
		}
		return r
	}
	for _, c := range []struct {
		runs, held int
		isMissing  bool
	}{
		{300, 300, false}, {300, 3 * least, false}, {300, 40, false}, {300, 38, true}, {300, 0, true}, {5000, 50 * least, false},
		{5000, 45 * least, true},
	} {
		r := full(c.runs)
		r.Runs[MarkTornAppend] = c.held
		if missing := r.Missing(c.runs); (missing != "") != c.isMissing {
			t.Errorf("%d of %d: %q", c.held, c.runs, missing)
		}
	}
}
