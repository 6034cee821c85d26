package main

import (
	"flag"
	"fmt"
	"os"

	"ledger/interop/conformance/internal/corpus"
	"ledger/interop/conformance/internal/runner"
)

// diffCommand sends the same workload to two servers and compares their replies.
func diffCommand(args []string) error {
	flags := flag.NewFlagSet("diff", flag.ExitOnError)
	var common common
	var work work
	common.register(flags)
	work.register(flags)
	a := flags.String("a", "", "the server whose replies count as right")
	b := flags.String("b", "", "the server to check")
	keepGoing := flags.Bool("keep-going", false, "go on after a reply that differs")
	show := flags.Int("show", 10, "how many differing fields to show of each reply")
	flags.Parse(args)

	generator, err := work.generator()
	if err != nil {
		return err
	}
	right, err := common.connect(*a)
	if err != nil {
		return err
	}
	defer right.Close()
	other, err := common.connect(*b)
	if err != nil {
		return err
	}
	defer other.Close()

	recording, replaying := runner.New(right), runner.New(other)
	passed, failed := 0, 0
	for step := generator.Next(); step != nil; step = generator.Next() {
		if err := recording.Record(step); err != nil {
			return fmt.Errorf("server a: %w", err)
		}
		mismatches, err := replaying.Replay(step)
		if err != nil {
			return fmt.Errorf("server b: %w", err)
		}
		generator.Observe(step)
		step.Exchanges(func(*corpus.Exchange) { passed++ })
		passed -= len(mismatches)
		failed += len(mismatches)
		for _, mismatch := range mismatches {
			mismatch.Print(os.Stdout, *show)
		}
		if failed > 0 && !*keepGoing {
			break
		}
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		os.Exit(1)
	}
	return nil
}
