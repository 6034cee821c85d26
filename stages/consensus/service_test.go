package consensus

import (
	"testing"

	"ledger/peer"
)

// told is what a machine has told last.
func (m *machine) told() *Service { return &m.stage.service.told }

// Goal: each replica, backups too, is ready once, when it is in status normal, hears a quorum and
// has executed what was committed before. When the primary is dead, the others do not claim to
// serve until they have another one, and know why. One that hears nobody serves nobody.
func TestSeveralService(t *testing.T) {
	w := newSeveral(t, 3, 21)
	w.addClients(3)
	w.run(4 * second)
	for _, m := range w.machines {
		if told := m.told(); m.readyCount != 1 || !told.IsServing() || !told.IsNormal || told.IsPrimary != (m.index == int(told.Primary)) {
			t.Fatalf("machine %d was ready %d times, and tells %+v", m.index, m.readyCount, told)
		}
	}
	view := w.machines[0].told().View
	dead := w.machines[view%3]
	dead.crash()
	hasStopped, others := false, []*machine{w.machines[(view+1)%3], w.machines[(view+2)%3]}
	for range 400 {
		w.run(second / 100)
		for _, m := range others {
			hasStopped = hasStopped || !m.told().IsServing()
		}
	}
	for _, m := range others {
		told := m.told()
		if !told.IsServing() || told.View == view || told.Cause != peer.CauseSilent || told.LostNs == 0 || m.readyCount != 1 {
			t.Errorf("machine %d tells %+v", m.index, told)
		}
	}
	if !hasStopped {
		t.Error("nobody noticed that there was no primary")
	}
	// A replica that comes back is ready when it has caught up.
	w.run(second)
	dead.start()
	for range 400 {
		if w.run(second / 100); dead.readyCount == 0 {
			continue
		}
		if target := dead.stage.service.targetOp; dead.executed < target || target == 0 {
			t.Errorf("ready at op %d, before op %d", dead.executed, target)
		}
		break
	}
	if dead.readyCount != 1 {
		t.Fatalf("it was ready %d times: %s", dead.readyCount, w.text())
	}
	w.isolate(dead.index, true)
	w.run(4 * second)
	if told := dead.told(); told.IsServing() || told.Away.String() == "" {
		t.Errorf("a replica that hears nobody tells %+v", told)
	}
	w.heal()
}

// Goal: a replica that starts while all others are down says that it hears too few, and says so
// again, although nothing changes. One that hears another one says that they choose a primary.
func TestSeveralServiceAlone(t *testing.T) {
	w := newSeveral(t, 3, 23)
	w.addClients(1)
	w.run(4 * second)
	for _, m := range w.machines {
		m.crash()
	}
	w.run(second)
	alone := w.machines[w.machines[0].told().View%3] // it leaves its view at once
	alone.start()
	w.run(4 * second)
	first := alone.stage.service.toldNs
	if told := alone.told(); told.Away != AwayAlone {
		t.Fatalf("a replica that starts alone tells %+v (%v)", told, told.Away)
	}
	w.run(2 * tellAgainNs)
	if again := alone.stage.service.toldNs; again < first+tellAgainNs || alone.told().Away != AwayAlone {
		t.Errorf("it told at %d, and later at %d", first, again)
	}
	w.machines[(alone.index+1)%3].start()
	w.run(4 * second)
	if told := alone.told(); !told.IsServing() {
		t.Errorf("with another one it tells %+v", told)
	}
}

// Goal: the figures of each replica know the role, how far the others are, what is damaged and what
// was repaired.
func TestSeveralSample(t *testing.T) {
	w := newSeveral(t, 3, 22)
	w.addClients(3)
	w.run(4 * second)
	view := w.machines[0].told().View
	behind := w.machines[(view+1)%3]
	w.isolate(behind.index, true)
	w.run(second)
	w.quiet(true)
	w.run(second / 2)
	w.isolate(behind.index, false)
	w.run(4 * second)
	primaries := 0
	for _, m := range w.machines {
		var s Sample
		m.stage.Sample(&s)
		c := &s.Cluster
		if c.IsPrimary {
			primaries++
		}
		if c.Replicas != 3 || int(c.Self) != m.index || c.CommitMax != w.oracle.highest || c.Away != AwayNot || !c.Clock.IsKnown ||
			c.FaultySlots != 0 || c.MissingPrepares != 0 || s.Recovering {
			t.Errorf("machine %d: %+v", m.index, c)
		}
		for i := range c.Peers[:3] {
			p := &c.Peers[i]
			if i == m.index && p.StateNs != NeverNs || i != m.index && (p.CommitMin != w.oracle.highest || p.StateNs > 2*second ||
				p.SilentNs > 2*second || p.Status != peer.StatusNormal || !p.ClockAgreed) {
				t.Errorf("machine %d of %d: %+v", m.index, i, p)
			}
		}
		if m == behind && (c.RepairsAsked == 0 || c.RepairsTaken == 0) {
			t.Errorf("what was missed came without repair: %+v", c)
		}
	}
	if primaries != 1 {
		t.Errorf("%d primaries", primaries)
	}
}

// Goal: a do_view_change and a start_view whose parts contradict each other count for nothing, and
// net is told to end their connection; right ones are not blamed.
func TestSeveralBlames(t *testing.T) {
	w := newSeveral(t, 3, 23)
	w.addClients(3)
	w.run(4 * second)
	if w.count["malformed"] > 0 {
		t.Fatalf("%d right messages are blamed", w.count["malformed"])
	}
	view := w.machines[0].told().View
	to := w.machines[(view+2)%3]
	list := *to.stage.views.headers()
	body := make([]byte, 8192)
	size := to.stage.views.durable().put(body)
	vote := peer.DoViewChange{Op: list.Head(), LogView: view, Present: 1, Nack: 1, HeadersCount: uint8(list.Count)}
	start := peer.StartView{Op: list.Head(), CommitMax: list.Head() - 1, HeadersCount: 1, CheckpointID: to.stage.superblocks.checkpointID()}
	for i, m := range []struct {
		command peer.Command
		message message
		view    uint32
		from    int
		body    []byte
	}{
		{peer.CommandDoViewChange, &vote, view + 2, int(view+1) % 3, body[:size]},
		{peer.CommandStartView, &start, view + 3, int(view) % 3, append(make([]byte, peer.CheckpointBytes), body[:256]...)},
	} {
		bytes := make([]byte, 256, 256+len(m.body))
		m.message.Encode(bytes)
		to.receive(m.from, &flight{command: m.command, view: m.view, bytes: append(bytes, m.body...)})
		to.turn()
		if w.count["malformed"] != i+1 {
			t.Errorf("%v: %d messages are blamed, want %d", m.command, w.count["malformed"], i+1)
		}
	}
	w.heal()
}
