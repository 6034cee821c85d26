package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"ledger/move"
)

// exportCommand writes what a server has to files.
type exportCommand struct {
	Cluster   string `default:"0" placeholder:"N" help:"Id of the cluster."`
	Addresses string `default:"3001" placeholder:"LIST" help:"Addresses of its replicas, as those of start."`
	Format    string `default:"jsonl" placeholder:"FORMAT" help:"Form of the files: jsonl (one object per line), csv."`

	Folder string `arg:"" help:"Folder of the files, which is made if it is missing. An export that is there is continued."`
}

func (c *exportCommand) Run(s *streams) error {
	if c.Format != "jsonl" && c.Format != "csv" {
		return fmt.Errorf("--format=%s: must be jsonl or csv", c.Format)
	}
	servers, err := serversOf(c.Cluster, c.Addresses)
	if err != nil {
		return err
	}
	servers.Messages = s.err
	defer servers.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	result, err := move.Export(ctx, &movedServer{servers}, move.ExportOptions{Folder: c.Folder, IsCSV: c.Format == "csv",
		Messages: s.err, Progress: movedProgress(s.err)})
	if err != nil {
		return stopped(ctx, "export", err)
	}
	fmt.Fprintf(s.out, "%s: %d accounts; %d transfers and %d expiries were added\n", c.Folder, result.Accounts, result.Transfers,
		result.Expiries)
	return nil
}

// stopped says of an error of a job whether the job was asked to end.
func stopped(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: was stopped; run the same command again, and it goes on there", what)
	}
	if errors.Is(err, move.ErrWrong) || errors.Is(err, move.ErrDifferent) {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}

// movedProgressEvery is the time between two lines that tell how far a job is.
const movedProgressEvery = 5 * time.Second

// movedProgress tells now and then how far a job is, and how fast.
func movedProgress(out io.Writer) func(move.Progress) {
	told, before := time.Now(), map[string]uint64{}
	return func(p move.Progress) {
		now := time.Now()
		if now.Sub(told) < movedProgressEvery {
			return
		}
		rate := float64(p.Count-min(before[p.What], p.Count)) / now.Sub(told).Seconds()
		share := ""
		if p.Share > 0 {
			share = fmt.Sprintf(", %.0f %% of the file", 100*p.Share)
		}
		fmt.Fprintf(out, "%d %s so far%s, %.0f a second\n", p.Count, p.What, share, rate)
		told, before[p.What] = now, p.Count
	}
}
