package vsr

import (
	"fmt"
	"testing"

	"ledger/wire"
)

// have is what a replica has of an op of its log.
type have uint8

const (
	haveNothing     have = iota // the slot is empty
	haveHeader                  // only the header, and the prepare never came
	havePrepare                 // all; it may have been acknowledged
	haveDamaged                 // a damaged slot that may have had all
	haveDamagedName             // the same, but the header is known
)

// history is a configuration of the exhaustive test: which logs there were. View v has a log of
// opsMax ops: up to starts[v] those of the log of view bases[v], then its own.
type history struct {
	opsMax, views int
	starts, bases [4]int
}

// prepared returns the view in which op of the log of a view was prepared.
func (y *history) prepared(view, op int) int {
	for op <= y.starts[view] {
		view = y.bases[view]
	}
	return view
}

// histories calls f with every history.
func histories(opsMax, views int, f func(y history)) {
	y := history{opsMax: opsMax, views: views}
	switch views {
	case 2:
		for y.starts[2] = 0; y.starts[2] <= opsMax; y.starts[2]++ {
			y.bases[2] = 1
			f(y)
		}
	case 3: // the third view may take up again what the second left out
		for y.starts[2] = 0; y.starts[2] <= opsMax; y.starts[2]++ {
			for y.starts[3] = 0; y.starts[3] <= opsMax; y.starts[3]++ {
				for y.bases[3] = 1; y.bases[3] <= 2; y.bases[3]++ {
					y.bases[2] = 1
					f(y)
				}
			}
		}
	}
}

func (y *history) header(view, op int) Header {
	if op == 0 {
		return Header{Checksum: wire.Checksum{1}}
	}
	parent := y.header(view, op-1)
	by := y.prepared(view, op)
	checksum := wire.Checksum{2, byte(op), byte(by), parent.Checksum[2]}
	return Header{Op: uint64(op), View: uint32(by), Checksum: checksum, Parent: parent.Checksum}
}

// voter is one replica as it leaves its view.
type voter struct {
	logView int
	has     [4]have // by op
	ballot  Ballot
}

// entries of a voter's log.
type voterLog struct {
	y *history
	v *voter
}

func (l voterLog) Entry(op uint64) Entry {
	header := l.y.header(l.v.logView, int(op))
	blank := Header{Op: op, Blank: true}
	if op == 0 {
		return Entry{Header: header, IsHeld: true}
	}
	switch l.v.has[op] {
	case haveHeader:
		return Entry{Header: header}
	case havePrepare:
		return Entry{Header: header, IsHeld: true}
	case haveDamaged:
		return Entry{Header: blank, IsFaulty: true}
	case haveDamagedName:
		return Entry{Header: header, IsFaulty: true}
	}
	return Entry{Header: blank}
}

// voters returns every replica that there can be in a history. The headers with which its view
// began are known. Above its head it knows none, and what is damaged there is uncertain.
func (y *history) voters() (all []*voter) {
	states := 1
	for range y.opsMax {
		states *= 5
	}
	for logView := 1; logView <= y.views; logView++ {
	next:
		for state := range states {
			v := &voter{logView: logView}
			head := y.starts[logView]
			for op, rest := 1, state; op <= y.opsMax; op, rest = op+1, rest/5 {
				if v.has[op] = have(rest % 5); v.has[op] == havePrepare {
					head = max(head, op)
				}
			}
			uncertain := Set{}
			for op := 1; op <= y.opsMax; op++ {
				switch v.has[op] {
				case haveNothing:
					if op <= y.starts[logView] {
						continue next
					}
				case haveHeader, haveDamagedName:
					if op > head {
						continue next
					}
				case haveDamaged:
					if op <= y.starts[logView] {
						continue next
					}
					if op > head {
						uncertain.Add(uint64(op))
					}
				}
			}
			durable := List{}
			for op := y.starts[logView]; op >= 0; op-- {
				durable.Headers[durable.Count] = y.header(logView, op)
				durable.Count++
			}
			log := voterLog{y, v}
			v.ballot = Ballot{LogView: uint32(logView), List: Freeze(log, &durable, uint64(head), 0, &uncertain)}
			v.ballot.Present, v.ballot.Nack = v.ballot.List.Bits(log)
			all = append(all, v)
		}
	}
	return all
}

// mayHave tells whether a voter may have acknowledged an op of the log of a view.
func (v *voter) mayHave(op int) bool { return v.has[op] >= havePrepare }

// exhaustive goes through all sets of answers.
type exhaustive struct {
	t        *testing.T
	y        history
	q        Quorums
	all      []*voter
	given    []*voter
	ballots  []*Ballot
	outcomes map[string]int
	failed   int
}

// mayBeCommitted is the oracle. It knows nothing of lists, blanks and nacks. An op is committed
// when a quorum has acknowledged it in one view, and all ops below it are. Replicas that have not
// answered may have acknowledged all that there is.
//
// The whole history tells more than the answers. If a view in between left the op out, the views
// before had not committed it. And what an unnamed damaged slot held, is known.
func (x *exhaustive) mayBeCommitted(logView, op int, isHistoryKnown bool) bool {
	for at := 1; at <= op; at++ {
		by := x.y.prepared(logView, at)
		isPossible := false
		for view := logView; view >= by && (!isHistoryKnown || x.y.prepared(view, at) == by); view-- {
			count := x.q.Replicas - len(x.given)
			for _, v := range x.given {
				isThis := x.y.prepared(v.logView, at) == by || !isHistoryKnown && v.has[at] == haveDamaged && v.logView < logView
				if v.logView >= view && isThis && v.mayHave(at) {
					count++
				}
			}
			isPossible = isPossible || count >= x.q.Replication
		}
		if !isPossible {
			return false
		}
	}
	return true
}

// canKeep tells whether the op is intact somewhere: a replica of the log's view has the header, and
// some replica has the prepare.
func (x *exhaustive) canKeep(logView, op int) bool {
	isKnown, isThere := false, false
	for _, v := range x.given {
		isKnown = isKnown || v.logView == logView && (v.has[op] == haveHeader || v.has[op] == havePrepare || v.has[op] == haveDamagedName)
		isThere = isThere || v.has[op] == havePrepare && x.y.prepared(v.logView, op) == x.y.prepared(logView, op)
	}
	return isKnown && isThere
}

// judge returns what is wrong with a choice.
func (x *exhaustive) judge(c *Choice) string {
	logView := 0
	for _, v := range x.given {
		logView = max(logView, v.logView)
	}
	kept, isAll := int(c.OpHead), len(x.given) == x.q.Replicas
	for op := 1; op <= kept; op++ {
		if c.Headers[op] != x.y.header(logView, op) {
			return fmt.Sprintf("op %d is another one", op)
		}
		if !x.canKeep(logView, op) {
			return fmt.Sprintf("op %d is kept, and nobody who answered has it", op)
		}
	}
	switch c.Outcome {
	case OutcomeBroken:
		return "broken: " + c.Reason
	case OutcomeChosen:
		if kept < x.y.opsMax && x.mayBeCommitted(logView, kept+1, true) {
			return fmt.Sprintf("op %d is dropped, and may be committed", kept+1)
		}
		return ""
	case OutcomeStuck:
		if !isAll {
			return "stuck, and not all have answered"
		}
	case OutcomeWait:
		if isAll {
			return "it waits, and all have answered"
		}
	}
	op := int(c.Op)
	switch {
	case op != kept+1:
		return fmt.Sprintf("it stopped at op %d behind op %d", op, kept)
	case x.canKeep(logView, op):
		return fmt.Sprintf("op %d could be kept", op)
	case !x.mayBeCommitted(logView, op, false):
		return fmt.Sprintf("op %d could be dropped", op)
	}
	return ""
}

// walk adds voters from index first on until size have answered. Which replica is which does not
// matter, so only sets are walked through.
func (x *exhaustive) walk(first, size int) {
	if len(x.given) == size {
		c := Choose(&x.q, PipelineMax, x.ballots)
		what := c.Outcome.String()
		if c.Truncated != 0 {
			what = "truncated"
		}
		x.outcomes[what]++
		if reason := x.judge(&c); reason != "" && x.failed < 3 {
			x.failed++
			text := ""
			for _, v := range x.given {
				text += fmt.Sprintf("\n  log_view %d, has %v: present %b, nack %b, uncertain %v, list %v", v.logView, v.has[1:x.y.opsMax+1],
					v.ballot.Present, v.ballot.Nack, v.ballot.List.Uncertain[0], v.ballot.List.Headers[:v.ballot.List.Count])
			}
			x.t.Errorf("%d replicas, history %+v: %s\n%+v%s", x.q.Replicas, x.y, reason, c, text)
		}
		return
	}
	for i := first; i < len(x.all) && x.failed < 3; i++ {
		x.ballots[len(x.given)] = &x.all[i].ballot
		x.given = append(x.given, x.all[i])
		x.walk(i, size)
		x.given = x.given[:len(x.given)-1]
		x.ballots[len(x.given)] = nil
	}
}

// Goal: the choice of the log never drops an op that may be committed, never keeps one that nobody
// has, and waits or is stuck only where it cannot do either. All combinations of what replicas can
// have of up to three ops are walked through (nothing, the header, the prepare, damage with and
// without a known header, below and above the head), with up to three log_views, for three to six
// replicas and every number of answers from a quorum on.
func TestChoiceExhaustive(t *testing.T) {
	outcomes := map[string]int{}
	for _, c := range []struct {
		replicas, opsMax, views int
		isLong                  bool
	}{
		{2, 3, 2, false}, {3, 1, 3, false}, {3, 2, 3, false}, {3, 3, 2, false}, {4, 1, 3, false}, {4, 2, 3, false},
		{5, 1, 3, false}, {5, 2, 2, false}, {6, 1, 3, false}, {6, 2, 2, false},
		{3, 3, 3, true}, {4, 3, 2, true}, {5, 2, 3, true}, {5, 3, 2, true}, {6, 2, 3, true}, {6, 3, 2, true},
	} {
		if c.isLong && !*longFlag {
			continue
		}
		t.Run(fmt.Sprintf("%d-replicas-%d-ops-%d-views", c.replicas, c.opsMax, c.views), func(t *testing.T) {
			histories(c.opsMax, c.views, func(y history) {
				x := exhaustive{t: t, y: y, q: QuorumsOf(c.replicas), outcomes: outcomes}
				x.all, x.ballots = y.voters(), make([]*Ballot, c.replicas)
				for _, v := range x.all {
					if reason := v.ballot.Check(uint32(c.views)+1, PipelineMax); reason != "" {
						t.Fatalf("%+v: %s", v, reason)
					}
				}
				for size := x.q.ViewChange; size <= c.replicas; size++ {
					x.walk(0, size)
				}
			})
		})
	}
	for _, what := range []string{"wait", "chosen", "stuck", "truncated"} {
		if outcomes[what] == 0 {
			t.Errorf("never reached: %s", what)
		}
	}
	t.Log(outcomes)
}
