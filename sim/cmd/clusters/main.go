// Command clusters runs the simulator, of clusters of several replicas first of all.
//
//	go run ./sim/cmd/clusters -seed=7            replays a seed and prints what the replicas do
//	go run ./sim/cmd/clusters -seed=7 -single    the same for a seed of single replicas
//	go run ./sim/cmd/clusters -seed=7 -cuts='ops=9,strikes=2,clients=1,without=clock'
//	go run ./sim/cmd/clusters -seeds=5000 -minutes=55 -progress=FILE -out=FILE
//	go run ./sim/cmd/clusters -from=clock -minutes=55 -out=FILE
//
// The third form runs what is left of a seed when these things are left out. The fourth one runs
// many seeds for a time. It goes on where the part before has stopped, and writes a summary of all
// parts. make cluster-long calls it. The last one runs seeds of single replicas and of clusters in
// turn, shrinks each failure, and writes a report. make sim-long calls it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"ledger/sim"
)

func main() {
	seed := flag.Uint64("seed", 0, "replay this seed, and print its trace")
	single := flag.Bool("single", false, "with -seed: a seed of single replicas")
	detail := flag.Bool("detail", false, "with -seed: also turns and disk operations")
	first := flag.Uint64("first", 1, "begin with this seed")
	seeds := flag.Uint64("seeds", 5000, "run seeds up to this one")
	minutes := flag.Float64("minutes", 55, "end this part after so many minutes")
	progress := flag.String("progress", "", "file with a line for each seed that was run; a part goes on behind it")
	short := flag.Bool("short", false, "leave out the long lives: a fifth of the time, and most of what can be found")
	out := flag.String("out", "", "file for the summary of all parts; empty: only printed")
	cutsText := flag.String("cuts", "", "with -seed: leave this out of the run; a shrunk failure says what")
	from := flag.String("from", "", "run single replicas and clusters in turn, from the seed of the clock, the commit, or this number on")
	flag.Parse()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if *seed != 0 {
		options := sim.Options{Seed: *seed, Several: !*single, ShortLives: *short, Trace: true, Detail: *detail, TraceLines: 1 << 40}
		if *cutsText != "" {
			var err error
			if options.Cuts, err = sim.ParseCuts(*cutsText); err != nil {
				fail(err)
			}
		}
		os.Exit(replay(options))
	}
	limit := time.Duration(*minutes * float64(time.Minute))
	if *from != "" {
		number, err := firstSeed(*from)
		if err != nil {
			fail(err)
		}
		if *out == "" {
			fail(errors.New("-from: give the file of the report, -out=FILE"))
		}
		n := nightly{first: number, until: time.Now().Add(limit), short: *short, out: *out}
		if err := n.run(); err != nil {
			fail(err)
		}
		return
	}
	if *progress == "" {
		fail(errors.New("give -seed=N to replay one, -progress=FILE to run many, or -from=clock for a nightly run"))
	}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	p := part{stop: stop, first: *first, seeds: *seeds, until: time.Now().Add(limit), progress: *progress, out: *out, short: *short}
	if err := p.run(); err != nil {
		fail(err)
	}
}

// gcPercent trades memory for time: a seed leaves much behind, and needs little at a time.
const gcPercent = 400

func fail(err error) {
	fmt.Fprintln(os.Stderr, "clusters:", err)
	os.Exit(1)
}

// replay prints the trace of a run, and why it fails, if it does.
func replay(options sim.Options) int {
	result, trace, failure := sim.Replay(options)
	for _, line := range trace {
		fmt.Println(line)
	}
	if failure != nil {
		failure.Trace = nil
		fmt.Println(failure)
		return 1
	}
	fmt.Printf("seed %d: %d machines, %d ops, %d crashes, %d s; nothing found\n", options.Seed, result.MachinesCount, result.OpsCount,
		result.CrashesCount, result.Seconds)
	return 0
}
