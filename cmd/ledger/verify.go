package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"ledger/inspect"
)

type verifyCommand struct {
	JSON bool   `name:"json" help:"Write one JSON object instead of text."`
	File string `arg:"" help:"The data file. It may be in use."`
}

// Run checks every checksum of the file.
func (c *verifyCommand) Run(s *streams) error {
	return inspected(c.File, func(f *inspect.File) error {
		meter := newProgressLine(s, "verifying")
		r, err := f.Verify(meter.show)
		meter.clear()
		if err != nil {
			return err
		}
		return shownWith(s, c.JSON, r, r.Damaged)
	})
}

// progressEvery is how often the line is written anew.
const progressEvery = 100 * time.Millisecond

// progressLine is a line on a terminal that says how much is done, and is written over.
type progressLine struct {
	terminal *os.File // nil: stderr is none
	what     string
	last     time.Time
}

func newProgressLine(s *streams, what string) *progressLine {
	p := &progressLine{what: what}
	if file, ok := s.err.(*os.File); ok {
		if _, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS); err == nil {
			p.terminal = file
		}
	}
	return p
}

func (p *progressLine) show(doneBytes, allBytes uint64) {
	if p.terminal == nil || time.Since(p.last) < progressEvery {
		return
	}
	p.last = time.Now()
	fmt.Fprintf(p.terminal, "\r%s: %d of %d MiB, %d %%\x1b[K", p.what, doneBytes>>20, allBytes>>20, 100*doneBytes/max(allBytes, 1))
}

func (p *progressLine) clear() {
	if p.terminal != nil && !p.last.IsZero() {
		fmt.Fprint(p.terminal, "\r\x1b[K")
	}
}
