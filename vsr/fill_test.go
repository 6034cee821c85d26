package vsr

import "testing"

// logOf makes a log whose entries have the state that a letter says: h held, k only the header is
// known, f faulty, o another prepare, and a point if nothing is known.
func logOf(headers []Header, states string) (l fixedLog) {
	other := chained(9, 9, 9, 9, 9, 9, 9, 9, 9, 9)
	for op, state := range states {
		e := Entry{Header: headers[op]}
		switch state {
		case 'h':
			e.IsHeld = true
		case 'f':
			e.IsFaulty = true
		case 'o':
			e = Entry{Header: other[op], IsHeld: true}
		case '.':
			e.Header = Header{Op: uint64(op), Blank: true}
		}
		l = append(l, e)
	}
	return l
}

// Headers are asked for backwards: the newest gap first, and no more at once than one answer holds.
// Prepares are asked for forwards.
func TestGaps(t *testing.T) {
	headers := chained(1, 1, 1, 1, 1, 1, 1)
	for _, c := range []struct {
		states              string
		head, first         uint64
		chainFrom, from, to uint64 // from > to: there is no gap
	}{
		{"hhhhhhhh", 7, 0, 0, 1, 0},
		{"hhhhhhhh", 7, 3, 3, 1, 0},
		{"hhhkkfkh", 7, 0, 0, 1, 0}, // headers are all known
		{"hhhh.hhh", 7, 0, 5, 4, 4},
		{"h..h..hh", 7, 0, 6, 4, 5},
		{"h..h..hh", 7, 5, 6, 5, 5},
		{"h..h..hh", 7, 6, 6, 1, 0},
		{"hh.ohhhh", 7, 0, 4, 2, 3}, // a header that does not fit is asked for with the gap below
		{"hhhohhhh", 7, 0, 4, 3, 3},
		{"hhhhhhh.", 7, 0, 8, 7, 7},
	} {
		log := logOf(headers, c.states)
		if got := ChainFrom(log, c.head, c.first); got != c.chainFrom {
			t.Errorf("%s from %d: the chain begins at %d, want %d", c.states, c.first, got, c.chainFrom)
		}
		if from, to := HeaderGap(log, c.head, c.first); from != c.from || to != c.to {
			t.Errorf("%s from %d: gap %d to %d, want %d to %d", c.states, c.first, from, to, c.from, c.to)
		}
	}
	long := make(fixedLog, 201)
	for op := range long {
		long[op].Header = Header{Op: uint64(op), Blank: op < 200}
	}
	if from, to := HeaderGap(long, 200, 0); from != 200-GapHeadersMax || to != 199 {
		t.Errorf("a long gap: %d to %d", from, to)
	}
	log := logOf(headers, "hkh.hfhk")
	var got []uint64
	for op := NextPrepare(log, 0, 7); op <= 7; op = NextPrepare(log, op+1, 7) {
		got = append(got, op)
	}
	if len(got) != 3 || got[0] != 1 || got[1] != 5 || got[2] != 7 || NextPrepare(log, 2, 4) != 5 {
		t.Errorf("prepares to repair: %v", got)
	}
}

// What repair may put into the log, rule by rule.
func TestFill(t *testing.T) {
	// The log of the head has ops 1 to 7, of views 1, 1, 2, 2, 3, 3, 3; ops 1 and 2 are executed.
	headers := chained(1, 1, 2, 2, 3, 3, 3)
	other := chained(1, 4, 2, 4, 3, 4, 4)
	fill := func(h Header, chainFrom int, known Header) *Fill {
		f := &Fill{Header: h, View: 4, Head: headers[7], First: 1, CommitMin: 2, Known: known, ChainFrom: uint64(chainFrom)}
		f.ChainParent = headers[chainFrom].Parent
		return f
	}
	blank := Header{Blank: true}
	for _, c := range []struct {
		what string
		fill *Fill
		want string
	}{
		{"the next of the chain", fill(headers[5], 6, blank), ""},
		{"the next of the chain, of an older view", fill(headers[4], 5, blank), ""},
		{"the next of the chain, instead of another one", fill(headers[4], 5, other[4]), ""},
		{"not the next of the chain, though of a newer view", fill(other[4], 5, headers[4]),
			"it is not the one that the chain of the head needs"},
		{"below a gap, of the head's view", fill(headers[5], 7, blank), ""},
		{"below a gap, of an older view", fill(headers[4], 7, blank), "nothing connects it with the head yet"},
		{"below a gap, of a newer view than what is there", fill(other[4], 7, headers[4]), "nothing connects it with the head yet"},
		{"within the chain", fill(headers[6], 5, headers[6]), ""},
		{"within the chain, another one", fill(other[6], 5, headers[6]), "the chain of the head has another one"},
		{"the head", fill(headers[7], 7, headers[7]), ""},
		{"another head", fill(other[7], 7, headers[7]), "the chain of the head has another one"},
		{"above the head", fill(Header{Op: 8, View: 3}, 7, blank), "it is above the head"},
		{"of a later view", fill(Header{Op: 5, View: 5}, 7, blank), "it is of a view after this one"},
		{"too old", fill(headers[0], 7, blank), "it is older than what the log needs"},
		{"executed", fill(other[2], 7, headers[2]), "another one was executed"},
		{"blank", fill(Header{Op: 5, Blank: true}, 7, blank), "it is blank"},
	} {
		if got := c.fill.Refused(); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

// Which start_view a replica follows.
func TestStartIsFollowed(t *testing.T) {
	nonce := [16]byte{7}
	q := QuorumsOf(3)
	for _, c := range []struct {
		what    string
		changes func(s *Start)
		want    string
	}{
		{"of a newer view", func(s *Start) {}, ""},
		{"of this view", func(s *Start) { s.OwnView = 4 }, ""},
		{"of an older view", func(s *Start) { s.OwnView = 5 }, "it is of an older view"},
		{"its own", func(s *Start) { s.Self = 1 }, "it is its own"},
		{"from another replica", func(s *Start) { s.From = 2 }, "it is not from the primary of its view"},
		{"behind the checkpoint", func(s *Start) { s.CheckpointOp = 31 }, "it is older than the checkpoint here"},
		{"of this view's log, older", func(s *Start) { s.OwnView, s.OwnLogView, s.OwnOp = 4, 4, 41 }, "the log of this view is longer here"},
		{"of this view's log, newer", func(s *Start) { s.OwnView, s.OwnLogView, s.OwnOp = 4, 4, 39 }, ""},
		{"an uncertain head, a newer view", func(s *Start) { s.IsHeadUncertain = true }, ""},
		{"an uncertain head, the same view", func(s *Start) { s.IsHeadUncertain, s.OwnView, s.OwnLogView = true, 4, 4 },
			"it may have been sent before what this replica acknowledged and lost"},
		{"a standby, its own nonce", func(s *Start) { s.IsStandby, s.Nonce = true, nonce }, ""},
		{"a standby, a newer view that it did not ask for", func(s *Start) { s.IsStandby = true },
			"a standby takes the answer to its own question only"},
		{"an uncertain head, its own nonce", func(s *Start) { s.IsHeadUncertain, s.OwnView, s.OwnLogView, s.Nonce = true, 4, 4, nonce }, ""},
		{"an uncertain head, no nonce at all", func(s *Start) { s.IsHeadUncertain, s.OwnView, s.OwnLogView, s.OwnNonce = true, 4, 4, [16]byte{} },
			"it may have been sent before what this replica acknowledged and lost"},
		{"an uncertain head, all that can be prepared", func(s *Start) {
			s.IsHeadUncertain, s.OwnView, s.OwnLogView, s.PrepareMax = true, 4, 4, 40
		}, ""},
	} {
		s := Start{View: 4, From: 1, Op: 40, CommitMax: 30, Self: 0, OwnView: 3, OwnLogView: 3, OwnOp: 35, PrepareMax: 100, OwnNonce: nonce}
		c.changes(&s)
		if got := s.Ignored(&q); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}
