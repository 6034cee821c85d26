package sim

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strings"
)

// Options of a run.
type Options struct {
	Seed  uint64
	Trace bool // collect the trace
	// TraceLines is the number of trace lines that a failing run shows; 0 stands for 60.
	TraceLines int
	// ShortLives leaves out the long lives, which take most of the time of a mix. Hunts for planted
	// bugs run so: most bugs show within a few hundred ops.
	ShortLives bool
	// Several: a cluster of several replicas. Its trace has one line for each message and decision;
	// with Detail, also one for each turn and disk operation.
	Several, Detail bool
	Cuts            *Cuts // what is left out of the run; nil: nothing

	traceTo *[]string
	onCrash func(m *Machine) // of tests: a machine goes down
}

// Result of a run without a finding.
type Result struct {
	MachinesCount                                    int
	Seconds                                          int // of the world
	Steps, ExchangesCount, RequestsCount             int
	OpsCount                                         int
	StartsCount, CrashesCount                        int
	CheckpointsCount, RewrittenCount                 int // checkpoints; those that were written again after a crash
	ForksCount, RetracesCount, DamagesCount          int
	RefusalsCount, FaultsCount, AccountsCount, Bytes int
	TransfersCount, MergedCount, PagesReadCount      int
	EvictionsCount, PulsesCount, GroupsCount         int
	BrinkCount                                       int // prepares that are the last possible one while a checkpoint is not durable
	Coverage                                         Coverage
	Marks                                            Marks
	Hash                                             uint64 // of everything that happened, in order
}

// Failure is the finding of a run.
type Failure struct {
	Options Options
	Reason  string
	Size    Size
	Stack   string // of a panic
	Trace   []string
}

func (f *Failure) Error() string {
	text := fmt.Sprintf("seed %d: %s", f.Options.Seed, f.Reason)
	if f.Stack != "" {
		text += "\n" + f.Stack
	}
	if len(f.Trace) > 0 {
		text += "\nthe last steps:\n" + strings.Join(f.Trace, "\n")
	}
	return text
}

// violation is the panic that ends a run with a finding.
type violation struct{ reason string }

// traceLines is the default of Options.TraceLines.
const traceLines = 60

// Run simulates one seed. After a Failure, it replays the seed once for the trace.
func Run(options Options) (Result, error) {
	result, failure := run(options)
	if failure == nil {
		return result, nil
	}
	if !options.Trace {
		options.Trace = true
		if _, again := run(options); again != nil {
			failure.Trace = again.Trace
			if again.Reason != failure.Reason {
				failure.Reason += "\nTHE REPLAY DIFFERS: " + again.Reason
			}
		}
	}
	lines := options.TraceLines
	if lines == 0 {
		lines = traceLines
	}
	failure.Trace = failure.Trace[max(0, len(failure.Trace)-lines):]
	return result, failure
}

// Replay simulates one seed, and returns its trace as well.
func Replay(options Options) (result Result, trace []string, failure *Failure) {
	options.Trace = true
	options.traceTo = &trace
	result, failure = run(options)
	return result, trace, failure
}

func run(options Options) (result Result, failure *Failure) {
	var w *World
	defer func() {
		if options.traceTo != nil && w != nil {
			*options.traceTo = w.trace
		}
	}()
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		failure = &Failure{Options: options}
		if v, ok := r.(violation); ok {
			failure.Reason = v.reason
		} else {
			failure.Reason, failure.Stack = fmt.Sprintf("panic: %v", r), string(debug.Stack())
		}
		if w != nil {
			if failure.Stack != "" && w.stack != "" {
				failure.Stack = w.stack
			}
			failure.Trace, failure.Size = w.trace, w.size()
			w.abandon()
		}
	}()
	fail := func(format string, arguments ...any) { panic(violation{fmt.Sprintf(format, arguments...)}) }
	w = newWorld(options, rand.New(rand.NewPCG(options.Seed, 0x6c6564676572)), fail)
	if options.Several {
		w.liveSeveral()
	} else {
		count := w.drawMachines()
		for range count {
			w.addCluster(count == 1)
		}
		w.live()
	}
	w.abandon()
	return w.finish(), nil
}

// abandon frees memory and coroutines, in any state of the world.
func (w *World) abandon() {
	for _, m := range w.machines {
		m.abandon()
	}
}

// finish makes the last checks and sums up.
func (w *World) finish() Result {
	r := &w.result
	r.Seconds = int(w.events.nowNs / 1_000_000_000)
	r.Steps, r.Hash, r.MachinesCount = int(w.steps), w.hash, len(w.machines)
	for _, m := range w.machines {
		if m.leak != "" {
			m.fail("%s", m.leak)
		}
		if m.medium != nil {
			r.RewrittenCount += m.medium.rewrittenCount
			r.BrinkCount += m.medium.brinkCount
		}
		r.Coverage.FlakyReads += m.disk.flakes
		r.Coverage.Spoiled += m.network.spoiledCount
		r.Coverage.GivenUp += m.network.gaveUpCount
		r.Bytes += int(m.disk.image.usedBytes)
	}
	for _, c := range w.clusters {
		if c.several != nil {
			r.Marks = c.several.marks
		}
		if err := c.judge.clients.Finish(c.inFlight); err != nil {
			w.fail("%v", err)
		}
		r.ExchangesCount += c.exchangesCount
		r.RequestsCount += c.judge.requestsCount
		r.OpsCount += int(c.judge.committedOp())
		r.CheckpointsCount += c.judge.checkpointsCount
		r.PulsesCount += c.judge.pulsesCount
		r.GroupsCount += c.judge.groupsCount
		accounts, transfers, _, _ := c.judge.clients.Server.Machine.Counts()
		r.AccountsCount += accounts
		r.TransfersCount += transfers
	}
	return *r
}
