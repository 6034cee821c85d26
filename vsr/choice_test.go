package vsr

import (
	"testing"

	"ledger/wire"
)

// Counterexample of the specification, 9.4: why log_view is durable before do_view_change.
//
// In view 1, R0 prepares three ops, and nobody receives them. In view 2, R1 prepares three others,
// and nobody receives them either. The primary of view 3 is R2. It hears R0, takes up R0's log, R0
// follows, and they commit. R0 crashes, and R2 is cut off. Now R0 and R1 choose.
func TestCounterexample94LogViewMustBeDurable(t *testing.T) {
	q := QuorumsOf(3)
	first, second := chained(1, 1, 1), chained(2, 2, 2)
	r0, r1 := newMachine(t, 1, first, 0), newMachine(t, 2, second, 0)
	r2 := newMachine(t, 0, first[:1], 0)

	c := Choose(&q, PipelineMax, []*Ballot{r0.vote(3), nil, r2.vote(3)})
	expect(t, "view 3", c, first, 3)

	r0 = newMachine(t, 3, first, 3) // log_view 3 became durable before R0 acknowledged anything in view 3
	c = Choose(&q, PipelineMax, []*Ballot{r0.vote(4), r1.vote(4), nil})
	expect(t, "view 4", c, first, 3)

	// If R0 had kept log_view in memory only, it would come back with that of view 1.
	r0 = newMachine(t, 1, first, 0)
	c = Choose(&q, PipelineMax, []*Ballot{r0.vote(4), r1.vote(4), nil})
	expect(t, "view 4 without a durable log_view loses what was committed", c, second, 3)
}

// Counterexample of the specification, 9.5: the stall that implementations of Raft have.
//
// Op 3 is committed on all three replicas. Then op 2 rots at A and op 3 at B, and C is down. Every
// op is intact on one of A and B.
func TestCounterexample95DamageOnAMajority(t *testing.T) {
	q := QuorumsOf(3)
	log := chained(1, 1, 1)
	for _, listed := range []int{0, 1, 2, 3} { // with which view 1 may have begun
		a, b := newMachine(t, 1, log, listed), newMachine(t, 1, log, listed)
		a.rot(2)
		b.rot(3)
		ballots := []*Ballot{a.vote(2), b.vote(2), nil}
		expect(t, "A and B", Choose(&q, PipelineMax, ballots), log, 3)
	}
	// If both have lost the same op, C is needed; if C has lost it too, or never had it, nobody
	// guesses.
	a, b, c := newMachine(t, 1, log, 0), newMachine(t, 1, log, 0), newMachine(t, 1, log, 0)
	a.rot(3)
	b.rot(3)
	ballots := []*Ballot{a.vote(2), b.vote(2), nil}
	expect(t, "A and B without op 3", Choose(&q, PipelineMax, ballots), log, -1)
	ballots[2] = c.vote(2)
	expect(t, "C has op 3", Choose(&q, PipelineMax, ballots), log, 3)
	ballots[2] = newMachine(t, 1, log[:3], 0).vote(2)
	expect(t, "C never had op 3", Choose(&q, PipelineMax, ballots), log, -2)
}

// committedByAAndX is how both schedules begin: op 2 is committed by A and X, A's copy rots, and Y
// never had it.
func committedByAAndX(t *testing.T) (a, x, y *machine, log []Header) {
	log = chained(1, 1)
	a, x, y = newMachine(t, 1, log, 0), newMachine(t, 1, log, 0), newMachine(t, 1, log[:2], 0)
	a.rot(2)
	if r := a.start(); r.Certain() || r.OpHead != 1 || !r.Uncertain.Has(2) {
		t.Fatalf("A's head is not uncertain: %+v", r)
	}
	return a, x, y, log
}

// Schedule 1 of the rule that uncertain heads vote: A and Y vote. A loop that ends at the highest
// canonical head, which is 1, would drop op 2.
func TestSchedule1LoopEndsAtTheHead(t *testing.T) {
	q := QuorumsOf(3)
	a, x, y, log := committedByAAndX(t)
	ballots := []*Ballot{a.vote(2), nil, y.vote(2)}
	expect(t, "A and Y", Choose(&q, PipelineMax, ballots), log, -1)
	ballots[1] = x.vote(2)
	expect(t, "X as well", Choose(&q, PipelineMax, ballots), log, 2)
	expect(t, "A and X", Choose(&q, PipelineMax, []*Ballot{ballots[0], ballots[1], nil}), log, 2)
}

// Schedule 2: A votes, crashes, and starts with log_view < view. If it called its head certain
// then, or asked its slots again, A and Y would drop op 2.
func TestSchedule2HeadIsCertainAfterARestart(t *testing.T) {
	q := QuorumsOf(3)
	a, x, y, log := committedByAAndX(t)
	first := *a.vote(2)
	for view := uint32(3); view < 6; view++ {
		if again := a.vote(view); again.List != first.List || again.Present != first.Present || again.Nack != first.Nack {
			t.Fatalf("what A says has changed: %+v, %+v", first, again)
		}
		a.slots[2] = Slot{P: Copy{Kind: KindReserved}, T: Copy{Kind: KindReserved}} // whatever becomes of its slots
	}
	ballots := []*Ballot{a.vote(6), nil, y.vote(6)}
	expect(t, "A and Y", Choose(&q, PipelineMax, ballots), log, -1)
	ballots[1] = x.vote(6)
	expect(t, "X as well", Choose(&q, PipelineMax, ballots), log, 2)
}

// What is uncertain is a set. A power cut tears op 2 on all three replicas, and ops 3 and 4, which
// were written before, rot. With a bound instead of the set (all ops up to the highest faulty one),
// nobody could nack op 2, which nobody has: the cluster would be stuck.
func TestUncertainOpsAreASet(t *testing.T) {
	q := QuorumsOf(3)
	log := chained(1, 1, 1, 1)
	ballots := make([]*Ballot, 3)
	for i := range ballots {
		m := newMachine(t, 1, log, 0)
		m.tear(2)
		m.rot(3)
		m.rot(4)
		ballots[i] = m.vote(2)
		if u := &ballots[i].List.Uncertain; ballots[i].List.Head() != 1 || u.Has(2) || !u.Has(3) || !u.Has(4) {
			t.Fatalf("%+v", ballots[i].List)
		}
	}
	c := Choose(&q, PipelineMax, ballots)
	expect(t, "all", c, log, 1)
	if c.Truncated != 2 {
		t.Errorf("%+v", c)
	}
}

// Goal: damage in the logs of all replicas is survived if each op is intact somewhere. Of each of
// four ops, every replica has the prepare or never had it, and at most one replica has it damaged:
// in every way of placing them, all three heads uncertain at once included. Three answers always
// suffice, and what two replicas may have acknowledged is kept.
func TestEveryPlacementOfDamage(t *testing.T) {
	q := QuorumsOf(3)
	log := chained(1, 1, 1, 1)
	const nothing, has, damaged = 0, 1, 2
	var placements [][3]int // of one op
	for all := range 27 {
		p := [3]int{all % 3, all / 3 % 3, all / 9}
		if count := p[0]/damaged + p[1]/damaged + p[2]/damaged; count <= 1 {
			placements = append(placements, p)
		}
	}
	ballots := map[[4]int]*Ballot{} // by what a replica has
	ballotOf := func(state [4]int) *Ballot {
		if ballots[state] == nil {
			m := newMachine(t, 1, log[:1], 0)
			for op := 1; op <= 4; op++ {
				switch state[op-1] {
				case has:
					m.write(&log[op])
				case damaged:
					m.rot(op)
				}
			}
			ballots[state] = m.vote(2)
		}
		return ballots[state]
	}
	uncertainHeads, lengths := 0, [5]int{}
	for i := range len(placements) * len(placements) * len(placements) * len(placements) {
		states, committed, isPrefix := [3][4]int{}, 0, true
		for op, rest := 1, i; op <= 4; op, rest = op+1, rest/len(placements) {
			count := 0
			for r, state := range placements[rest%len(placements)] {
				states[r][op-1] = state
				if state != nothing {
					count++
				}
			}
			if isPrefix = isPrefix && count >= q.Replication; isPrefix {
				committed = op
			}
		}
		all := []*Ballot{ballotOf(states[0]), ballotOf(states[1]), ballotOf(states[2])}
		if !all[0].List.Uncertain.Empty() && !all[1].List.Uncertain.Empty() && !all[2].List.Uncertain.Empty() {
			uncertainHeads++
		}
		c := Choose(&q, PipelineMax, all)
		if c.Outcome != OutcomeChosen || c.OpHead < uint64(committed) {
			t.Fatalf("%v: %+v, but op %d may be committed", states, c, committed)
		}
		lengths[c.OpHead]++
		for r := range all {
			two := []*Ballot{all[0], all[1], all[2]}
			two[r] = nil
			if c := Choose(&q, PipelineMax, two); c.Outcome != OutcomeWait && (c.Outcome != OutcomeChosen || c.OpHead < uint64(committed)) {
				t.Fatalf("%v without %d: %+v, but op %d may be committed", states, r, c, committed)
			}
		}
	}
	if uncertainHeads == 0 || lengths[0]*lengths[1]*lengths[2]*lengths[3]*lengths[4] == 0 {
		t.Errorf("all heads uncertain: %d; by length of the log: %v", uncertainHeads, lengths)
	}
	t.Log(uncertainHeads, lengths)
}

// Fewer ballots than a quorum choose nothing.
func TestChoiceNeedsAQuorum(t *testing.T) {
	for n := 1; n <= 6; n++ {
		q := QuorumsOf(n)
		ballots := make([]*Ballot, n)
		for i := range q.ViewChange {
			if c := Choose(&q, PipelineMax, ballots); c.Outcome != OutcomeWait || c.Op != 0 {
				t.Errorf("%d of %d ballots: %+v", i, n, c)
			}
			ballots[i] = newMachine(t, 1, chained(1, 1), 1).vote(2)
		}
		expect(t, "a quorum", Choose(&q, PipelineMax, ballots), chained(1, 1), 2)
	}
}

// commit_max is the highest of what the ballots prove, and what is committed is never dropped.
func TestChoiceCommitMax(t *testing.T) {
	q := QuorumsOf(3)
	log := chained(1, 1, 1, 1, 1, 1)
	for i := range log {
		if i > 3 {
			log[i].Commit = 2
		}
	}
	ballot := func(head int, lowest, commitMin uint64) *Ballot {
		m := newMachine(t, 1, log[:head+1], 0)
		b := &Ballot{LogView: 1, CommitMin: commitMin}
		m.list = List{}
		for op := head; op >= int(lowest); op-- {
			b.List.Headers[b.List.Count] = log[op]
			b.List.Count++
			b.Present |= 1 << (head - op)
		}
		return b
	}
	for _, c := range []struct {
		what       string
		pipeline   int
		a, b       *Ballot
		commit, to uint64
	}{
		{"lowest of a list", 8, ballot(3, 3, 0), ballot(3, 0, 0), 3, 3},
		{"executed", 8, ballot(3, 0, 1), ballot(3, 0, 0), 1, 3},
		{"head's commit", 8, ballot(5, 0, 0), ballot(3, 0, 0), 2, 5},
		{"behind a pipeline", 2, ballot(3, 1, 0), ballot(2, 0, 0), 1, 3},
		{"op 6 is behind the head of a longer log", 2, ballot(6, 4, 0), ballot(2, 0, 0), 4, 6},
		{"nothing", 8, ballot(1, 0, 0), ballot(0, 0, 0), 0, 1},
	} {
		got := Choose(&q, c.pipeline, []*Ballot{c.a, nil, c.b})
		if got.Outcome != OutcomeChosen || got.CommitMax != c.commit || got.OpHead != c.to || got.Count != int(c.to-c.commit)+1 {
			t.Errorf("%s: %+v", c.what, got)
		}
		for i := range got.Count {
			if got.Headers[i] != log[int(c.commit)+i] || got.From[i] != 0 {
				t.Errorf("%s: header %d: %+v from %d", c.what, i, got.Headers[i], got.From[i])
			}
		}
	}
	// What is committed is waited for, whatever is said of it.
	none := ballot(3, 3, 3)
	none.Present = 0
	if got := Choose(&q, 8, []*Ballot{none, nil, ballot(0, 0, 0)}); got.Outcome != OutcomeWait || got.Op != 3 {
		t.Errorf("a committed op that nobody has: %+v", got)
	}
	if got := Choose(&q, 8, []*Ballot{none, ballot(0, 0, 0), ballot(0, 0, 0)}); got.Outcome != OutcomeStuck || got.Op != 3 {
		t.Errorf("a committed op that nobody has: %+v", got)
	}
}

// Messages that contradict each other are found, and nothing is chosen.
func TestChoiceIsBroken(t *testing.T) {
	q := QuorumsOf(3)
	a, b := newMachine(t, 1, chained(1, 1), 0).vote(2), newMachine(t, 1, chained(1, 1), 0).vote(2)
	b.List.Headers[0].Checksum = wire.Checksum{9}
	isBroken(t, Choose(&q, PipelineMax, []*Ballot{a, b, nil}), "one log_view has two prepares of one op")
	b.List.Headers[0] = Header{Op: 2, Blank: true}
	b.List.Headers[1].Checksum = wire.Checksum{9}
	a.List.Headers[1] = Header{Op: 1, Blank: true}
	b.Present, a.Present = 6, 5
	isBroken(t, Choose(&q, PipelineMax, []*Ballot{a, b, nil}), "the canonical headers are no chain")
}

func isBroken(t *testing.T, c Choice, reason string) {
	t.Helper()
	if c.Outcome != OutcomeBroken || c.Op != 2 || c.Reason != reason {
		t.Errorf("%+v, want %q", c, reason)
	}
}

// A new primary that lags by a checkpoint hands on to the next one that does not.
func TestForfeit(t *testing.T) {
	q := QuorumsOf(3)
	at := func(checkpoints ...int) (ballots []*Ballot) {
		for _, op := range checkpoints {
			if op < 0 {
				ballots = append(ballots, nil)
				continue
			}
			ballots = append(ballots, &Ballot{CheckpointOp: uint64(op)})
		}
		return ballots
	}
	for _, c := range []struct {
		what          string
		view, logView uint32
		ballots       []*Ballot
		isNextDurable bool
		next          uint32
	}{
		{"nobody is ahead", 3, 2, at(895, 895, -1), false, 3},
		{"others are behind", 3, 2, at(1791, 895, 895), true, 3},
		{"one is ahead", 3, 2, at(895, 895, 1791), false, 5},
		{"one is ahead, and did not answer", 3, 2, at(895, 895, -1), true, 3},
		{"two are ahead", 3, 2, at(895, 1791, 1791), true, 4},
		{"one is more ahead", 3, 2, at(895, 1791, 2687), true, 5},
		{"one is ahead, in the last view of a round", 6, 4, at(895, 895, 1791), false, 8},
		{"one is ahead, for more than a round", 6, 3, at(895, 895, 1791), false, 6},
		{"a quorum is ahead, for more than a round", 6, 3, at(895, 895, 1791), true, 8},
	} {
		next, isForfeit := Forfeit(&q, c.view, c.logView, c.ballots, c.isNextDurable)
		if next != c.next || isForfeit != (c.next != c.view) {
			t.Errorf("%s: view %d, %v; want %d", c.what, next, isForfeit, c.next)
		}
	}
}
