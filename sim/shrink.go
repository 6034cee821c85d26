package sim

import (
	"regexp"
	"strings"
)

// Size is how much has happened in a run until it failed.
type Size struct {
	Steps                 uint64
	Ops, Strikes, Clients int
}

// size is what has happened so far.
func (w *World) size() (size Size) {
	size.Steps = w.steps
	for _, c := range w.clusters {
		size.Ops += int(c.judge.committedOp())
		size.Clients = max(size.Clients, c.mostClients)
		if c.several == nil {
			size.Strikes += w.result.CrashesCount
			continue
		}
		for _, count := range c.several.marks.Strikes {
			size.Strikes += count
		}
	}
	return size
}

// reasonNumbers are what differs from run to run in a reason.
var reasonNumbers = regexp.MustCompile(`\b[0-9a-f]*[0-9][0-9a-f]*\b`)

// kindOf is the reason of a failure without its numbers. Failures of one kind count as the same.
func kindOf(reason string) string {
	line, _, _ := strings.Cut(reason, "\n")
	return reasonNumbers.ReplaceAllString(line, "#")
}

// Shrink looks for a smaller run of the seed that fails for the same reason: fewer ops, faults,
// clients and kinds of faults. It tries at most runsMax runs, and the same ones each time. It
// returns the smallest failure, which is the given one if none is smaller, with its trace.
func Shrink(failure *Failure, runsMax int) (least *Failure, runs int) {
	s := shrinker{least: failure, kind: kindOf(failure.Reason), runsMax: runsMax}
	s.cuts = Cuts{Ops: failure.Size.Ops + 1, Strikes: failure.Size.Strikes, Clients: max(failure.Size.Clients, 1)}
	if failure.Options.Cuts != nil {
		s.cuts = *failure.Options.Cuts
	}
	s.shortLives = failure.Options.ShortLives
	if !s.shortLives {
		s.shortLives = true
		s.shortLives = s.fails(s.cuts)
	}
	for isSmaller := true; isSmaller && s.runs < s.runsMax; {
		isSmaller = s.pass()
	}
	options := s.least.Options
	if options.Trace = true; s.least != failure {
		if _, again := run(options); again != nil {
			s.least.Trace = again.Trace
		}
	}
	return s.least, s.runs
}

// shrinker is the search of Shrink.
type shrinker struct {
	least         *Failure
	kind          string
	cuts          Cuts // those of least
	shortLives    bool
	runs, runsMax int
}

// pass tries to leave out each thing once. It tells whether the run is smaller now.
func (s *shrinker) pass() (isSmaller bool) {
	try := func(change func(c *Cuts)) bool {
		c := s.cuts
		change(&c)
		is := c != s.cuts && s.fails(c)
		isSmaller = isSmaller || is
		return is
	}
	for left := s.cuts.Ops / 2; left > 0; left /= 2 {
		for s.cuts.Ops > left && try(func(c *Cuts) { c.Ops -= left }) {
			continue
		}
	}
	for n := range s.cuts.Strikes {
		if try(func(c *Cuts) { c.Strikes = n }) {
			break
		}
	}
	for n := 1; n < s.cuts.Clients; n *= 2 {
		if try(func(c *Cuts) { c.Clients = n }) {
			break
		}
	}
	for i := range cutNames {
		if !s.least.Options.Several && 1<<i != withoutLoss && 1<<i != withoutStrangers {
			continue // a single replica knows no others
		}
		try(func(c *Cuts) { c.Without |= 1 << i })
	}
	return isSmaller
}

// fails runs the seed with these cuts. It tells whether that fails for the same reason, after no
// more steps than the least failure so far, and keeps it.
func (s *shrinker) fails(c Cuts) bool {
	if s.runs == s.runsMax {
		return false
	}
	s.runs++
	options := s.least.Options
	options.Cuts, options.ShortLives, options.Trace = &c, s.shortLives, false
	_, failure := run(options)
	if failure == nil || kindOf(failure.Reason) != s.kind || failure.Size.Steps > s.least.Size.Steps {
		return false
	}
	s.least, s.cuts = failure, c
	return true
}
