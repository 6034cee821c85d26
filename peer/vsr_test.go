package peer

import (
	"slices"
	"testing"

	"ledger/limits"
	"ledger/prepare"
	"ledger/vsr"
)

// listOf is the headers of a body as package vsr has them.
func listOf(body []byte) (l vsr.List) {
	for ; len(body) > 0; body = body[prepare.HeaderBytes:] {
		l.Headers[l.Count] = vsr.HeaderOf(prepare.Header(body[:prepare.HeaderBytes]))
		l.Count++
	}
	return l
}

// Goal: the logs of a view change that the messages carry are those of package vsr: as long, with
// the same blanks, bits and uncertain ops.
func TestViewChangeFitsVsr(t *testing.T) {
	l := limits.Production()
	b := testBounds()
	if b.headersVoteMax() != vsr.BallotHeadersMax || b.headersViewMax() != vsr.StartHeadersMax || UncertainBytes != vsr.SetBytes {
		t.Error("the sizes differ")
	}
	for _, s := range samples() {
		e := s.envelope()
		switch m := s.inner.(type) {
		case *DoViewChange:
			ballot := vsr.Ballot{LogView: m.LogView, CommitMin: m.CommitMin, CheckpointOp: m.CheckpointOp, List: listOf(s.body),
				Present: m.Present, Nack: m.Nack}
			ballot.List.Uncertain = vsr.ReadSet(&m.Uncertain)
			if reason := ballot.Check(e.View, int(l.PipelineOpsMax)); reason != "" {
				t.Errorf("%s: %s", s.command, reason)
			}
			if !ballot.List.Uncertain.Has(1012) || ballot.List.Head() != m.Op || !ballot.List.Headers[1].Blank {
				t.Errorf("%s is read as %+v", s.command, ballot)
			}
		case *StartView:
			list := listOf(s.body[CheckpointBytes:])
			if reason := list.CheckStart(e.View, m.CommitMax, int(l.PipelineOpsMax)); reason != "" {
				t.Errorf("%s: %s", s.command, reason)
			}
		}
	}
	if !slices.ContainsFunc(samples(), func(s sample) bool { return s.command == CommandDoViewChange }) {
		t.Error("there is no do_view_change")
	}
}
