// Command conformance checks that a server behaves like the reference server. See
// README.md.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"ledger/interop/conformance/internal/proto"
	"ledger/interop/conformance/internal/server"
	"ledger/interop/conformance/internal/workload"
)

const usage = `usage:
  conformance replay   --addresses=HOST:PORT [--cluster=N] [--keep-going] [--limit=N] FILE
  conformance replay   --serve=COMMAND [--replicas=N [--kill-primary-after=M]] [--cluster=N] [--keep-going] [--limit=N] FILE...
  conformance record   --addresses=HOST:PORT [--cluster=N] --profile=P --seed=N --requests=M -o FILE
  conformance diff     --a=HOST:PORT --b=HOST:PORT [--cluster=N] --profile=P --seed=N --requests=M
  conformance coverage FILE...
  conformance profiles

A server must have a fresh data file for every corpus. --serve starts one for each:
COMMAND is a shell command that finds ADDRESS, PORT and DATA (an empty folder) in
its environment, for example
  '$LEDGER format ... $DATA/0_0.tb && exec $LEDGER start --addresses=$ADDRESS $DATA/0_0.tb'
`

func main() {
	commands := map[string]func([]string) error{
		"replay":   replayCommand,
		"record":   recordCommand,
		"diff":     diffCommand,
		"coverage": coverageCommand,
		"profiles": profilesCommand,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// common are the flags that several commands have.
type common struct {
	cluster uint64
	timeout time.Duration
}

func (c *common) register(flags *flag.FlagSet) {
	flags.Uint64Var(&c.cluster, "cluster", 0, "the cluster's id")
	flags.DurationVar(&c.timeout, "timeout", time.Minute, "how long to wait for a reply")
}

func (c *common) connect(addresses string) (*server.Server, error) {
	if addresses == "" {
		return nil, fmt.Errorf("the address of a server is missing")
	}
	return server.Connect(addresses, proto.N(c.cluster), c.timeout)
}

// work are the flags that choose a workload.
type work struct {
	profile  string
	seed     uint64
	requests int
}

func (w *work) register(flags *flag.FlagSet) {
	flags.StringVar(&w.profile, "profile", "basic", "the kind of workload")
	flags.Uint64Var(&w.seed, "seed", 1, "the seed of the random numbers")
	flags.IntVar(&w.requests, "requests", 500, "how many requests to make, about")
}

func (w *work) generator() (*workload.Generator, error) {
	return workload.New(w.profile, w.seed, w.requests)
}

func profilesCommand([]string) error {
	for _, profile := range workload.Profiles() {
		fmt.Printf("%-12s %s\n", profile.Name, profile.About)
	}
	return nil
}
