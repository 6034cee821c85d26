package replica

import (
	"os"
	"strings"
	"testing"

	"ledger/peer"
	"ledger/stages/consensus"
)

// Goal: an operator finds each reason of /readyz, and each cause for which a view ends, in the
// tables of docs/operations.md, in the words in which it is told.
func TestReasonsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	reasons, causes := section(t, string(page), "#### What /readyz says"), section(t, string(page), "#### Why a view ended")
	for a := consensus.AwayNot + 1; a <= consensus.AwaySync; a++ {
		if !strings.Contains(reasons, "`"+a.String()+"`") {
			t.Errorf("docs/operations.md does not list the reason %q", a)
		}
	}
	for at := phaseFile; at < phaseServing; at++ {
		var p Progress
		p.phase.Store(uint64(at))
		if words, _, _ := strings.Cut(p.String(), ":"); !strings.Contains(reasons, "`"+words+"`") {
			t.Errorf("docs/operations.md does not list the step %q of a start", words)
		}
	}
	for c := peer.CauseSilent; c <= peer.CauseNoQuorum; c++ {
		if !strings.Contains(causes, "`"+c.String()+"`") {
			t.Errorf("docs/operations.md does not list the cause %q", c)
		}
	}
}

// section is the text of a page below a heading, with its line breaks as spaces.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	_, rest, isThere := strings.Cut(page, "\n"+heading+"\n")
	if !isThere {
		t.Fatalf("docs/operations.md has no heading %q", heading)
	}
	text, _, _ := strings.Cut(rest, "\n###")
	return strings.ReplaceAll(text, "\n", " ")
}

// Goal: a start that waits for the others says what it waits for.
func TestProgressTellsTheReason(t *testing.T) {
	var p Progress
	p.enter(phaseOthers, 0)
	if got := p.String(); got != "the log is executed, and the other replicas are awaited" {
		t.Errorf("before anything is known: %s", got)
	}
	s := newService(nil, func() uint64 { return 1 }, 0, 3)
	p.tells(s)
	s.changed(consensus.Service{Away: consensus.AwayClock})
	if got := p.String(); got != "the log is executed, and the other replicas are awaited; the replicas do not agree on the time" {
		t.Errorf("without a time: %s", got)
	}
	p.enter(phaseReplay, 7)
	if got := p.String(); got != "the log is being executed again: 0 of 7 ops; the replicas do not agree on the time" {
		t.Errorf("in a replay: %s", got)
	}
	s.changed(consensus.Service{View: 1})
	if got := p.String(); got != "the log is being executed again: 0 of 7 ops" {
		t.Errorf("when nothing is missing: %s", got)
	}
}
