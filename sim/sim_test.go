package sim

import (
	"bufio"
	"flag"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ledger/stages/consensus"
)

var (
	seedsFlag = flag.Int("seeds", 200, "seeds that TestSeeds runs")
	linesFlag = flag.Int("trace-lines", 0, "how much of a failing run is shown")
	seedFlag  = flag.Uint64("seed", 0, "first seed of TestSeeds; 0: by the clock")
)

// Goal: whatever happens to one replica, what was acknowledged stays, replies are the model's, and it goes on when it can.
func TestSeeds(t *testing.T) {
	first, count := *seedFlag, *seedsFlag
	if first == 0 {
		first = uint64(time.Now().UnixNano()) % 1_000_000_000
	}
	if testing.Short() {
		count = min(count, 10)
	}
	start := time.Now()
	var sum Result
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
				sum.add(&result)
				lock.Unlock()
			}
		})
	}
	workers.Wait()
	t.Logf("%d seeds from %d in %v: %+v", count, first, time.Since(start).Round(time.Millisecond), sum)
}

func (r *Result) add(o *Result) {
	r.Steps += o.Steps
	r.ExchangesCount += o.ExchangesCount
	r.RequestsCount += o.RequestsCount
	r.OpsCount += o.OpsCount
	r.StartsCount += o.StartsCount
	r.CrashesCount += o.CrashesCount
	r.CheckpointsCount += o.CheckpointsCount
	r.RewrittenCount += o.RewrittenCount
	r.MergedCount += o.MergedCount
	r.PagesReadCount += o.PagesReadCount
	r.EvictionsCount += o.EvictionsCount
	r.PulsesCount += o.PulsesCount
	r.GroupsCount += o.GroupsCount
	r.BrinkCount += o.BrinkCount
	r.ForksCount += o.ForksCount
	r.DamagesCount += o.DamagesCount
	r.RefusalsCount += o.RefusalsCount
	r.FaultsCount += o.FaultsCount
	r.AccountsCount += o.AccountsCount
	r.TransfersCount += o.TransfersCount
	r.Bytes += o.Bytes
}

// Goal: what was found once stays found. Each line of the file: a seed, and why it is there.
func TestRegressions(t *testing.T) {
	file, err := os.Open("testdata/regressions")
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
		if _, err := Run(Options{Seed: seed}); err != nil {
			t.Errorf("%s: %v", reason, err)
		}
	}
}

// Goal: a seed is a run: twice the same steps, in the same order, at the same times.
func TestReplaysExactly(t *testing.T) {
	for seed := uint64(1); seed <= 4; seed++ {
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
	}
}

// Goal: the simulator can fail. Each planted bug is found within a bounded number of seeds.
func TestPlantedBugs(t *testing.T) {
	cases := []struct {
		name     string
		plant    consensus.Plant
		seedsMax uint64
	}{
		{"acknowledged before the sync", consensus.PlantAckBeforeSync, 10},
		{"a lost session", consensus.PlantLostSession, 20},
		{"replay ends one op early", consensus.PlantReplayStopsEarly, 10},
		{"a checksum that nobody looks at", consensus.PlantSkipVerify, 200},
		{"a block used again too early", consensus.PlantReuseEarly, 200},
	}
	for _, c := range cases {
		found := false
		for seed := uint64(1); seed <= c.seedsMax && !found; seed++ {
			if _, failure := run(Options{Seed: seed, Plant: c.plant}); failure != nil {
				found = true
				t.Logf("%s: seed %d: %s", c.name, seed, failure.Reason)
			}
		}
		if !found {
			t.Errorf("%s: %d seeds have not found it", c.name, c.seedsMax)
		}
	}
}
