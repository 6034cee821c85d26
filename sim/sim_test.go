package sim

import (
	"bufio"
	"flag"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/internal/seeded"
)

var (
	seedsFlag = flag.Int("seeds", 10, "seeds that TestSeeds runs; make sim runs more")
	linesFlag = flag.Int("trace-lines", 0, "how much of a failing run is shown")
)

// coverageSeedsMin seeds meet everything that Coverage.Missing knows.
const coverageSeedsMin = 150

// The least size of the median seed.
const (
	opsMedianMin     = 2000
	crashesMedianMin = 3
)

// Goal: one replica under all simulated faults keeps what it acknowledged, gives the model's
// replies, and goes on when it can.
func TestSeeds(t *testing.T) {
	first, count := seeded.First(), *seedsFlag // each seed's failure says how to replay it
	if testing.Short() {
		count = min(count, 10)
	}
	collectSeldom(t)
	start, startCPU := time.Now(), processorTime(t)
	var sum Result
	var ops, crashes []int // of each seed
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
				result, err := Run(Options{Seed: first + i, TraceLines: *linesFlag})
				if err != nil {
					t.Errorf("%v\nreplay: go test ./sim -run '^TestSeeds$' -seeds=1 -seed=%d", err, first+i)
					return
				}
				lock.Lock()
				sum.Add(&result)
				ops, crashes = append(ops, result.OpsCount), append(crashes, result.CrashesCount)
				lock.Unlock()
			}
		})
	}
	workers.Wait()
	t.Logf("%d seeds from %d in %v: %+v", count, first, time.Since(start).Round(time.Millisecond), sum)
	if t.Failed() || count == 0 {
		return
	}
	seconds := (processorTime(t) - startCPU).Seconds() / float64(count)
	t.Logf("the median seed: %d ops, %d crashes; the mean seed: %.3f s of one core, so %.0f seeds per hour and core",
		median(ops), median(crashes), seconds, 3600/seconds)
	if count >= coverageSeedsMin && (isMedianBelow(ops, opsMedianMin) || isMedianBelow(crashes, crashesMedianMin)) {
		t.Errorf("the median seed has %d ops and %d crashes, want at least %d and %d", median(ops), median(crashes), opsMedianMin,
			crashesMedianMin)
	}
	if missing := sum.Coverage.Missing(); missing != "" && count >= coverageSeedsMin && !t.Failed() {
		t.Errorf("%d seeds have never met %s", count, missing)
	}
}

// collectSeldom trades memory for time, as cmd/clusters does: a seed leaves much behind, and needs
// little at a time.
func collectSeldom(t *testing.T) {
	if os.Getenv("GOGC") == "" {
		before := debug.SetGCPercent(400)
		t.Cleanup(func() { debug.SetGCPercent(before) })
	}
}

// processorTime is what this process has used so far, of all cores. The time of a run says little
// when other processes use them too.
func processorTime(t *testing.T) time.Duration {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// isMedianBelow tells whether seeds of which these are a sample have a median below least. Of a
// median that is just the least one, it allows three standard deviations fewer seeds than half.
func isMedianBelow(list []int, least int) bool {
	enough := 0
	for _, value := range list {
		if value >= least {
			enough++
		}
	}
	count := float64(len(list))
	return float64(enough) < count/2-1.5*math.Sqrt(count)
}

func median(list []int) int {
	slices.Sort(list)
	return list[len(list)/2]
}

// Goal: what was found once stays found. Each line of the file: a seed, and why it is there.
func TestRegressions(t *testing.T) { runRegressions(t, "testdata/regressions", Options{}) }

// runRegressions runs the seeds of a list.
func runRegressions(t *testing.T, list string, options Options) {
	file, err := os.Open(list)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		word, reason, _ := strings.Cut(line, " ")
		seed, err := strconv.ParseUint(word, 10, 64)
		if err != nil || reason == "" {
			t.Fatalf("line %q: want a seed and a reason", line)
		}
		options.Seed = seed
		if _, err := Run(options); err != nil {
			t.Errorf("%s: %v", reason, err)
		}
	}
}

// Goal: a seed is a run: twice the same steps, in the same order, at the same times. Among the
// seeds are worlds with one machine and with several.
func TestReplaysExactly(t *testing.T) {
	several, single := 0, 0
	for seed := uint64(1); several < 1 || single < 2; seed++ {
		first, err := Run(Options{Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		second, err := Run(Options{Seed: seed, Trace: true})
		if err != nil {
			t.Fatal(err)
		}
		if first != second {
			t.Errorf("seed %d: first %+v, then %+v", seed, first, second)
		}
		if first.MachinesCount > 1 {
			several++
		} else {
			single++
		}
	}
}
