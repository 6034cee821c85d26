// Command clusters runs the simulator of clusters of several replicas.
//
//	go run ./sim/cmd/clusters -seed=7            replays a seed and prints what the replicas do
//	go run ./sim/cmd/clusters -seed=7 -single    the same for a seed of single replicas
//	go run ./sim/cmd/clusters -seeds=5000 -minutes=55 -progress=FILE -out=FILE
//
// The last form runs many seeds for a time. It goes on where the part before has stopped, and
// writes a summary of all parts. make cluster-long calls it.
package main

import (
	"flag"
	"fmt"
	"os"
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
	flag.Parse()
	if *seed != 0 {
		os.Exit(replay(sim.Options{Seed: *seed, Several: !*single, ShortLives: *short, Trace: true, Detail: *detail, TraceLines: 1 << 40}))
	}
	if *progress == "" {
		fmt.Fprintln(os.Stderr, "clusters: give -seed=N to replay one, or -progress=FILE to run many")
		os.Exit(1)
	}
	limit := time.Duration(*minutes * float64(time.Minute))
	p := part{first: *first, seeds: *seeds, until: time.Now().Add(limit), progress: *progress, out: *out, short: *short}
	if err := p.run(); err != nil {
		fmt.Fprintln(os.Stderr, "clusters:", err)
		os.Exit(1)
	}
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
