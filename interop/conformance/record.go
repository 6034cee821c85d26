package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"ledger/interop/conformance/internal/corpus"
	"ledger/interop/conformance/internal/coverage"
	"ledger/interop/conformance/internal/runner"
	"ledger/interop/conformance/internal/server"
)

// recordCommand makes a corpus with a server's replies.
func recordCommand(args []string) error {
	flags := flag.NewFlagSet("record", flag.ExitOnError)
	var common common
	var work work
	common.register(flags)
	work.register(flags)
	addresses := flags.String("addresses", "", "the server")
	path := flags.String("o", "", "the corpus to write")
	flags.Parse(args)
	if *path == "" {
		return errors.New("-o FILE is missing")
	}

	generator, err := work.generator()
	if err != nil {
		return err
	}
	connection, err := common.connect(*addresses)
	if err != nil {
		return err
	}
	defer connection.Close()
	writer, err := corpus.Create(*path, corpus.Header{Profile: work.profile, Seed: work.seed,
		Client: server.ClientVersion})
	if err != nil {
		return err
	}
	run := runner.New(connection)
	report := coverage.New()
	for step := generator.Next(); step != nil; step = generator.Next() {
		if err := run.Record(step); err != nil {
			// Keep what there is, with the request that failed, under another name.
			writer.Write(step)
			writer.Close()
			os.Rename(*path, *path+".failed")
			return err
		}
		generator.Observe(step)
		report.Add(step)
		if err := writer.Write(step); err != nil {
			return err
		}
	}
	requests, events := report.Total()
	fmt.Printf("%s: %d requests, %d events\n", *path, requests, events)
	return writer.Close()
}
