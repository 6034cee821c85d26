//go:build planted

package sim

import (
	"flag"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ledger/internal/mutate"
	"ledger/sim/planted"
)

var listFlag = flag.String("bugs", bugsList, "the list that has the bugs")

var huntFlag = flag.String("hunt", "", "name,name...: the bugs of the list to find; all of them are built in")

// TestHunt looks for each planted bug with seeds from 1 on, and then hunts once more with no bug
// planted. TestPlantedBugs builds and runs it, and repeats the lines with huntMark.
func TestHunt(t *testing.T) {
	bugs, err := mutate.Read(*listFlag)
	if err != nil {
		t.Fatal(err)
	}
	wanted := strings.Split(*huntFlag, ",")
	bugs = slices.DeleteFunc(bugs, func(b mutate.Bug) bool { return !slices.Contains(wanted, b.Name) })
	if len(bugs) != len(wanted) {
		t.Fatalf("-hunt=%s: %d of these bugs are in %s", *huntFlag, len(bugs), *listFlag)
	}
	deepest := uint64(0)
	for _, bug := range bugs {
		seedsMax, err := strconv.ParseUint(bug.Effort, 10, 64)
		if err != nil {
			t.Fatalf("%s: the effort is a number of seeds: %v", bug.Name, err)
		}
		start := time.Now()
		planted.Name = bug.Name
		found, others := hunt(seedsMax, bug.Reason)
		took := time.Since(start).Round(time.Millisecond)
		for _, f := range others {
			t.Logf("%s%s, seed %d: another failure, which does not count: %s", huntMark, bug.Name, f.Options.Seed, firstLine(f.Reason))
		}
		if found == nil {
			t.Errorf("%s: not found in %d seeds, %v: want a failure that matches %q, got %d others",
				bug.Name, seedsMax, took, bug.Reason, len(others))
			continue
		}
		deepest = max(deepest, found.Options.Seed)
		t.Logf("%s%s: found by seed %d, %v: %s", huntMark, bug.Name, found.Options.Seed, took, firstLine(found.Reason))
	}
	start := time.Now()
	planted.Name = ""
	found, _ := hunt(deepest, regexp.MustCompile(""))
	if found != nil {
		t.Errorf("the control hunt fails with no bug planted: %v", found)
		return
	}
	t.Logf("%s%s %d seeds, %v", huntMark, huntEnd, deepest, time.Since(start).Round(time.Millisecond))
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// hunt returns the failure of the first seed that fails for the reason, and those of the seeds
// before it that fail for another one.
func hunt(seedsMax uint64, reason *regexp.Regexp) (found *Failure, others []*Failure) {
	var next atomic.Uint64
	var lock sync.Mutex
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for {
				i := next.Add(1)
				lock.Lock()
				done := i > seedsMax || found != nil && i > found.Options.Seed
				lock.Unlock()
				if done {
					return
				}
				_, failure := run(Options{Seed: i, ShortLives: true, Several: *listFlag == clusterBugsList})
				if failure == nil {
					continue
				}
				lock.Lock()
				switch {
				case !reason.MatchString(failure.Reason):
					others = append(others, failure)
				case found == nil || i < found.Options.Seed:
					found = failure
				}
				lock.Unlock()
			}
		})
	}
	workers.Wait()
	if found != nil {
		others = slices.DeleteFunc(others, func(f *Failure) bool { return f.Options.Seed > found.Options.Seed })
	}
	return found, others
}
