package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ledger/move"
)

// importCommand puts the accounts and transfers of files or of a server into a server.
type importCommand struct {
	Cluster   string `default:"0" placeholder:"N" help:"Id of the cluster that takes them."`
	Addresses string `default:"3001" placeholder:"LIST" help:"Addresses of its replicas, as those of start."`

	From        *string `placeholder:"LIST" help:"Addresses of servers to import from, instead of files. Default: none."`
	FromCluster string  `default:"0" placeholder:"N" help:"Id of the cluster of --from."`
	Accounts    string  `placeholder:"FILE" help:"File of accounts, .csv or .jsonl, instead of an export. Default: none."`
	Transfers   string  `placeholder:"FILE" help:"File of transfers, .csv or .jsonl, instead of an export. Default: none."`
	Expiries    string  `placeholder:"FILE" help:"File of pending transfers that have expired, .csv or .jsonl. Default: none."`
	DryRun      bool    `help:"Check every row and compare the balances that would result, and change nothing."`
	Report      string  `placeholder:"FILE" help:"File for a line of JSON about everything that is not moved as it was, and about each difference. Default: none."`

	Folder string `arg:"" optional:"" help:"Folder of an export. Default: none, with --from, --accounts or --transfers."`
}

// movedListMax is the number of changes of one kind that are listed without a file for them.
const movedListMax = 10

func (c *importCommand) Run(s *streams) (err error) {
	servers, err := serversOf(c.Cluster, c.Addresses)
	if err != nil {
		return err
	}
	servers.Messages = s.err
	defer servers.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	changes, err := c.changes(s.out)
	if err != nil {
		return err
	}
	source, closeSource, err := c.source(s, changes.tell)
	if err != nil {
		return errors.Join(err, changes.close())
	}
	report, err := move.Import(ctx, &movedServer{servers}, source, move.ImportOptions{IsDryRun: c.DryRun, Tell: changes.tell,
		Progress: movedProgress(s.err), Wrong: func(wrong *move.RowError) { fmt.Fprintln(s.err, wrong) }})
	if closing := errors.Join(closeSource(), changes.close()); err == nil {
		err = closing
	}
	c.summarize(s.out, &report, changes)
	if err != nil {
		return stopped(ctx, "import", err)
	}
	return nil
}

// source opens what is imported.
func (c *importCommand) source(s *streams, tell func(move.Change)) (*move.Source, func() error, error) {
	hasFiles := c.Accounts != "" || c.Transfers != "" || c.Expiries != ""
	switch {
	case c.From != nil && (hasFiles || c.Folder != ""):
		return nil, nil, fmt.Errorf("--from=%s: goes without files", *c.From)
	case c.Folder != "" && hasFiles:
		return nil, nil, fmt.Errorf("%s: the folder of an export goes without --accounts, --transfers and --expiries", c.Folder)
	case c.From == nil && c.FromCluster != "0":
		return nil, nil, fmt.Errorf("--from-cluster=%s: goes with --from", c.FromCluster)
	case c.From == nil && !hasFiles && c.Folder == "":
		return nil, nil, errors.New("import: name the folder of an export, --accounts and --transfers, or --from")
	case c.From == nil:
		if err := c.checkFiles(); err != nil {
			return nil, nil, err
		}
		source, err := move.OpenFiles(move.FileOptions{Folder: c.Folder, Accounts: c.Accounts, Transfers: c.Transfers,
			Expiries: c.Expiries}, tell)
		if err != nil {
			return nil, nil, err
		}
		return source, source.Close, nil
	}
	cluster, list, err := addressesNamed("from-cluster", "from", c.FromCluster, *c.From)
	if err != nil {
		return nil, nil, err
	}
	from := serversAt(cluster, list)
	from.Messages = s.err
	source := move.OpenServer(&movedServer{from}, "--from="+*c.From, tell)
	return source, func() error { from.Close(); return source.Close() }, nil
}

// checkFiles refuses a flag whose file is no file of rows.
func (c *importCommand) checkFiles() error {
	for _, one := range []struct{ flag, path string }{{"accounts", c.Accounts}, {"transfers", c.Transfers}, {"expiries", c.Expiries}} {
		if one.path == "" {
			continue
		}
		err := error(nil)
		if extension := filepath.Ext(one.path); extension != ".csv" && extension != ".jsonl" {
			err = errors.New("must end in .csv or .jsonl, which tells its form")
		} else {
			_, err = os.Stat(one.path)
		}
		if err != nil {
			return fmt.Errorf("--%s=%s: %w", one.flag, one.path, err)
		}
	}
	return nil
}

// summarize writes the report.
func (c *importCommand) summarize(out io.Writer, r *move.Report, changes *changeList) {
	verb := "imported"
	if c.DryRun {
		verb = "to import"
	}
	fmt.Fprintf(out, "accounts: %d %s, %d were there already\n", r.Accounts.Imported, verb, r.Accounts.Skipped)
	fmt.Fprintf(out, "transfers: %d %s, %d were there already\n", r.Transfers.Imported, verb, r.Transfers.Skipped)
	if r.Wrong > 0 {
		fmt.Fprintf(out, "wrong rows: %d\n", r.Wrong)
	}
	changes.summarize(out)
	switch {
	case r.HasCompared:
		fmt.Fprintf(out, "balances: %d accounts compared, %d differences\n", r.Compared, r.Different)
	case r.Wrong == 0:
		fmt.Fprintf(out, "balances: not compared\n")
	}
}

// changeList takes what an import tells. It lists the first of each kind, and all in a file.
type changeList struct {
	out    io.Writer
	counts map[move.ChangeKind]uint64
	file   *os.File // nil: none
	lines  *bufio.Writer
	err    error
}

func (c *importCommand) changes(out io.Writer) (*changeList, error) {
	l := &changeList{out: out, counts: map[move.ChangeKind]uint64{}}
	if c.Report == "" {
		return l, nil
	}
	var err error
	if l.file, err = os.Create(c.Report); err != nil {
		return nil, fmt.Errorf("--report=%s: %w", c.Report, err)
	}
	l.lines = bufio.NewWriter(l.file)
	return l, nil
}

func (l *changeList) tell(change move.Change) {
	l.counts[change.Kind]++
	line, err := json.Marshal(change)
	if err != nil {
		panic(err) // it has texts and numbers only
	}
	switch {
	case l.file != nil:
		if _, err := l.lines.Write(append(line, '\n')); err != nil && l.err == nil {
			l.err = err
		}
	case l.counts[change.Kind] <= movedListMax:
		fmt.Fprintf(l.out, "%s\n", line)
	case l.counts[change.Kind] == movedListMax+1:
		fmt.Fprintf(l.out, "more of %s are counted only; --report=FILE lists them all\n", change.Kind)
	}
}

func (l *changeList) close() error {
	if l.file == nil {
		return nil
	}
	return errors.Join(l.err, l.lines.Flush(), l.file.Close())
}

// changeMeanings say what the kinds are, in words.
var changeMeanings = map[move.ChangeKind]string{
	move.ChangeTimeout:    "timeouts left out, because imported transfers have none",
	move.ChangeExpiry:     "expiries that became voids at the same timestamp",
	move.ChangeOpen:       "pending transfers that had a timeout and are pending without one now",
	move.ChangeExtra:      "accounts of the server that the source does not have",
	move.ChangeMissing:    "accounts of the source that the server does not have",
	move.ChangeDifference: "fields of accounts that differ",
}

func (l *changeList) summarize(out io.Writer) {
	for _, kind := range move.Kinds() {
		if l.counts[kind] > 0 {
			fmt.Fprintf(out, "%s: %d %s\n", kind, l.counts[kind], changeMeanings[kind])
		}
	}
}
