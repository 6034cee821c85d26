package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ledger/sim"
)

// part is a part of a long run. The file of its progress has a line for each seed:
//
//	SEED MACHINES OPS CRASHES MARKS(count of each, with commas)
//	SEED FAILS reason
//	commit NAME        of the source that runs the seeds behind it
//	cpu SECONDS        since the line of this kind before
type part struct {
	first, seeds  uint64
	until         time.Time
	progress, out string
	short         bool
	stop          context.Context // ends the part behind the seeds that are running

	savedAt      time.Time
	cpuBefore    float64
	done         map[uint64]bool
	machines     [7]int
	ops, crashes []int
	failures     []string
	reached      sim.MarksReached
	cpuSeconds   float64
	commits      []commitRun
}

// commitRun is the number of seeds that the source of a commit has run.
type commitRun struct {
	name  string
	seeds int
}

func (p *part) run() error {
	if err := p.read(); err != nil {
		return err
	}
	file, err := os.OpenFile(p.progress, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if err := p.put(file, "commit "+commitName()); err != nil {
		return err
	}
	var lock sync.Mutex
	var workers sync.WaitGroup
	next := p.first - 1
	p.savedAt, p.cpuBefore = time.Now(), processorSeconds()
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for {
				lock.Lock()
				for next++; p.done[next]; next++ {
				}
				seed := next
				lock.Unlock()
				if seed > p.seeds || time.Now().After(p.until) || p.stop.Err() != nil {
					return
				}
				line := lineOf(seed, p.short)
				lock.Lock()
				if strings.Contains(line, "FAILS") {
					fmt.Println(line)
				}
				err := p.put(file, line)
				if err == nil && time.Since(p.savedAt) > saveEvery {
					err = p.save(file)
				}
				if err != nil {
					fmt.Fprintln(os.Stderr, "clusters:", err)
				}
				lock.Unlock()
			}
		})
	}
	workers.Wait()
	if err := p.save(file); err != nil {
		return err
	}
	fmt.Print(p.summary())
	if len(p.failures) > 0 {
		return fmt.Errorf("%d of %d seeds fail", len(p.failures), len(p.done))
	}
	return nil
}

// put adds a line to the progress.
func (p *part) put(file *os.File, line string) error {
	if _, err := fmt.Fprintln(file, line); err != nil {
		return err
	}
	return p.take(line)
}

// saveEvery bounds what a killed part leaves out of the summary.
const saveEvery = time.Minute

// save counts the time since the last save, and writes the summary.
func (p *part) save(file *os.File) error {
	now := processorSeconds()
	if err := p.put(file, fmt.Sprintf("cpu %.1f", now-p.cpuBefore)); err != nil {
		return err
	}
	p.savedAt, p.cpuBefore = time.Now(), now
	if p.out == "" {
		return nil
	}
	return os.WriteFile(p.out, []byte(p.summary()), 0o644)
}

// commitName names the commit of the source: as the build has noted it, or else as git tells it.
func commitName() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		name, modified := "", ""
		for _, setting := range info.Settings {
			switch {
			case setting.Key == "vcs.revision":
				name = setting.Value[:min(12, len(setting.Value))]
			case setting.Key == "vcs.modified" && setting.Value == "true":
				modified = "-dirty"
			}
		}
		if name != "" {
			return name + modified
		}
	}
	name, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(name))
}

// lineOf runs a seed.
func lineOf(seed uint64, short bool) string {
	result, err := sim.Run(sim.Options{Seed: seed, Several: true, ShortLives: short, TraceLines: 1})
	if err != nil {
		reason, _, _ := strings.Cut(err.Error(), "\n")
		return fmt.Sprintf("%d FAILS %s", seed, reason)
	}
	return fmt.Sprintf("%d %d %d %d %s", seed, result.MachinesCount, result.OpsCount, result.CrashesCount, result.Marks.Encode())
}

// read takes the lines of the parts before.
func (p *part) read() error {
	p.done = map[uint64]bool{}
	file, err := os.Open(p.progress)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if err := p.take(lines.Text()); err != nil {
			return err
		}
	}
	return lines.Err()
}

// take counts a line.
func (p *part) take(line string) error {
	fields := strings.Fields(line)
	if len(fields) == 2 && fields[0] == "cpu" {
		seconds, err := strconv.ParseFloat(fields[1], 64)
		p.cpuSeconds += seconds
		return err
	}
	if len(fields) == 2 && fields[0] == "commit" {
		if n := len(p.commits); n == 0 || p.commits[n-1].name != fields[1] {
			p.commits = append(p.commits, commitRun{name: fields[1]})
		}
		return nil
	}
	if len(fields) < 3 {
		return fmt.Errorf("%s: the line %q is not one of a seed", p.progress, line)
	}
	seed, err := strconv.ParseUint(fields[0], 10, 64)
	if err != nil {
		return err
	}
	p.done[seed] = true
	if n := len(p.commits); n > 0 {
		p.commits[n-1].seeds++
	}
	if fields[1] == "FAILS" {
		p.failures = append(p.failures, line)
		return nil
	}
	var numbers [3]int
	for i := range numbers {
		if numbers[i], err = strconv.Atoi(fields[1+i]); err != nil {
			return err
		}
	}
	marks, err := sim.DecodeMarks(fields[len(fields)-1])
	if err != nil {
		return err
	}
	p.machines[min(numbers[0], 6)]++
	p.ops, p.crashes = append(p.ops, numbers[1]), append(p.crashes, numbers[2])
	p.reached.Add(&marks)
	return nil
}

const summaryHead = `# Clusters in the simulator

Written by "make cluster-long", which goes on where clusters.progress beside this page ends. [sim/doc.go](../sim/doc.go) says what
a seed is. "go run ./sim/cmd/clusters -seed=N" replays one and prints what the replicas say to each other.

Each seed runs the production stages of 2 to 6 replicas on disks, clocks and a network that the seed controls. Machines crash,
lose power, stand still and are away for long. The network cuts, delays and changes bytes. Disks fail, are slow, and damage logs and
blocks. Clocks jump, and data files are lost and replaced. Some seeds have standbys, an upgrade under load, a change of keys, or an
attacker between the replicas. In the end all faults stop: each client must get its reply, queries must find the state of the
model, and all replicas must come to the same op and the same checkpoint.

A mark is something that a run has met. The table says in how many seeds, the least share of seeds that has to meet it, and how
often it was met in all. At the end stands how often each kind of fault came.

`

// summary is the text for the documents.
func (p *part) summary() string {
	var b strings.Builder
	count := len(p.done)
	fmt.Fprintf(&b, "%s%d seeds from %d on, %d failures. Replicas:", summaryHead, count, p.first, len(p.failures))
	for n, seeds := range p.machines {
		if seeds > 0 {
			fmt.Fprintf(&b, " %d in %d seeds,", n, seeds)
		}
	}
	if len(p.ops) > 0 {
		fmt.Fprintf(&b, "\nThe median seed has %d ops and %d crashes. The mean one takes %.2f s of one core, and all take %.1f hours.\n",
			median(p.ops), median(p.crashes), p.cpuSeconds/float64(count), p.cpuSeconds/3600)
	}
	for _, c := range p.commits {
		if c.seeds > 0 {
			fmt.Fprintf(&b, "%d seeds ran on commit %s.\n", c.seeds, c.name)
		}
	}
	fmt.Fprintf(&b, "\n%s", p.reached.Text(len(p.ops)))
	for _, failure := range p.failures {
		fmt.Fprintf(&b, "\n- %s", failure)
	}
	return b.String()
}

func median(list []int) int {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

// processorSeconds is what this process has used so far, of all cores.
func processorSeconds() float64 {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
}
