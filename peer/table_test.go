package peer

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"ledger/internal/seeded"
)

const second = 1000 * millisecond

// settled checks that all living processes are connected to each other, and stay so.
func (w *world) settled(seed uint64) {
	w.faulty = false
	w.run(w.nowNs + 40*second)
	changes := map[*process]uint64{}
	for _, p := range w.processes {
		changes[p] = p.changes
	}
	w.run(w.nowNs + 30*second)
	for _, p := range w.processes {
		if p.dead {
			continue
		}
		if p.changes != changes[p] {
			w.t.Fatalf("seed %d: %s: connections of a calm network change", seed, p.name)
		}
		for _, other := range w.processes {
			if other == p || other.dead {
				continue
			}
			index := other.table.self.Index
			at, ok := p.live[index]
			if !ok || p.table.State(index) != DialLive {
				w.t.Fatalf("seed %d: %s has no connection to %s (%s)\n%s", seed, p.name, other.name, p.table.State(index),
					strings.Join(w.refusals, "\n"))
			}
			if e := p.ends[at]; e.other().of != other || other.live[p.table.self.Index] != e.other().place {
				w.t.Fatalf("seed %d: %s and %s have different connections", seed, p.name, other.name)
			}
		}
	}
}

// Goal: whatever breaks, in whatever order, a replica has never two connections to a peer; and when
// the network is calm again, each has one to each, the same at both ends, and it stays.
func TestTableAnyOrder(t *testing.T) {
	first := seeded.Seed(t)
	for seed := first; seed < first+150; seed++ {
		random := rand.New(rand.NewPCG(seed, 0))
		w := newWorld(t, random)
		w.delayNsMax = 1 + random.Uint64N(400*millisecond)
		w.faulty = true
		for index := range uint8(2 + random.IntN(2)) {
			w.start(index, 0x100+uint64(index))
		}
		replicas := len(w.processes)
		for range 1 + random.IntN(40) {
			w.run(w.nowNs + random.Uint64N(3*second))
			switch random.IntN(6) {
			case 0, 1, 2:
				if n := len(w.connections); n > 0 {
					w.breakLine(w.connections[n-1-random.IntN(min(n, 4))])
				}
			case 3, 4:
				if at := random.IntN(len(w.processes)); !w.processes[at].dead {
					p := w.processes[at]
					w.kill(p, random.IntN(2) == 0)
					w.start(p.table.self.Index, 0x1000+uint64(len(w.processes)))
				}
			}
		}
		w.settled(seed)
		living := 0
		for _, p := range w.processes {
			if !p.dead {
				living++
			}
		}
		if living != replicas {
			t.Fatalf("seed %d: %d of %d live", seed, living, replicas)
		}
	}
}

// Goal: of two processes with the same index the newer is refused, with both numbers in the line,
// as long as the first one lives, also if nothing but pings is sent; when the first one is gone,
// the newer one gets in. Meanwhile the refusals are rare.
func TestTableSecondProcess(t *testing.T) {
	for seed := range uint64(20) {
		w := newWorld(t, rand.New(rand.NewPCG(seed, 0)))
		w.delayNsMax = 100 * millisecond
		w.start(0, 0xa)
		first := w.start(2, 0xb)
		w.run(5 * second)
		if len(first.live) != 1 {
			t.Fatal("the first process is not connected")
		}
		twin := w.start(2, 0xc)
		w.run(305 * second)
		if first.changes != 1 || twin.changes != 0 {
			t.Fatalf("seed %d: first has %d changes, second has %d", seed, first.changes, twin.changes)
		}
		const want = "replica 2 refused: process of this index: ours is 11, theirs is 12: stop one"
		const wantTwin = "refused by replica 0: process of this index: ours is 12, theirs is 11: stop one"
		all := strings.Join(w.refusals, "\n")
		if !strings.Contains(all, want) || !strings.Contains(all, wantTwin) {
			t.Errorf("the lines:\n%s\nwant %q and %q", all, want, wantTwin)
		}
		if n := len(w.refusals); n > 12 {
			t.Errorf("%d lines in 5 minutes:\n%s", n, all)
		}
		tries := w.processes[0].table.Counters.Refused
		if tries > 300 || tries < 30 {
			t.Errorf("%d refusals in 5 minutes, want one in 1 to 10 seconds", tries)
		}
		w.kill(first, false)
		w.run(w.nowNs + 20*second)
		if len(twin.live) != 1 {
			t.Error("the first process is gone, and the second does not get in")
		}
	}
}

// Goal: a newer connection of the same process replaces the older one, and an older one never a
// newer one.
func TestTableReplaces(t *testing.T) {
	table := NewTable(testSelf(0), [SeedBytes]byte{1})
	out := table.NewActions()
	greet := func(attempt, process uint64, nowNs uint64) (at uint32, confirm []byte) {
		out.Reset()
		at, _ = table.Accepted(nowNs, &out)
		self := testSelf(2)
		self.Process = process
		var h Handshake
		frame := make([]byte, FrameBytes)
		nonce := Nonce{byte(attempt), byte(process)}
		h.connect(self, 0, attempt, nonce, nowNs, frame)
		table.Frame(at, frame, nowNs, &out)
		if kind := FrameKind(out.All[0].Frame[18]); kind != FrameAnswer {
			return at, nil
		}
		confirm = make([]byte, FrameBytes)
		h.receive(out.All[0].Frame, confirm)
		return at, confirm
	}
	kinds := func() (all []ActionKind) {
		for i := range out.All {
			all = append(all, out.All[i].Kind)
		}
		return all
	}
	equal := func(what string, want ...ActionKind) {
		t.Helper()
		if got := kinds(); !bytes.Equal(bytesOf(got), bytesOf(want)) {
			t.Errorf("%s: actions %d, want %d", what, got, want)
		}
	}
	old, oldConfirm := greet(1, 0xb, 0)
	fresh, freshConfirm := greet(2, 0xb, 0)
	out.Reset()
	table.Frame(fresh, freshConfirm, 1, &out)
	equal("the newer one", ActionLive)
	out.Reset()
	table.Frame(old, oldConfirm, 2, &out)
	equal("the older one, confirmed late", ActionRefused, ActionClose)
	newest, confirm := greet(3, 0xb, 3)
	out.Reset()
	table.Frame(newest, confirm, 4, &out)
	equal("the newest one", ActionClose, ActionLost, ActionLive)
	if out.All[0].Place != fresh || out.All[1].Place != fresh {
		t.Error("another connection than that before was closed")
	}
	if _, confirm := greet(1, 0xc, aliveNs+3); confirm != nil {
		t.Error("another process gets in while the first is heard")
	}
	table.Heard(newest, second)
	if _, confirm := greet(1, 0xc, second+aliveNs-1); confirm != nil {
		t.Error("another process gets in while the first is heard")
	}
	other, confirm := greet(1, 0xc, second+aliveNs)
	out.Reset()
	table.Frame(other, confirm, second+aliveNs, &out)
	equal("another process, after silence", ActionClose, ActionLost, ActionLive)
}

func bytesOf(kinds []ActionKind) (b []byte) {
	for _, k := range kinds {
		b = append(b, byte(k))
	}
	return b
}

// Goal: strangers that open connections and say nothing, or rubbish, cost a bounded number of
// places, and keep no peer out. The lines about them are few.
func TestTableStrangers(t *testing.T) {
	w := newWorld(t, rand.New(rand.NewPCG(1, 0)))
	w.delayNsMax = 10 * millisecond
	p := w.start(0, 0xa)
	rubbish := make([]byte, FrameBytes)
	copy(rubbish, magic[:])
	stranger := func() {
		line := &wireline{}
		line.ends = [2]*end{{closed: true, line: line}, {of: p, line: line, side: 1}}
		at, ok := p.table.Accepted(w.nowNs, &p.actions)
		if !ok {
			w.perform(p)
			return
		}
		line.ends[1].known, line.ends[1].place = true, at
		p.ends[at] = line.ends[1]
		w.perform(p)
		if w.random.IntN(3) == 0 {
			p.table.Frame(at, rubbish, w.nowNs, &p.actions)
			w.perform(p)
		}
	}
	for range 2000 {
		w.run(w.nowNs + w.random.Uint64N(20*millisecond))
		stranger()
		if len(w.processes) == 1 && w.nowNs > 5*second {
			w.start(1, 0xb)
			w.start(2, 0xc)
		}
	}
	if len(p.live) != 2 {
		t.Errorf("replica 0 has %d connections to peers, want 2", len(p.live))
	}
	if n := uint64(len(w.refusals)); n > w.nowNs/second+5 {
		t.Errorf("%d lines in %d seconds", n, w.nowNs/second)
	}
	if c := p.table.Counters; c.Displaced == 0 || c.Refused == 0 {
		t.Errorf("%+v", c)
	}
	w.run(w.nowNs + 20*second)
	for at := range p.table.places {
		if s := p.table.places[at].state; s != placeFree && s != placeLive {
			t.Errorf("place %d is %d after the strangers' time", at, s)
		}
	}
}

// Goal: tries of a peer that is not there grow rare, with jitter; those that are refused are rarer.
func TestDialPauses(t *testing.T) {
	random := newRandom([SeedBytes]byte{7})
	seen := map[uint64]bool{}
	for _, refused := range []bool{false, true} {
		least, most := uint64(DialNsMin), uint64(DialNsMax)
		if refused {
			least, most = RefusedNsMin, RefusedNsMax
		}
		longest := uint64(0)
		d := dialer{}
		for try := range 40 {
			d.refused = refused
			d.pause(1000, &random)
			pauseNs := d.dueNs - 1000
			seen[pauseNs] = true
			longest = max(longest, pauseNs)
			if pauseNs < least || pauseNs > most || try == 0 && pauseNs > 2*least {
				t.Errorf("refused %v, try %d: a pause of %d ms", refused, try, pauseNs/millisecond)
			}
		}
		if longest < most/2 {
			t.Errorf("refused %v: the longest pause is %d ms", refused, longest/millisecond)
		}
	}
	if len(seen) < 78 {
		t.Errorf("%d different pauses of 80: there is no jitter", len(seen))
	}
}

// Goal: a name that does not resolve and a connection that does not come are given up in time, and
// late answers are ignored.
func TestDialTimeouts(t *testing.T) {
	table := NewTable(testSelf(1), [SeedBytes]byte{1})
	out := table.NewActions()
	now := uint64(0)
	step := func(want ActionKind) Action {
		t.Helper()
		for range 3 {
			out.Reset()
			now = max(now, table.NextNs())
			if table.Tick(now, &out); len(out.All) > 0 {
				break
			}
		}
		if len(out.All) == 0 || out.All[0].Kind != want {
			t.Fatalf("actions %+v, want %d", out.All, want)
		}
		return out.All[0]
	}
	lost := step(ActionResolve)
	if table.State(0) != DialResolving || table.State(2) != DialAwaited {
		t.Errorf("states %s, %s", table.State(0), table.State(2))
	}
	began := now
	again := step(ActionResolve)
	if again.Attempt == lost.Attempt || now < began+ResolveNs {
		t.Errorf("a name that does not resolve: attempt %d after %d ms", again.Attempt, (now-began)/millisecond)
	}
	out.Reset()
	if table.Resolved(0, lost.Attempt, [18]byte{}, true, now, &out); len(out.All) != 0 {
		t.Errorf("a late answer: %+v", out.All)
	}
	table.Resolved(0, again.Attempt, [18]byte{9}, true, now, &out)
	if len(out.All) != 1 || out.All[0].Kind != ActionConnect || out.All[0].Address != [18]byte{9} {
		t.Fatalf("actions %+v", out.All)
	}
	at := out.All[0].Place
	closed := step(ActionClose)
	if closed.Place != at || table.State(0) != DialClosing {
		t.Errorf("closed %d, state %s", closed.Place, table.State(0))
	}
	out.Reset()
	if table.Connected(at, now, &out); len(out.All) != 0 {
		t.Errorf("a late connection: %+v", out.All)
	}
	table.Closed(at, now, &out)
	if table.State(0).String() != "pausing" {
		t.Errorf("state %s", table.State(0))
	}
	step(ActionResolve)
}

// Goal: a peer that has said nothing for 10 seconds is called anew.
func TestTableSilent(t *testing.T) {
	w := newWorld(t, rand.New(rand.NewPCG(2, 0)))
	a, b := w.start(0, 0xa), w.start(2, 0xc)
	w.run(5 * second)
	if len(a.live) != 1 || len(b.live) != 1 {
		t.Fatal("not connected")
	}
	w.kill(a, false)
	w.run(20 * second)
	if b.table.Counters.Silent != 1 || len(b.live) != 0 {
		t.Errorf("%+v, %d connections", b.table.Counters, len(b.live))
	}
}

// Goal: strangers that open connections all the time keep no peer out, however long the way to it
// is: they displace each other, and not a caller whose hello was authentic.
func TestTableFlood(t *testing.T) {
	w := newWorld(t, rand.New(rand.NewPCG(1, 0)))
	w.delayNsMax, w.closeNsMax = 300*millisecond, millisecond
	p := w.start(0, 0xa)
	twin := w.start(2, 0xb)
	var flood func()
	flood = func() {
		line := &wireline{}
		line.ends = [2]*end{{closed: true, line: line}, {of: p, line: line, side: 1}}
		if at, ok := p.table.Accepted(w.nowNs, &p.actions); ok {
			line.ends[1].known, line.ends[1].place = true, at
			p.ends[at] = line.ends[1]
		}
		w.perform(p)
		w.at(w.nowNs+50*millisecond/GreetingsMax, flood)
	}
	w.at(1, flood)
	w.run(20 * second)
	if len(p.live) != 1 || len(twin.live) != 1 || twin.changes != 1 {
		t.Errorf("%d and %d connections, after %d changes; %+v", len(p.live), len(twin.live), twin.changes, p.table.Counters)
	}
}
