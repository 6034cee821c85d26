package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"ledger/interop/conformance/internal/corpus"
	"ledger/interop/conformance/internal/runner"
)

// replayCommand sends corpora to a server and compares its replies.
func replayCommand(args []string) error {
	flags := flag.NewFlagSet("replay", flag.ExitOnError)
	var common common
	common.register(flags)
	addresses := flags.String("addresses", "", "the server; for several corpora one each, separated by semicolons")
	serve := flags.String("serve", "", "a shell command that starts a fresh server for each corpus")
	var replay replay
	flags.BoolVar(&replay.keepGoing, "keep-going", false, "go on after a reply that differs")
	flags.IntVar(&replay.limit, "limit", 0, "stop after this many requests of each corpus (0: no limit)")
	flags.IntVar(&replay.replicas, "replicas", 1, "how many servers --serve starts: the replicas of a cluster")
	flags.IntVar(&replay.killAfter, "kill-primary-after", 0, "kill the primary of that cluster after this many requests (0: never)")
	flags.IntVar(&replay.showFields, "show", 10, "how many differing fields to show of each reply")
	flags.IntVar(&replay.showReplies, "mismatches", 20, "how many differing replies to show")
	flags.Parse(args)

	servers := strings.Split(*addresses, ";")
	if flags.NArg() == 0 {
		return errors.New("no corpus is given")
	}
	if replay.replicas < 1 || replay.killAfter > 0 && (*serve == "" || replay.replicas < 3) {
		return fmt.Errorf("--kill-primary-after=%d with --replicas=%d: it needs --serve and 3 replicas or more, of which the others go on",
			replay.killAfter, replay.replicas)
	}
	if *serve == "" && len(servers) != flags.NArg() {
		return fmt.Errorf("%d corpora need %d fresh servers, but there are %d addresses",
			flags.NArg(), flags.NArg(), len(servers))
	}
	for i, path := range flags.Args() {
		var err error
		if *serve != "" {
			err = replay.onOwnServer(&common, *serve, path)
		} else {
			err = replay.file(&common, servers[i], path)
		}
		if err != nil {
			fmt.Printf("%s: %v\n", path, err)
			replay.failed++
		}
	}
	fmt.Printf("%d passed, %d failed\n", replay.passed, replay.failed)
	if replay.failed > 0 {
		os.Exit(1)
	}
	return nil
}

// onOwnServer replays one corpus against a server that it starts.
func (r *replay) onOwnServer(common *common, command, path string) error {
	server, err := startServer(command, r.replicas)
	if err != nil {
		return err
	}
	defer server.stop()
	r.server, r.isKilled = server, false
	err = r.file(common, server.addresses, path)
	if err == nil && r.killAfter > 0 && !r.isKilled {
		err = fmt.Errorf("the corpus ended before the primary was killed: it has fewer than %d requests", r.killAfter)
	}
	if err != nil {
		return fmt.Errorf("%w; the server's output ends with:\n%s", err, server.logTail())
	}
	return nil
}

// replay is the state of a replay.
type replay struct {
	keepGoing      bool
	limit          int
	showFields     int
	showReplies    int
	replicas       int
	killAfter      int
	server         *ownServer // that was started for the corpus
	isKilled       bool       // its primary
	passed, failed int        // requests
	shown          int        // differing replies
}

// file replays one corpus.
func (r *replay) file(common *common, address, path string) error {
	reader, err := corpus.Open(path)
	if err != nil {
		return err
	}
	defer reader.Close()
	connection, err := common.connect(address)
	if err != nil {
		return err
	}
	defer connection.Close()

	started := time.Now()
	passed, failed := r.passed, r.failed
	err = r.steps(reader, runner.New(connection), path)
	fmt.Printf("%s: %d passed, %d failed in %.1f s\n", path, r.passed-passed, r.failed-failed,
		time.Since(started).Seconds())
	return err
}

func (r *replay) steps(reader *corpus.Reader, run *runner.Runner, path string) error {
	requests := 0
	for r.limit == 0 || requests < r.limit {
		step, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if r.killAfter > 0 && requests >= r.killAfter && !r.isKilled {
			if r.isKilled = true; r.server.killPrimary() != nil {
				return errors.New("the primary cannot be killed")
			}
		}
		mismatches, err := run.Replay(step)
		if err != nil {
			return fmt.Errorf("line %d: %w", reader.Line(), err)
		}
		step.Exchanges(func(*corpus.Exchange) { requests++; r.passed++ })
		r.passed -= len(mismatches)
		r.failed += len(mismatches)
		for _, mismatch := range mismatches {
			if r.shown++; r.shown <= r.showReplies {
				fmt.Printf("%s, line %d: ", path, reader.Line())
				mismatch.Print(os.Stdout, r.showFields)
			}
		}
		if len(mismatches) > 0 && !r.keepGoing {
			return nil
		}
	}
	return nil
}
