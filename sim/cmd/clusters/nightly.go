package main

import (
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"ledger/sim"
)

// nightly runs seeds of single replicas and of clusters, in turn, for a time. Each failure is
// shrunk, and has a file of its own beside the report.
type nightly struct {
	first uint64
	until time.Time
	short bool
	out   string // file of the report

	lock     sync.Mutex
	next     uint64
	kinds    [2]kindRun
	failures []string
}

// kindRun is what one kind of seeds has come to: 0 single replicas, 1 clusters.
type kindRun struct {
	seeds, failed int
	seconds       float64 // of one worker
	sum           sim.Result
	reached       sim.MarksReached
}

var kindNames = [2]string{"single replicas", "clusters"}

// marksSeedsMin is the number of seeds from which on a run has to meet everything.
const marksSeedsMin = 150

// shrinkRuns is the number of runs that are spent on a failure.
const shrinkRuns = 80

// traceKept is the number of lines of a shrunk trace that are written.
const traceKept = 400

// firstSeed reads clock, commit or a number.
func firstSeed(from string) (uint64, error) {
	switch from {
	case "clock":
		return uint64(time.Now().UnixNano())%1_000_000_000 + 1, nil
	case "commit":
		commit, err := exec.Command("git", "rev-parse", "HEAD").Output()
		if err != nil {
			return 0, fmt.Errorf("-from=commit: git does not tell the commit (%w): give -from=clock or a number", err)
		}
		hash := fnv.New64a()
		_, _ = hash.Write(commit)
		return hash.Sum64()%1_000_000_000 + 1, nil
	}
	seed, err := strconv.ParseUint(from, 10, 64)
	if err != nil || seed == 0 {
		return 0, fmt.Errorf("-from=%s: want clock, commit or the number of the first seed", from)
	}
	return seed, nil
}

func (n *nightly) run() error {
	if err := os.MkdirAll(filepath.Dir(n.out), 0o755); err != nil {
		return err
	}
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(n.work)
	}
	workers.Wait()
	report := n.report()
	fmt.Print(report)
	if err := os.WriteFile(n.out, []byte(report), 0o644); err != nil {
		return err
	}
	if len(n.failures) > 0 {
		return fmt.Errorf("%d seeds fail: %s", len(n.failures), n.out)
	}
	for i := range n.kinds {
		if missing := n.kinds[i].missing(i); missing != "" && !n.short {
			return fmt.Errorf("%d seeds of %s have not met what they have to: %s", n.kinds[i].seeds, kindNames[i], missing)
		}
	}
	return nil
}

// work runs one seed after the other: of single replicas and of clusters in turn.
func (n *nightly) work() {
	for time.Now().Before(n.until) {
		n.lock.Lock()
		kind, seed := n.next%2, n.first+n.next/2
		n.next++
		n.lock.Unlock()
		options := sim.Options{Seed: seed, Several: kind == 1, ShortLives: n.short, TraceLines: traceKept}
		began := time.Now()
		result, err := sim.Run(options)
		seconds := time.Since(began).Seconds()
		text := ""
		if failure, ok := err.(*sim.Failure); ok {
			text = n.failed(failure)
		}
		n.lock.Lock()
		k := &n.kinds[kind]
		k.seeds++
		k.seconds += seconds
		if err != nil {
			k.failed++
			n.failures = append(n.failures, text)
		} else {
			k.sum.Add(&result)
			k.reached.Add(&result.Marks)
		}
		n.lock.Unlock()
	}
}

// failed shrinks a failure, writes its trace to a file, and describes it for the report.
func (n *nightly) failed(failure *sim.Failure) string {
	size, reason := failure.Size, firstLine(failure.Reason)
	least, runs := sim.Shrink(failure, shrinkRuns)
	replay := replayOf(&failure.Options)
	text := fmt.Sprintf("- seed %d: %s\n  - `%s`\n", failure.Options.Seed, reason, replay)
	if least != failure {
		replay = replayOf(&least.Options)
		text += fmt.Sprintf("  - shrunk in %d runs from %d steps, %d ops and %d faults to %d, %d and %d: %s\n  - `%s`\n", runs,
			size.Steps, size.Ops, size.Strikes, least.Size.Steps, least.Size.Ops, least.Size.Strikes, firstLine(least.Reason), replay)
	}
	name := filepath.Join(filepath.Dir(n.out), fmt.Sprintf("sim-failure-%d.txt", failure.Options.Seed))
	least.Trace = least.Trace[max(0, len(least.Trace)-traceKept):]
	if err := os.WriteFile(name, []byte(replay+"\n"+least.Error()+"\n"), 0o644); err != nil {
		return text + fmt.Sprintf("  - its trace could not be written: %v\n", err)
	}
	text += fmt.Sprintf("  - %s has the last %d lines of its trace\n", name, len(least.Trace))
	fmt.Print(text)
	return text
}

// replayOf is the command that runs a seed again.
func replayOf(o *sim.Options) string {
	text := fmt.Sprintf("go run ./sim/cmd/clusters -seed=%d", o.Seed)
	if !o.Several {
		text += " -single"
	}
	if o.ShortLives {
		text += " -short"
	}
	if o.Cuts != nil {
		text += fmt.Sprintf(" -cuts='%s'", o.Cuts)
	}
	return text
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// missing names what the seeds should have met.
func (k *kindRun) missing(kind int) string {
	switch count := k.seeds - k.failed; {
	case count < marksSeedsMin:
		return ""
	case kind == 1:
		return k.reached.Missing(count)
	}
	return k.sum.Coverage.Missing()
}

// report is the text of the run.
func (n *nightly) report() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# A long run of the simulator\n\nSeeds from %d on. A failure is replayed by its command, at the same commit.\n", n.first)
	b.WriteString("\n| | seeds | failures | ops | crashes | seconds of a seed | seeds per hour and worker |\n")
	b.WriteString("|---|---:|---:|---:|---:|---:|---:|\n")
	for i := range n.kinds {
		k := &n.kinds[i]
		mean := k.seconds / float64(max(1, k.seeds))
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %.2f | %.0f |\n", kindNames[i], k.seeds, k.failed, k.sum.OpsCount, k.sum.CrashesCount, mean,
			3600/max(mean, 0.001))
	}
	fmt.Fprintf(&b, "\n## Failures\n\n")
	for _, text := range n.failures {
		b.WriteString(text)
	}
	if len(n.failures) == 0 {
		b.WriteString("None.\n")
	}
	for i := range n.kinds {
		k := &n.kinds[i]
		fmt.Fprintf(&b, "\n## What the seeds of %s have met\n\n", kindNames[i])
		if i == 0 {
			fmt.Fprintf(&b, "```\n%s```\n", strings.TrimLeft(k.sum.Coverage.String(), "\n"))
		} else {
			b.WriteString(k.reached.Text(k.seeds - k.failed))
		}
		if missing := k.missing(i); missing != "" {
			fmt.Fprintf(&b, "\nMissing: %s.\n", missing)
		}
	}
	return b.String()
}
