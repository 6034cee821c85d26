package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"ledger/interop/conformance/internal/corpus"
	"ledger/interop/conformance/internal/coverage"
	"ledger/interop/conformance/internal/proto"
)

// coverageCommand reports what corpora contain: a line for each, and all together.
func coverageCommand(paths []string) error {
	if len(paths) == 0 {
		return errors.New("no corpus is given")
	}
	all := coverage.New()
	for _, path := range paths {
		one := coverage.New()
		if err := readAll(path, one, all); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		requests, events := one.Total()
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		fmt.Printf("%-45s %8.2f MB %7d requests %9d events, statuses: %d accounts, %d transfers\n", path,
			float64(info.Size())/1e6, requests, events, one.Hit(proto.CreateAccounts), one.Hit(proto.CreateTransfers))
	}
	fmt.Println()
	all.Print(os.Stdout)
	return nil
}

func readAll(path string, reports ...*coverage.Report) error {
	reader, err := corpus.Open(path)
	if err != nil {
		return err
	}
	defer reader.Close()
	for {
		step, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		for _, report := range reports {
			report.Add(step)
		}
	}
}
