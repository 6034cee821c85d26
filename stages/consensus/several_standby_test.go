package consensus

import (
	"testing"

	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/peer"
	"ledger/prepare"
	"ledger/wire"
)

// tellAs puts a message into a machine's hands, as if another member had sent it.
func (w *several) tellAs(from, to int, command peer.Command, view uint32, m message) {
	bytes := make([]byte, limits.HeaderBytes)
	m.Encode(bytes)
	w.machines[to].receive(from, &flight{command: command, view: view, bytes: bytes})
}

// Goal: standbys follow a cluster of any size through the mishaps of TestSeveralRandom, and get to
// the same state. They send nothing but pings and requests for what they miss (performPeerSend
// holds that), and whatever they do, the cluster loses nothing.
func TestSeveralStandbys(t *testing.T) {
	seed := seeded.Seed(t)
	rounds := uint64(8)
	if testing.Short() {
		rounds = 2
	}
	for i := range rounds {
		w := newSeveralWith(t, 2+int(i%4), 1+int(i%2), seed+i)
		w.addClients(3)
		w.randomMishaps(true)
		for _, m := range w.machines[w.quorums.Replicas:] {
			if m.stage.role() != RoleStandby || m.stage.isPrimary() {
				t.Fatalf("seed %d: standby %d has role %d: %s", w.seed, m.index, m.stage.role(), w.text())
			}
			if away := m.stage.service.reason(); away != AwayNot {
				t.Fatalf("seed %d: standby %d does not follow: %s", w.seed, m.index, away)
			}
		}
		for _, m := range w.machines {
			m.memory.Close()
			m.memory = nil
		}
	}
}

// Goal: nobody waits for standbys. The cluster serves without them, and six of them do not keep a
// view alive that has no quorum.
func TestSeveralStandbysAreNoQuorum(t *testing.T) {
	w := newSeveralWith(t, 3, 6, 3)
	w.addClients(3)
	w.until("there are some ops", func() bool { return w.replied() > 20 })
	primary := w.primary()
	for i := range w.machines[3:] {
		w.isolate(3+i, true)
	}
	w.serves(15*second, "without standbys") // two of three messages of clients reach a standby
	for i := range w.machines[3:] {
		w.isolate(3+i, false)
	}
	w.run(second)
	for i := range 3 {
		for j := range 3 {
			w.isCut[i][j] = i != j // each replica has the standbys only
		}
	}
	w.run(second / 2)
	highest, replied := w.oracle.highest, w.replied()
	w.run(10 * second)
	if w.oracle.highest > highest || w.replied() > replied {
		t.Fatalf("ops are committed without a quorum of replicas: %s", w.text())
	}
	if primary.stage.mayOrder() {
		t.Fatalf("a primary that hears standbys only goes on: %s", w.text())
	}
	w.heal()
}

// Goal: what a standby acknowledges counts for nothing, at a primary that waits for one
// acknowledgement only.
func TestSeveralStandbyAckIsNotCounted(t *testing.T) {
	w := newSeveralWith(t, 3, 1, 8)
	w.addClients(3)
	w.until("there are some ops", func() bool { return w.replied() > 20 })
	primary := w.primary()
	for _, m := range w.machines[:3] {
		if m != primary {
			w.isolate(m.index, true)
		}
	}
	w.until("an op has no quorum", func() bool { return primary.stage.pipeline.count() > 0 })
	op := primary.stage.pipeline.oldest()
	header := primary.stage.log.header(op)
	before := primary.stage.commits.max()
	for range 3 {
		w.tellAs(3, primary.index, peer.CommandPrepareOK, primary.stage.views.now(), &peer.PrepareOK{Checksum: header.Checksum(),
			Parent: header.Parent(), CheckpointID: header.CheckpointID(), Op: op, CommitMin: before})
		w.run(second / 20)
	}
	if primary.stage.commits.max() > before {
		t.Fatalf("op %d is committed by a standby's acknowledgement: %s", op, w.text())
	}
	w.heal()
}

// Goal: what a standby wishes or votes counts for nothing. Three replicas stay in their view, and
// the new primary of the next one does not choose a log.
func TestSeveralStandbyVoteIsNotCounted(t *testing.T) {
	w := newSeveralWith(t, 3, 2, 9)
	w.addClients(3)
	w.until("there are some ops", func() bool { return w.replied() > 20 })
	view := w.view()
	for range 5 {
		for from := 3; from < 5; from++ {
			for to := range 3 {
				w.tellAs(from, to, peer.CommandStartViewChange, view, &peer.StartViewChange{Cause: peer.CauseSilent})
				w.tellAs(from, to, peer.CommandStartViewChange, view+1, &peer.StartViewChange{Cause: peer.CauseSilent})
			}
		}
		w.run(second / 10)
	}
	if now := w.view(); now != view {
		t.Fatalf("standbys have ended view %d: it is %d", view, now)
	}
	w.heal()
}

// Goal: wishes, ballots, pings and a start_view that it did not ask for leave a standby in its
// view. A heartbeat or a prepare of a later view makes it ask, and nothing else.
func TestSeveralStandbyAndADeadView(t *testing.T) {
	w := newSeveralWith(t, 3, 1, 10)
	w.addClients(3)
	w.until("there are some ops", func() bool { return w.replied() > 20 })
	w.quiet(true)
	w.run(second)
	standby, view := w.machines[3], w.view()
	asked := 0
	w.onSend = func(from, to int, f *flight) bool {
		if from == 3 && f.command == peer.CommandRequestStartView && f.view > view {
			asked++
		}
		return from != 3 || f.command != peer.CommandRequestStartView
	}
	dead := view + 1
	for w.quorums.PrimaryOf(dead) == w.quorums.PrimaryOf(view) {
		dead++
	}
	isolated := w.quorums.PrimaryOf(dead)
	state := peer.State{LogView: view, Status: peer.StatusViewChange, ReleaseMin: 1, ReleaseMax: 1}
	for range 5 {
		w.tellAs(isolated, 3, peer.CommandStartViewChange, dead, &peer.StartViewChange{Cause: peer.CauseSilent})
		w.tellAs(isolated, 3, peer.CommandPing, dead, &peer.Ping{ClockNs: w.nowNs, State: state})
		w.tellAs(isolated, 3, peer.CommandPong, dead, &peer.Pong{EchoNs: w.nowNs, WallNs: 1, State: state})
		w.run(second / 10)
	}
	if s := standby.stage; s.views.now() != view || s.views.logView() != view || !s.views.isNormal() || asked > 0 {
		t.Fatalf("an isolated replica has dragged the standby along, which asked %d times: %s", asked, w.text())
	}
	commit := peer.Commit{ClockNs: w.nowNs, Op: standby.stage.commits.min(), Checksum: standby.stage.commits.lastChecksum()}
	w.tellAs(isolated, 3, peer.CommandCommit, dead, &commit)
	w.run(second / 10)
	if s := standby.stage; asked != 1 || s.views.now() != view {
		t.Fatalf("a heartbeat of a later view: the standby asked %d times: %s", asked, w.text())
	}
	w.onSend = nil
	w.quiet(false)
	w.heal()
}

// Goal: a standby gives clients nothing: no answer to a request or a ping, and it says once that
// one has come. It asks no replica to take the request, either.
func TestSeveralStandbyAndClients(t *testing.T) {
	w := newSeveralWith(t, 3, 1, 12)
	w.addClients(1)
	w.until("the client has a session", func() bool { return w.replied() > 20 })
	w.quiet(true)
	w.run(second)
	standby := w.machines[3]
	if !standby.service.HasClient { // clients of a world choose any machine
		t.Fatal("the standby does not say that a client has come")
	}
	highest := w.oracle.highest
	c := w.clients[0]
	standby.stage.measures.ignoredCount = 0
	c.fields.Operation, c.body, c.isIdle = wire.OperationCreateTransfersUnbatched, make([]byte, 128), false
	c.send(standby)
	w.run(second)
	if w.oracle.highest > highest || standby.stage.measures.ignoredCount == 0 {
		t.Fatalf("a request at a standby: highest %d, was %d, %d ignored", w.oracle.highest, highest, standby.stage.measures.ignoredCount)
	}
	w.quiet(false)
	w.heal()
}

// Goal: a replica answers a standby what it asks for, and a standby serves nobody.
func TestSeveralStandbyServesNobody(t *testing.T) {
	w := newSeveralWith(t, 3, 1, 13)
	w.addClients(3)
	w.until("there are some ops", func() bool { return w.replied() > 20 })
	sent := map[int]map[peer.Command]int{0: {}, 3: {}}
	w.onSend = func(from, to int, f *flight) bool {
		if sent[from] != nil {
			sent[from][f.command]++
		}
		return true
	}
	op := w.machines[0].stage.commits.min()
	header := prepare.Header(w.machines[0].stage.log.header(op))
	headers, one := peer.RequestHeaders{OpMin: op - 1, OpMax: op}, peer.RequestPrepare{Checksum: header.Checksum(), Op: op}
	view := w.view()
	w.tellAs(1, 3, peer.CommandRequestHeaders, view, &headers)
	w.tellAs(1, 3, peer.CommandRequestPrepare, view, &one)
	w.tellAs(1, 3, peer.CommandRequestStartView, view, &peer.RequestStartView{Nonce: 5})
	w.tellAs(3, 0, peer.CommandRequestHeaders, view, &headers)
	w.tellAs(3, 0, peer.CommandRequestPrepare, view, &one)
	w.run(second / 5)
	if sent[0][peer.CommandHeaders] == 0 || sent[0][peer.CommandRepairPrepare] == 0 {
		t.Errorf("a replica sends a standby %v of op %d: %s", sent[0], op, w.text())
	}
	w.onSend = nil
	w.heal()
}
