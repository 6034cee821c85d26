//go:build planted

package sim

import (
	"flag"
	"fmt"
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

var fromOneFlag = flag.Bool("hunt-from-one", false, "hunt with the seeds from 1 on, not with the one that found a bug before")

// TestHunt looks for each planted bug, and then runs the seeds that have found them once more with
// no bug planted. TestPlantedBugs builds and runs it, and repeats the lines with huntMark.
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
	var seeds []uint64 // that have found bugs
	for _, bug := range bugs {
		seedsMax, hint, err := effortOf(bug.Effort)
		if err != nil {
			t.Fatalf("%s: %v", bug.Name, err)
		}
		start := time.Now()
		planted.Name = bug.Name
		found, others := hunt(seedsMax, hint, bug.Reason)
		took := time.Since(start).Round(time.Millisecond)
		for _, f := range others {
			t.Logf("%s%s, seed %d: another failure, which does not count: %s", huntMark, bug.Name, f.Options.Seed, firstLine(f.Reason))
		}
		if found == nil {
			t.Errorf("%s: not found in %d seeds, %v: want a failure that matches %q, got %d others",
				bug.Name, seedsMax, took, bug.Reason, len(others))
			continue
		}
		if seed := found.Options.Seed; !slices.Contains(seeds, seed) {
			seeds = append(seeds, seed)
		}
		t.Logf("%s%s: found by seed %d, %v: %s", huntMark, bug.Name, found.Options.Seed, took, firstLine(found.Reason))
		if hint != 0 && hint != found.Options.Seed {
			t.Logf("%s%s: seed %d does not find it any more; %s says which to try first", huntMark, bug.Name, hint, *listFlag)
		}
	}
	start := time.Now()
	planted.Name = ""
	for _, seed := range seeds {
		if failure := huntSeed(seed); failure != nil {
			t.Errorf("the control hunt fails with no bug planted: %v", failure)
		}
	}
	if !t.Failed() {
		t.Logf("%s%s %d seeds, %v", huntMark, huntEnd, len(seeds), time.Since(start).Round(time.Millisecond))
	}
}

// effortOf reads the effort of a bug: the number of seeds from 1 on that may be needed. Behind an @
// may stand the seed that is tried first, so that a run of the tests costs one seed for a bug that
// few seeds find. hint is 0 if there is none, or -hunt-from-one leaves it out.
func effortOf(effort string) (seedsMax, hint uint64, err error) {
	most, first, isGiven := strings.Cut(effort, "@")
	if seedsMax, err = strconv.ParseUint(most, 10, 64); err == nil && isGiven {
		hint, err = strconv.ParseUint(first, 10, 64)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("the effort %q is no number of seeds, with the seed to try first behind an @: %w", effort, err)
	}
	if *fromOneFlag {
		hint = 0
	}
	return seedsMax, hint, nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// huntSeed runs a seed as hunts do.
func huntSeed(seed uint64) *Failure {
	_, failure := run(Options{Seed: seed, ShortLives: true, Several: *listFlag == clusterBugsList})
	return failure
}

// hunt returns the failure of the first seed that fails for the reason, and those of the seeds
// before it that fail for another one. The seed hint comes before all others.
func hunt(seedsMax, hint uint64, reason *regexp.Regexp) (found *Failure, others []*Failure) {
	if hint != 0 {
		if failure := huntSeed(hint); failure != nil && reason.MatchString(failure.Reason) {
			return failure, nil
		}
	}
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
				failure := huntSeed(i)
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
