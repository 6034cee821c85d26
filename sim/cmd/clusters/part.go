package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
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
//	cpu SECONDS        for each part
type part struct {
	first, seeds  uint64
	until         time.Time
	progress, out string
	short         bool

	done         map[uint64]bool
	machines     [7]int
	ops, crashes []int
	failures     []string
	reached      sim.MarksReached
	cpuSeconds   float64
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
	before := processorSeconds()
	var lock sync.Mutex
	var workers sync.WaitGroup
	next := p.first - 1
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for {
				lock.Lock()
				for next++; p.done[next]; next++ {
				}
				seed := next
				lock.Unlock()
				if seed > p.seeds || time.Now().After(p.until) {
					return
				}
				line := lineOf(seed, p.short)
				lock.Lock()
				if _, err := fmt.Fprintln(file, line); err != nil {
					fmt.Fprintln(os.Stderr, "clusters:", err)
				}
				if err := p.take(line); err != nil {
					fmt.Fprintln(os.Stderr, "clusters:", err)
				}
				if strings.Contains(line, "FAILS") {
					fmt.Println(line)
				}
				lock.Unlock()
			}
		})
	}
	workers.Wait()
	cpu := fmt.Sprintf("cpu %.1f", processorSeconds()-before)
	if _, err := fmt.Fprintln(file, cpu); err != nil {
		return err
	}
	if err := p.take(cpu); err != nil {
		return err
	}
	summary := p.summary()
	fmt.Print(summary)
	if p.out != "" {
		if err := os.WriteFile(p.out, []byte(summary), 0o644); err != nil {
			return err
		}
	}
	if len(p.failures) > 0 {
		return fmt.Errorf("%d of %d seeds fail", len(p.failures), len(p.done))
	}
	return nil
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
	if len(fields) < 3 {
		return fmt.Errorf("%s: the line %q is not one of a seed", p.progress, line)
	}
	seed, err := strconv.ParseUint(fields[0], 10, 64)
	if err != nil {
		return err
	}
	p.done[seed] = true
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

// summary is the text for the documents.
func (p *part) summary() string {
	var b strings.Builder
	count := len(p.done)
	fmt.Fprintf(&b, "# Clusters in the simulator\n\nWritten by `make cluster-long`. [sim/doc.go](../sim/doc.go) says what a seed is.\n\n")
	fmt.Fprintf(&b, "%d seeds, %d failures. Replicas:", count, len(p.failures))
	for n, seeds := range p.machines {
		if seeds > 0 {
			fmt.Fprintf(&b, " %d in %d seeds,", n, seeds)
		}
	}
	if len(p.ops) > 0 {
		fmt.Fprintf(&b, "\nThe median seed has %d ops and %d crashes. The mean one takes %.2f s of one core.\n", median(p.ops),
			median(p.crashes), p.cpuSeconds/float64(count))
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
