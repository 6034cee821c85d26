package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ledger/repl"
)

// replCommand has the reference's flags; those after Verbose are ours.
type replCommand struct {
	Cluster   string  `default:"0" placeholder:"N" help:"Id of the cluster."`
	Addresses string  `default:"3001" placeholder:"LIST" help:"Addresses of its replicas, as those of start."`
	Command   *string `placeholder:"STATEMENTS" help:"Run these statements, and end. Default: none."`
	Verbose   bool    `help:"Tell of each statement how long it took."`

	File         string  `placeholder:"FILE" help:"Run the statements of a file, - for stdin, and end. Default: none."`
	Output       string  `placeholder:"FORMAT" help:"Form of the results: table, json (one object per line), csv. Default: table on a terminal, else json."`
	Timeout      *string `placeholder:"TIME" help:"Give up a statement that gets no answer within this time; 0s waits for ever. Default: 0s at a terminal, else 30s."`
	AllowRefused bool    `help:"A statement whose accounts or transfers are refused has not failed."`
	History      *string `placeholder:"FILE" help:"File that keeps what is typed; an empty name keeps nothing. Default: ledger/history below $XDG_STATE_HOME or ~/.local/state."`
}

// replTimeout is the timeout of a statement that nobody waits for at a terminal.
const replTimeout = 30 * time.Second

func (c *replCommand) Run(s *streams) error {
	options, err := c.options(s)
	if err != nil {
		return err
	}
	source, in, err := c.source(s)
	if err != nil {
		return err
	}
	if in == nil {
		screen := s.out
		if !isTerminal(screen) {
			screen = s.in // the results go elsewhere
		}
		return repl.Interactive(context.Background(), options, s.in, screen, c.historyPath())
	}
	defer in.Close()
	if c.History != nil {
		return fmt.Errorf("--history=%s: keeps what is typed at a terminal, and nothing is typed here", *c.History)
	}
	if c.Timeout == nil {
		options.Timeout = replTimeout
	}
	if err := repl.Script(context.Background(), options, source, in); errors.Is(err, repl.ErrFailed) {
		return &loggedError{err}
	} else if err != nil {
		return err
	}
	return nil
}

// options are those of the shell, from the flags.
func (c *replCommand) options(s *streams) (repl.Options, error) {
	options := repl.Options{Out: s.out, Messages: s.err, AllowRefused: c.AllowRefused, Verbose: c.Verbose, Format: repl.FormatJSON}
	var err error
	if isTerminal(s.out) {
		options.Format = repl.FormatTable
	}
	if c.Output != "" {
		if options.Format, err = repl.ParseFormat(c.Output); err != nil {
			return options, fmt.Errorf("--output=%s: %w", c.Output, err)
		}
	}
	if c.Timeout != nil {
		if options.Timeout, err = time.ParseDuration(*c.Timeout); err != nil || options.Timeout < 0 {
			return options, fmt.Errorf("--timeout=%s: must be a duration, as in 5s; 0s waits for ever", *c.Timeout)
		}
	}
	options.Cluster, options.Addresses, err = addressesOf(c.Cluster, c.Addresses)
	return options, err
}

// source is where statements come from, and its name for messages. It is nil for a terminal.
func (c *replCommand) source(s *streams) (name string, in io.ReadCloser, err error) {
	switch {
	case c.Command != nil && strings.TrimSpace(*c.Command) == "":
		return "", nil, fmt.Errorf("--command=%s: has no statement; leave the flag out to type statements", *c.Command)
	case c.Command != nil && c.File != "":
		return "", nil, fmt.Errorf("--file=%s: goes without --command", c.File)
	case c.Command != nil:
		return "--command", io.NopCloser(strings.NewReader(*c.Command)), nil
	case c.File == "-" || c.File == "" && !isTerminal(s.in):
		return "stdin", io.NopCloser(s.in), nil
	case c.File == "":
		return "", nil, nil
	}
	file, err := os.Open(c.File)
	if err != nil {
		return "", nil, fmt.Errorf("--file=%s: %w", c.File, err)
	}
	return c.File, file, nil
}

// historyPath is the file that keeps what is typed, or "".
func (c *replCommand) historyPath() string {
	if c.History != nil {
		return *c.History
	}
	folder := os.Getenv("XDG_STATE_HOME")
	if folder == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		folder = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(folder, "ledger", "history")
}
