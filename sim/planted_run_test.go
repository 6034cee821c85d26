//go:build planted

package sim

import (
	"flag"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ledger/sim/planted"
)

var huntFlag = flag.String("hunt", "", "name:seeds,name:seeds...: the bugs to find")

// TestHunt looks for each planted bug with seeds from 1 on. TestPlantedBugs builds and runs it, and
// reads what it logs.
func TestHunt(t *testing.T) {
	for _, pair := range strings.Split(*huntFlag, ",") {
		name, count, _ := strings.Cut(pair, ":")
		seedsMax, err := strconv.ParseUint(count, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		planted.Name = name
		seed, failure := hunt(seedsMax)
		if failure == nil {
			t.Errorf("not found: %s, in %d seeds, %v", name, seedsMax, time.Since(start).Round(time.Millisecond))
			continue
		}
		reason, _, _ := strings.Cut(failure.Reason, "\n")
		t.Logf("found: %s, seed %d, %v: %s", name, seed, time.Since(start).Round(time.Millisecond), reason)
	}
}

// hunt returns the first seed that fails.
func hunt(seedsMax uint64) (seed uint64, failure *Failure) {
	var next atomic.Uint64
	var lock sync.Mutex
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for {
				i := next.Add(1)
				lock.Lock()
				done := i > seedsMax || failure != nil && i > seed
				lock.Unlock()
				if done {
					return
				}
				if _, found := run(Options{Seed: i}); found != nil {
					lock.Lock()
					if failure == nil || i < seed {
						seed, failure = i, found
					}
					lock.Unlock()
				}
			}
		})
	}
	workers.Wait()
	return seed, failure
}
