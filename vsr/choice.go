package vsr

import "ledger/internal/assert"

// Outcome of a choice.
type Outcome uint8

const (
	OutcomeWait   Outcome = iota // for more do_view_changes
	OutcomeChosen                // the log is known
	OutcomeStuck                 // every replica has answered, and an op may be committed that nobody has
	OutcomeBroken                // the messages contradict each other: some replica did not keep the rules
)

func (o Outcome) String() string { return [...]string{"wait", "chosen", "stuck", "broken"}[o] }

// Choice is what a new primary makes of the do_view_changes that it has.
type Choice struct {
	Outcome   Outcome
	Op        uint64 // that is waited for, or with which the cluster is stuck; else 0
	Reason    string // of OutcomeBroken
	LogView   uint32 // of the canonical ballots
	CommitMax uint64 // committed, as far as the ballots tell
	OpHead    uint64 // of the chosen log
	Truncated uint64 // the op that was nacked by a quorum, and with which all above it was dropped; 0: none
	// Headers of the chosen log, those of CommitMax to OpHead by rising op. From says of each which
	// replica's ballot has it.
	Headers [BallotHeadersMax]Header
	From    [BallotHeadersMax]uint8
	Count   int
}

// Choose takes the ballots that have come for one view, by replica, nil where none has. The new
// primary's own is one of them.
//
// Only the ballots of the highest log_view are canonical: their logs have everything that may be
// committed. Which op is in that log is decided op by op, from what is known to be committed up to
// the highest canonical head or uncertain op:
//
//   - If a quorum nacks the op, it was never committed. It is dropped with all above it. Otherwise
//   - it is kept if a canonical list has its header and some replica has its prepare;
//   - else more ballots are waited for. If all have come, the cluster is stuck: every replica that
//     may have acknowledged the op has lost it, or does not answer.
func Choose(q *Quorums, pipelineOps int, ballots []*Ballot) (c Choice) {
	assert.Equal(len(ballots), q.Replicas, "ballots are by replica")
	assert.AtMost(pipelineOps, PipelineMax, "ops of a pipeline")
	count, top := 0, uint64(0)
	for _, b := range ballots {
		if b != nil {
			count++
			c.LogView = max(c.LogView, b.LogView)
			c.CommitMax = max(c.CommitMax, b.committed(pipelineOps))
		}
	}
	if count < q.ViewChange {
		return c // waits, for no op in particular
	}
	for _, b := range ballots {
		if b != nil && b.LogView == c.LogView {
			top = max(top, b.List.Uncertain.Highest(b.List.Head()))
		}
	}
	for op := c.CommitMax; op <= max(top, c.CommitMax); op++ {
		h, from, reason := canonical(ballots, c.LogView, op)
		if reason == "" && h != nil && c.Count > 0 && c.Headers[c.Count-1].Checksum != h.Parent {
			reason = "the canonical headers are no chain"
		}
		if reason != "" {
			c.Outcome, c.Op, c.Reason = OutcomeBroken, op, reason
			return c
		}
		nacks, copies := 0, 0
		for _, b := range ballots {
			switch b.says(op, h, c.LogView) {
			case hasIt:
				copies++
			case nacksIt:
				nacks++
			}
		}
		if nacks >= q.Nack && op > c.CommitMax {
			c.Outcome, c.Truncated = OutcomeChosen, op
			return c
		}
		if h == nil || copies == 0 {
			c.Op = op
			if count == q.Replicas {
				c.Outcome = OutcomeStuck
			}
			return c
		}
		c.Headers[c.Count], c.From[c.Count], c.OpHead = *h, uint8(from), op
		c.Count++
	}
	c.Outcome = OutcomeChosen
	return c
}

// committed is the highest op of which a ballot proves that it is committed.
func (b *Ballot) committed(pipelineOps int) uint64 {
	op := max(b.List.Lowest(), b.CommitMin, b.List.Headers[0].Commit)
	if head := b.List.Head(); head > uint64(pipelineOps) {
		op = max(op, head-uint64(pipelineOps))
	}
	return op
}

// canonical returns the header that op has in the log of logView, and whose ballot has it; nil if
// no ballot knows it.
func canonical(ballots []*Ballot, logView uint32, op uint64) (found *Header, from int, reason string) {
	for i, b := range ballots {
		if b == nil || b.LogView != logView {
			continue
		}
		switch h := b.List.find(op); {
		case h == nil:
		case found == nil:
			found, from = h, i
		case found.Checksum != h.Checksum:
			return nil, 0, "one log_view has two prepares of one op"
		}
	}
	return found, from, ""
}

// word is what a ballot says of an op of the canonical log.
type word uint8

const (
	saysNothing word = iota // it may have had it: a blank, a damaged slot, an uncertain op, or no ballot
	hasIt
	nacksIt
)

// says tells what a ballot says of op, whose header in the canonical log is h, or nil if that is
// not known.
func (b *Ballot) says(op uint64, h *Header, logView uint32) word {
	if b == nil {
		return saysNothing
	}
	l := &b.List
	isOlder := b.LogView < logView
	place := -1
	if op <= l.Head() && op >= l.Lowest() {
		place = int(l.Head() - op)
	}
	switch {
	case isOlder && (h == nil || h.View > b.LogView):
		// It was prepared in a view whose log this replica never had. (All headers with which a view
		// began are in the superblock of each replica of that view. So if none of them knows the
		// header, the op was prepared in the view.)
		return nacksIt
	case place < 0 && op < l.Lowest():
		return saysNothing // committed, and not asked for
	case place < 0 && l.Uncertain.Has(op):
		return saysNothing
	case place < 0:
		return nacksIt // above its head, and certainly not there
	}
	known := &l.Headers[place]
	switch {
	case b.Nack>>place&1 != 0:
		return nacksIt
	case h == nil || known.Blank:
		return saysNothing
	case known.Checksum != h.Checksum:
		return nacksIt // of an older log_view, whose op was another one
	case b.Present>>place&1 != 0:
		return hasIt
	}
	return saysNothing
}

// Forfeit tells whether a new primary hands on instead of starting its view, and to which view. It
// does so if it lags by a checkpoint: it would have to sync before it could execute, and nobody
// would be served meanwhile. isNextDurable tells whether a quorum has the checkpoint after its own;
// otherwise it hands on only once in a round of views, so that a single replica that is ahead, and
// perhaps broken, does not keep the others from beginning. The next view whose primary has the
// latest checkpoint is taken.
func Forfeit(q *Quorums, view, logView uint32, ballots []*Ballot, isNextDurable bool) (next uint32, isForfeit bool) {
	latest := uint64(0)
	for _, b := range ballots {
		if b != nil {
			latest = max(latest, b.CheckpointOp)
		}
	}
	own := ballots[q.PrimaryOf(view)]
	assert.That(own != nil, "the new primary has a ballot of its own")
	if own.CheckpointOp >= latest || !isNextDurable && view-logView >= uint32(q.Replicas) {
		return view, false
	}
	for next = view + 1; ; next++ {
		if b := ballots[q.PrimaryOf(next)]; b != nil && b.CheckpointOp == latest {
			return next, true
		}
	}
}
