package consensus

import (
	"bytes"
	"testing"

	"ledger/internal/ports"
	"ledger/stages"
	"ledger/wire"
)

var testRelease = wire.ReleaseOf(0, 17, 9)

// Goal: every row of the wire protocol's 4.4 has its outcome, and an earlier row wins over a later
// one.
func TestRequestRules(t *testing.T) {
	const reply, silence = wire.EvictionReason(100), wire.EvictionReason(101)
	type change = func(f *wire.RequestFields)
	cases := []struct {
		name   string
		change change
		body   int
		header func(h *wire.Header)
		want   wire.EvictionReason
	}{
		{name: "11: the next request", want: reply},
		{name: "1: view above ours", change: func(f *wire.RequestFields) { f.View = 9 }, want: silence},
		{name: "1 before 2", change: func(f *wire.RequestFields) { f.View, f.Release = 9, 1 }, want: silence},
		{name: "1: our view", change: func(f *wire.RequestFields) { f.View = 1 }, want: reply},
		{name: "2: release below the minimum", change: func(f *wire.RequestFields) { f.Release = 1 }, want: wire.EvictionReleaseTooLow},
		{name: "2: release above the maximum", change: func(f *wire.RequestFields) { f.Release = 0xffffffff }, want: wire.EvictionReleaseTooHigh},
		{name: "2 before 3", change: func(f *wire.RequestFields) { f.Release = 1 }, body: 40_000, want: wire.EvictionReleaseTooLow},
		{name: "3: larger than told at the register", body: 40_000, want: wire.EvictionInvalidBodySize},
		{name: "3 before 4", change: func(f *wire.RequestFields) { f.Operation = 200 }, body: 40_000, want: wire.EvictionInvalidBodySize},
		{name: "4: unknown operation", change: func(f *wire.RequestFields) { f.Operation = 200 }, want: wire.EvictionInvalidOperation},
		{name: "4: pulse", change: func(f *wire.RequestFields) { f.Operation = wire.OperationPulse }, want: wire.EvictionInvalidOperation},
		{name: "4 before 7", change: func(f *wire.RequestFields) { f.Operation, f.Session = 200, 1 }, want: wire.EvictionInvalidOperation},
		{name: "5: invalid body", body: 17, want: wire.EvictionInvalidBody},
		{name: "5 before 7", change: func(f *wire.RequestFields) { f.Session = 1 }, body: 17, want: wire.EvictionInvalidBody},
		{name: "7: session below", change: func(f *wire.RequestFields) { f.Session-- }, want: wire.EvictionSessionTooLow},
		{name: "7: session below, other release", change: func(f *wire.RequestFields) { f.Session--; f.Release = testRelease + 1 },
			want: wire.EvictionSessionTooLow},
		{name: "7: session above", change: func(f *wire.RequestFields) { f.Session++ }, want: silence},
		{name: "7: session above, other release", change: func(f *wire.RequestFields) { f.Session++; f.Release = testRelease + 1 },
			want: silence},
		{name: "7: other release", change: func(f *wire.RequestFields) { f.Release = testRelease + 1 },
			want: wire.EvictionSessionReleaseMismatch},
		{name: "7: other release, old number", change: func(f *wire.RequestFields) { f.Release = testRelease + 1; f.Number = 1 },
			want: wire.EvictionSessionReleaseMismatch},
		{name: "7: number below", change: func(f *wire.RequestFields) { f.Number -= 2 }, want: silence},
		{name: "7: equal number, other request", change: func(f *wire.RequestFields) { f.Number-- }, want: silence},
		{name: "7: next number, other parent", change: func(f *wire.RequestFields) { f.Parent[3] ^= 1 }, want: silence},
		{name: "7: number beyond", change: func(f *wire.RequestFields) { f.Number++ }, want: silence},
		{name: "7: largest number", change: func(f *wire.RequestFields) { f.Number = 1<<32 - 1 }, want: silence},
		{name: "8: no session", change: func(f *wire.RequestFields) { f.Client.Lo = 77 }, want: wire.EvictionNoSession},
		{name: "8 before 9", change: func(f *wire.RequestFields) { f.Client.Lo = 77 }, header: func(h *wire.Header) { h.SetRequestTimestamp(1) },
			want: wire.EvictionNoSession},
		{name: "7 before 9", change: func(f *wire.RequestFields) { f.Session-- }, header: func(h *wire.Header) { h.SetRequestTimestamp(1) },
			want: wire.EvictionSessionTooLow},
		{name: "9: timestamp", header: func(h *wire.Header) { h.SetRequestTimestamp(1) }, want: silence},
		{name: "7: a register again, after a request", change: func(f *wire.RequestFields) {
			*f = wire.RequestFields{Client: f.Client, Operation: wire.OperationRegister, Release: testRelease}
		}, body: 256, want: silence},
		{name: "7: a register of another release", change: func(f *wire.RequestFields) {
			*f = wire.RequestFields{Client: f.Client, Operation: wire.OperationRegister, Release: testRelease + 1}
		}, body: 256, want: wire.EvictionSessionReleaseMismatch},
		{name: "6: a register without body", change: func(f *wire.RequestFields) {
			*f = wire.RequestFields{Client: wire.U128{Lo: 78}, Operation: wire.OperationRegister, Release: testRelease}
		}, want: wire.EvictionInvalidBodySize},
		{name: "8: a register", change: func(f *wire.RequestFields) {
			*f = wire.RequestFields{Client: wire.U128{Lo: 79}, Operation: wire.OperationRegister, Release: testRelease}
		}, body: 256, want: reply},
	}
	for _, c := range cases {
		l := testLimits()
		l.RequestBytesMax, l.GroupBytesMax = 32<<10, 128<<10
		w := newTester(t, l)
		w.register(1) // another one, so that sessions below ours exist
		f := w.next(w.next(w.register(5)))
		f.Release = testRelease
		if c.change != nil {
			c.change(&f)
		}
		message := frame(f, make([]byte, c.body))
		if c.header != nil {
			h := wire.HeaderOf(message[:256])
			c.header(h)
			h.SetChecksum(h.ComputeChecksum())
		}
		head := w.head
		h := w.ask(message)
		got := silence
		switch {
		case h == nil:
		case h.Command() == wire.CommandReply:
			got = reply
		case h.Command() == wire.CommandEviction:
			got = h.EvictionReason()
			if h.EvictionClient() != f.Client || h.View() != w.superblock.View {
				t.Errorf("%s: eviction of %v in view %d", c.name, h.EvictionClient(), h.View())
			}
		}
		if got != c.want {
			t.Errorf("%s: outcome %d, want %d", c.name, got, c.want)
		}
		if (w.head > head) != (c.want == reply) {
			t.Errorf("%s: the head went from %d to %d", c.name, head, w.head)
		}
	}
}

// Goal: the last request, and the register before any, are answered again with the same bytes;
// after a restart in the new view, with the context unchanged, and the session goes on.
func TestRepeatedRequests(t *testing.T) {
	w := newTester(t, testLimits())
	register := registerFrame(5)
	first := *w.ask(register)
	if again := w.ask(register); again == nil || *again != first {
		t.Fatal("a repeated register is answered in another way")
	}
	f := wire.RequestFields{Client: wire.U128{Lo: 5}, Session: first.ReplyCommit(), Number: 1, Parent: first.ReplyContext(),
		Operation: wire.OperationLookupAccountsUnbatched}
	request := frame(f, make([]byte, 32))
	w.ask(request)
	want := w.answers[0]
	head := w.head
	w.ask(request)
	if !bytes.Equal(w.answers[0], want) || w.head != head {
		t.Fatal("a repeated request is answered in another way, or executed again")
	}
	w.crash(false, false)
	w.settle()
	h := w.ask(request)
	got := w.answers[0]
	if h == nil || h.View() != 2 || h.ReplyContext() != wire.HeaderOf(want[:256]).ReplyContext() || !bytes.Equal(got[128:], want[128:]) {
		t.Fatal("after a restart the stored reply differs in more than the view")
	}
	f.Number, f.Parent, f.View = 2, h.ReplyContext(), 2
	if w.ask(frame(f, make([]byte, 16))) == nil {
		t.Fatal("the session does not go on")
	}
}

// Goal: while a request is on its way, from the queue to the last write, its repetitions and
// everything else of its client are ignored.
func TestRepetitionsOnTheWay(t *testing.T) {
	w := newTester(t, testLimits())
	f := w.next(w.register(5))
	request := frame(f, make([]byte, 16))
	head, executed := w.head, w.executed
	w.answers = nil
	other := f
	other.Operation = wire.OperationNoop
	for _, advance := range []func() bool{w.finishCommit, w.finishAppend} {
		w.receive(request)
		w.receive(frame(other, nil))
		w.receive(registerFrame(5))
		w.turn()
		w.receive(request)
		w.turn()
		if len(w.sends) != 0 {
			t.Fatal("an answer leaves before its time")
		}
		advance()
	}
	w.settle()
	if w.head != head+1 || w.executed != executed+1 || len(w.answers) != 1 ||
		wire.HeaderOf(w.answers[0][:256]).Command() != wire.CommandReply {
		t.Fatalf("%d ops, %d executed, %d answers; want one reply", w.head-head, w.executed-executed, len(w.answers))
	}
	w.checkQuiet()
}

// Goal: a ping is answered by reason 1, 2, 3 or a pong, in this order.
func TestPings(t *testing.T) {
	w := newTester(t, testLimits())
	f := w.register(5)
	cases := []struct {
		name    string
		client  uint64
		session uint64
		release wire.Release
		want    wire.EvictionReason
	}{
		{"a client with its session", 5, f.Session, testRelease, 0},
		{"a client with another session", 5, 1, testRelease, 0},
		{"an unknown client without session", 6, 0, testRelease, 0},
		{"an unknown client, session of the past", 6, w.stage.Commit(), testRelease, wire.EvictionNoSession},
		{"an unknown client, session of the future", 6, w.stage.Commit() + 1, testRelease, 0},
		{"1 before 2", 6, 1, 1, wire.EvictionNoSession},
		{"release too low", 5, f.Session, 1, wire.EvictionReleaseTooLow},
		{"release too high", 6, 0, 0xffffffff, wire.EvictionReleaseTooHigh},
	}
	for _, c := range cases {
		b := make([]byte, 256)
		wire.BuildPing(wire.HeaderOf(b), &wire.PingFields{Cluster: testCluster, Client: wire.U128{Lo: c.client}, TimestampNs: 55,
			Session: c.session, Release: c.release})
		switch h := w.ask(b); {
		case h == nil:
			t.Errorf("%s: no answer", c.name)
		case c.want == 0:
			if h.Command() != wire.CommandPongClient || h.PongTimestampNs() != 55 || h.View() != w.superblock.View {
				t.Errorf("%s: %v", c.name, h.Command())
			}
		case h.Command() != wire.CommandEviction || h.EvictionReason() != c.want:
			t.Errorf("%s: %v, want eviction %v", c.name, h.Command(), c.want)
		}
	}
}

// Goal: nothing is admitted during a replay or after a fault; leases still come back.
func TestNotServing(t *testing.T) {
	w := newTester(t, testLimits())
	f := w.register(5)
	w.crash(false, false)
	w.answers = nil
	w.receive(frame(f, make([]byte, 16)))
	w.turn()
	for w.finishFree(0) {
	}
	if w.ready || len(w.answers) != 0 {
		t.Fatal("a replaying replica answers")
	}
	w.settle()
	if !w.ready || len(w.answers) != 1 {
		t.Fatalf("the replay has ended: %v, and %d requests that came meanwhile are answered, want 1", w.ready, len(w.answers))
	}
	f.Number, f.Parent = f.Number+1, wire.HeaderOf(w.answers[0][:256]).ReplyContext()
	w.receive(frame(f, make([]byte, 16)))
	w.turn()
	w.finishCommit()
	fault := stages.JournalToConsensus{Kind: stages.JournalFault, Fault: nil}
	w.journalEvents = append(w.journalEvents, fault)
	w.turn()
	w.appending = nil
	w.answers = nil
	w.receive(registerFrame(6))
	w.settle()
	if len(w.answers) != 0 || len(w.sends) != 0 {
		t.Fatal("a replica that failed answers")
	}
}

// Goal: a request that came before the replica served is answered when it serves, without being
// sent again: one of each connection, in their order, and with no other request's waiting time. The
// slots of all others, and of pings, come back at once; those of the requests come back if the
// replica fails instead.
func TestEarlyRequests(t *testing.T) {
	for _, fails := range []bool{false, true} {
		l := testLimits()
		w := newTester(t, l)
		w.register(5)
		w.crash(false, false)
		w.answers = nil
		free := w.slots.Pools[stages.SlotClient].FreeCount()
		connections := min(l.ConnectionsMax, free/2)
		for round := range 2 { // the second request of a connection is the first one, sent again
			for i := range connections {
				w.receive(registerFrame(uint64(100 + i)))
				w.netEvents[len(w.netEvents)-1].Connection = ports.ConnectionID(i + 1)
			}
			if round == 0 {
				w.receive(frame(wire.RequestFields{Client: wire.U128{Lo: 99}, Operation: wire.OperationRegister}, make([]byte, 256)))
				w.netEvents[len(w.netEvents)-1].Connection = 1
			}
			w.turn()
		}
		if w.ready || len(w.commits) > 0 && w.commits[0].Op > w.head {
			t.Fatal("the replica serves already: the test shows nothing")
		}
		for w.finishFree(0) {
		}
		if got := free - w.slots.Pools[stages.SlotClient].FreeCount(); got != connections || len(w.answers) > 0 {
			t.Fatalf("%d slots are kept for %d connections, and %d messages are answered", got, connections, len(w.answers))
		}
		if fails {
			w.journalEvents = append(w.journalEvents, stages.JournalToConsensus{Kind: stages.JournalFault})
			w.turn()
			for w.finishFree(0) {
			}
			if got := w.slots.Pools[stages.SlotClient].FreeCount(); got != free || len(w.answers) > 0 {
				t.Fatalf("after a fault %d slots are free, want %d; %d answers", got, free, len(w.answers))
			}
			continue
		}
		w.nowNs += 5_000_000_000
		w.settle()
		w.checkQuiet()
		if len(w.answers) != int(connections) {
			t.Fatalf("%d answers to %d clients that came during the start", len(w.answers), connections)
		}
		for i, answer := range w.answers {
			if got := wire.HeaderOf(answer[:256]).ReplyClient(); got.Lo != uint64(100+i) {
				t.Errorf("answer %d is for client %d, want %d", i, got.Lo, 100+i)
			}
		}
	}
}
