package consensus

import (
	"testing"

	"ledger/limits"
	"ledger/prepare"
	"ledger/stages"
	"ledger/storage/datafile"
	"ledger/wire"
)

// namedWorld is a world whose data files have numbers, so that its first op names them.
func namedWorld(t testing.TB, replicas int, seed uint64) *several {
	w := newSeveral(t, replicas, seed)
	for i, m := range w.machines {
		m.superblock.Incarnation = uint64(100 * (i + 1))
	}
	for _, m := range w.machines {
		m.start() // nothing has happened yet
	}
	w.addClients(3)
	w.until("all replicas have a table", func() bool {
		for _, m := range w.machines {
			if !m.stage.members.now().AreNamed() {
				return false
			}
		}
		return w.replied() > 20
	})
	return w
}

// members is the table that all machines of the list have, which has to be the same.
func (w *several) members(indexes ...int) prepare.Members {
	w.t.Helper()
	table := *w.machines[indexes[0]].stage.members.now()
	for _, i := range indexes {
		if got := *w.machines[i].stage.members.now(); got != table {
			w.t.Fatalf("seed %d: machine %d has the table %v, machine %d has %v: %s", w.seed, indexes[0], table, i, got, w.text())
		}
	}
	return table
}

// lose ends the connections with a machine, whose disk is lost.
func (w *several) lose(index int) {
	w.machines[index].powerCut()
	w.disconnect(index)
}

func (w *several) disconnect(index int) {
	for i, m := range w.machines {
		if i != index && m.isUp {
			m.netEvents = append(m.netEvents, stages.NetToConsensus{Kind: stages.NetPeerLost, Peer: uint8(index)})
		}
	}
}

// format gives a machine a new and empty data file, and starts it.
func (w *several) format(index int, incarnation uint64, view uint32) {
	m := w.machines[index]
	if m.isUp {
		w.lose(index)
	}
	m.disk, m.tables, m.trailers = make([]diskSlot, w.l.JournalSlotsCount), map[uint64]bool{}, map[uint64]bool{}
	root := make([]byte, prepare.HeaderBytes)
	m.superblock = datafile.Superblock{Sequence: 1, Cluster: testCluster, ReplicasCount: uint8(w.quorums.Replicas), Replica: uint8(index),
		SessionsMax: w.l.SessionsMax, Incarnation: incarnation, View: view, Release: limits.Release}
	m.superblock.Checkpoint.PrepareChecksum = prepare.PutRoot(root, testCluster).Checksum()
	if view > 0 {
		m.superblock.HeadersCount, m.superblock.IsRecovered = 1, true
		copy(m.superblock.Headers[0][:], root)
	}
	m.grid = testGrid{}
	delete(w.oracle.copies, index)
	w.begin(index)
}

// begin starts a machine, and the others are connected with it.
func (w *several) begin(index int) {
	m := w.machines[index]
	m.start()
	for i, other := range w.machines {
		if i != index && other.isUp {
			other.netEvents = append(other.netEvents, stages.NetToConsensus{Kind: stages.NetPeerLive, Peer: uint8(index),
				Incarnation: m.superblock.Incarnation})
		}
	}
}

// ask lets a client commit one request.
func (w *several) commit(c *severalClient, operation wire.Operation, body []byte) {
	w.t.Helper()
	c.isQuiet = true
	w.until("the client is idle", func() bool {
		if !c.isIdle && w.nowNs >= c.sentNs && w.server() >= 0 {
			c.sentNs = w.nowNs + second/10
			c.send(w.machines[w.server()])
		}
		return c.isIdle
	})
	c.fields.Operation, c.body, c.isIdle, c.sentNs = operation, body, false, 0
	w.until("the request is answered", func() bool {
		if !c.isIdle && w.nowNs >= c.sentNs && w.server() >= 0 {
			c.sentNs = w.nowNs + second/10
			c.send(w.machines[w.server()])
		}
		return c.isIdle
	})
}

// recover does what ledger recover does: it names the new file, commits a pipeline of ops, and then
// makes the file.
func (w *several) recover(index int, incarnation uint64) {
	w.t.Helper()
	c := w.clients[0]
	w.until("a replica serves", func() bool { return w.server() >= 0 })
	body := make([]byte, wire.MemberBodyBytes)
	wire.PutMember(body, &wire.Member{Incarnation: incarnation, Replica: uint8(index), ReplicasCount: uint8(w.quorums.Replicas)})
	w.commit(c, wire.OperationMember, body)
	for range w.l.PipelineOpsMax {
		w.commit(c, wire.OperationNoop, nil)
	}
	c.isQuiet = false
	w.format(index, incarnation, c.fields.View+2)
}

// Goal: the first op of a new cluster of any size names all data files, as soon as all replicas
// have met. No other op does. A crash, a view change and checkpoints keep the table.
func TestSeveralMembersAreNamed(t *testing.T) {
	for replicas := 2; replicas <= 6; replicas++ {
		w := namedWorld(t, replicas, uint64(20+replicas))
		w.maySpread = true
		want := prepare.Members{100, 200, 300, 400, 500, 600}
		for i := replicas; i < len(want); i++ {
			want[i] = 0
		}
		w.until("there are two checkpoints", func() bool { return w.machines[0].superblock.Checkpoint.Op > w.l.CheckpointAfter(0) })
		crashed := w.primary()
		crashed.crash()
		if replicas > 2 {
			w.serves(20*second, "the next primary does not serve")
		}
		crashed.start()
		w.heal()
		for i := range w.machines {
			if table := w.members(i); table != want {
				t.Fatalf("machine %d has the table %v: %s", i, table, w.text())
			}
			if c := &w.machines[i].superblock.Checkpoint; c.Op > 0 && c.Members != want {
				t.Fatalf("the checkpoint of machine %d has the table %v", i, c.Members)
			}
		}
		named := 0
		for op := uint64(1); op <= w.oracle.highest; op++ {
			h := w.oracle.headers[w.oracle.committed[op]]
			if h.Operation() == wire.OperationMember {
				named++
			}
			if table := h.Members(); table != want && (table.AreNamed() || op > 20) {
				t.Fatalf("op %d has the table %v", op, table)
			}
		}
		if named != 1 {
			t.Fatalf("%d ops name files", named)
		}
	}
}

// Goal: until all replicas have met, no file is named, and all count.
func TestSeveralMembersWaitForAll(t *testing.T) {
	w := newSeveral(t, 3, 31)
	for i, m := range w.machines {
		m.superblock.Incarnation = uint64(100 * (i + 1))
	}
	w.machines[2].isUp = false
	for _, m := range w.machines[:2] {
		m.start()
		m.netEvents = append(m.netEvents, stages.NetToConsensus{Kind: stages.NetPeerLost, Peer: 2})
	}
	w.addClients(3)
	w.serves(10*second, "two of three serve")
	if table := w.members(0, 1); table.AreNamed() {
		t.Fatalf("two files are named without the third: %v", table)
	}
	w.begin(2)
	w.until("all are named", func() bool { return w.machines[2].stage.members.now().AreNamed() })
	w.heal()
	w.members(0, 1, 2)
}

// Goal: a replica whose disk was lost, and that somebody formatted again, does not vote, and does
// not acknowledge. Ops are committed by A and C, B is cut off. C is formatted again, and A is down:
// B and C may not form a view, which would lose what A and C have committed. C says what to do.
// When A is back, the cluster goes on, and C's acknowledgements do not count.
func TestSeveralFormattedAgain(t *testing.T) {
	for seed := range uint64(6) {
		w := namedWorld(t, 3, 40+seed)
		w.maySpread = true
		a := w.primary()
		b, c := w.machines[(a.index+1)%3], w.machines[(a.index+2)%3]
		w.isolate(b.index, true)
		before := w.oracle.highest
		w.until("A and C commit some ops", func() bool { return w.oracle.highest > before+4 })
		highest := w.oracle.highest
		a.powerCut()
		w.disconnect(a.index)
		w.format(c.index, 77, 0)
		w.isolate(b.index, false)
		w.run(15 * second)
		if w.oracle.highest > highest {
			t.Fatalf("seed %d: op %d is committed with the vote of a file that was formatted again: %s", w.seed, w.oracle.highest, w.text())
		}
		for _, m := range []*machine{b, c} {
			if m.stage.isPrimary() {
				t.Fatalf("seed %d: machine %d leads a view with the vote of a file that was formatted again: %s", w.seed, m.index, w.text())
			}
		}
		w.begin(a.index)
		w.serves(20*second, "the cluster does not go on without C's vote")
		w.until("C follows", func() bool { return c.stage.commits.min() > highest })
		w.until("C says that it has no vote", func() bool { return c.stage.isStranger() && c.service.Away == AwayStranger })
		if c.stage.service.wasServing() {
			t.Fatalf("seed %d: C says that it serves", w.seed)
		}
		w.isolate(b.index, true)
		w.run(second)
		highest = w.oracle.highest
		w.run(3 * second)
		if w.oracle.highest > highest || a.stage.commits.max() > highest {
			t.Fatalf("seed %d: op %d is committed by A and a file that was formatted again: %s", w.seed, a.stage.commits.max(), w.text())
		}
		w.isolate(b.index, false)
		w.lose(c.index)
		w.serves(20*second, "A and B do not serve")
		w.recover(c.index, 301)
		w.until("C has a vote again", func() bool { return c.stage.members.now()[c.index] == 301 && !c.stage.isStranger() })
		w.heal()
	}
}

// Goal: ledger recover gives a cluster a replica back: it catches up, its file is the one that
// counts, and then the cluster survives the loss of another one, also of the one that named it.
func TestSeveralRecover(t *testing.T) {
	for replicas := 3; replicas <= 6; replicas++ {
		for back := range replicas {
			w := namedWorld(t, replicas, uint64(60+10*replicas+back))
			w.maySpread = true
			lost := (w.primary().index + back) % replicas
			w.lose(lost)
			w.serves(20*second, "the cluster does not serve without the lost replica")
			w.recover(lost, 9000)
			m := w.machines[lost]
			w.quiet(true)
			w.until("the new replica is one of the cluster", func() bool {
				return m.stage.members.now()[lost] == 9000 && m.stage.service.wasServing() && m.stage.commits.min() == w.oracle.highest
			})
			w.quiet(false)
			for i, other := range w.machines {
				if table := other.stage.members.now(); table[lost] != 9000 {
					t.Fatalf("machine %d has the table %v", i, table)
				}
			}
			next := w.primary()
			if next == m {
				next = w.machines[(lost+1)%replicas]
			}
			next.crash()
			w.disconnect(next.index)
			w.serves(20*second, "the cluster does not serve without another one")
			w.begin(next.index)
			w.heal()
		}
	}
}

// Goal: C is lost and recovered while A is down. Then A is formatted anew. Nothing is lost, A has
// no vote, and each replica counts C's votes, also A, which has got past the op that named C by
// state sync, and has only its checkpoint after a restart.
func TestSeveralRecoverAndFormat(t *testing.T) {
	for seed := range uint64(3) {
		w := namedWorld(t, 5, 120+seed)
		w.maySpread = true
		a, c := w.primary().index, (w.primary().index+1)%5
		w.machines[a].powerCut()
		w.disconnect(a)
		w.lose(c)
		w.serves(20*second, "three of five do not serve")
		w.recover(c, 9000)
		w.until("the log has gone on for two checkpoints", func() bool {
			return w.machines[c].superblock.Checkpoint.Op > 2*w.l.CheckpointAfter(0)
		})
		w.format(a, 8000, 0)
		m := w.machines[a]
		w.quiet(true)
		w.until("A has synced, and follows", func() bool {
			return m.superblock.Checkpoint.Op > 0 && m.stage.commits.min() == w.oracle.highest
		})
		w.quiet(false)
		for i := range w.machines {
			if table := w.machines[i].stage.members.now(); table[c] != 9000 || table[a] == 8000 {
				t.Fatalf("machine %d has the table %v: %s", i, *table, w.text())
			}
		}
		m.crash()
		m.start()
		if m.stage.members.now()[c] != 9000 || !m.stage.isStranger() {
			t.Fatalf("seed %d: after a restart A has the table %v", w.seed, *m.stage.members.now())
		}
		// A wrote a checkpoint while it had no vote. C, with two others, goes on. With one other and A it
		// does not.
		others := []int{}
		for i := range w.machines {
			if i != a && i != c {
				others = append(others, i)
			}
		}
		w.machines[others[0]].powerCut()
		w.disconnect(others[0])
		w.serves(20*second, "C and two others do not serve")
		w.machines[others[1]].powerCut()
		w.disconnect(others[1])
		w.run(second)
		highest := w.oracle.highest
		w.run(5 * second)
		if w.oracle.highest > highest {
			t.Fatalf("seed %d: the file that was formatted again counts: %s", w.seed, w.text())
		}
		w.begin(others[0])
		w.begin(others[1])
		w.heal()
	}
}

// Goal: the file that was replaced may turn out to live. Nothing that it says counts any more: not
// in a view change with a replica that has not heard of the op which replaced it either.
func TestSeveralReplacedFileLives(t *testing.T) {
	for seed := range uint64(4) {
		w := namedWorld(t, 5, 140+seed)
		primary := w.primary().index
		c, stale := (primary+1)%5, (primary+2)%5
		old, disk := w.machines[c].superblock, w.machines[c].disk
		w.isolate(stale, true)
		w.lose(c)
		w.serves(20*second, "three of five do not serve")
		w.recover(c, 9000)
		w.until("the new file is one of the cluster", func() bool { return w.machines[c].stage.service.wasServing() })
		// Now the old file is started in the place of the new one, which stops, with the replica that
		// has heard nothing, and one of those that have. It is none that leads: what the others have
		// acknowledged to it would be committed.
		voter := (primary + 3) % 5
		if p := w.primaryOrNil(); p != nil && p.index == voter {
			voter = (primary + 4) % 5
		}
		w.lose(c)
		w.machines[c].superblock, w.machines[c].disk = old, disk
		highest := w.oracle.highest
		for i, m := range w.machines {
			if i != c && i != stale && i != voter {
				m.powerCut()
				w.disconnect(i)
			}
		}
		w.isolate(stale, false)
		w.begin(c)
		logView := w.logView()
		w.run(15 * second)
		if w.oracle.highest > highest || w.logView() > logView {
			t.Fatalf("seed %d: the replaced file votes: %s", w.seed, w.text())
		}
		if p := w.primaryOrNil(); p != nil && p.stage.mayOrder() {
			t.Fatalf("seed %d: machine %d leads with the vote of a replaced file: %s", w.seed, p.index, w.text())
		}
	}
}

// Goal: a replica that lives is not replaced, nor one of another cluster's size, and the primary
// does not replace itself. The client hears so.
func TestSeveralMayReplace(t *testing.T) {
	w := namedWorld(t, 3, 150)
	primary := w.primary()
	other := (primary.index + 1) % 3
	for what, m := range map[string]wire.Member{
		"a replica that is connected": {Incarnation: 9, Replica: uint8(other), ReplicasCount: 3},
		"the primary":                 {Incarnation: 9, Replica: uint8(primary.index), ReplicasCount: 3},
	} {
		if primary.stage.mayReplace(&m) {
			t.Errorf("%s is replaced", what)
		}
	}
	w.lose(other)
	w.run(second / 10)
	for count, want := range map[uint8]bool{3: true, 4: false, 5: false} {
		if got := primary.stage.mayReplace(&wire.Member{Incarnation: 9, Replica: uint8(other), ReplicasCount: count}); got != want {
			t.Errorf("a lost replica of %d: replaced %v", count, got)
		}
	}
}

// Goal: the acknowledgements of a file end with the prepare that replaces it, before that is
// committed. The primary has lost the connection with C, and is asked to replace it. B is cut off.
// The old file of C comes back, and gets the prepare: it must not help to commit its own
// replacement.
func TestSeveralReplacedWhileItLives(t *testing.T) {
	w := namedWorld(t, 3, 151)
	a := w.primary()
	b, c := w.machines[(a.index+1)%3], w.machines[(a.index+2)%3]
	w.quiet(true)
	w.until("all are equal", w.isEqual)
	w.isolate(c.index, true)
	a.netEvents = append(a.netEvents, stages.NetToConsensus{Kind: stages.NetPeerLost, Peer: uint8(c.index)})
	w.run(second / 100)
	w.isolate(b.index, true) // the primary has not noticed yet
	client := w.clients[0]
	body := make([]byte, wire.MemberBodyBytes)
	wire.PutMember(body, &wire.Member{Incarnation: 9000, Replica: uint8(c.index), ReplicasCount: 3})
	w.until("the client is idle", func() bool { return client.isIdle })
	head := a.stage.log.head()
	client.fields.Operation, client.body, client.isIdle = wire.OperationMember, body, false
	client.send(a)
	w.until("the op is prepared", func() bool { return a.stage.log.head() > head })
	w.isCut[a.index][c.index], w.isCut[c.index][a.index] = false, false
	a.netEvents = append(a.netEvents, stages.NetToConsensus{Kind: stages.NetPeerLive, Peer: uint8(c.index),
		Incarnation: c.superblock.Incarnation})
	w.until("C has the prepare", func() bool { return c.stage.log.isClean(head + 1) })
	w.run(second)
	if a.stage.commits.max() > head {
		t.Fatalf("op %d is committed with the acknowledgement of the replaced file: %s", head+1, w.text())
	}
}

// Goal: a recovered replica has a vote before it has executed the op that names its file, because
// its log tells of it. The vote is needed: the primary dies while the replica is still at the ops
// of the lost file.
func TestSeveralRecoveredVotesEarly(t *testing.T) {
	for seed := range uint64(4) {
		w := namedWorld(t, 3, 160+seed)
		w.maySpread = true
		lost := (w.primary().index + 1) % 3
		w.lose(lost)
		w.serves(20*second, "the cluster does not serve without the lost replica")
		w.recover(lost, 9000)
		m := w.machines[lost]
		w.quiet(true)
		w.until("it has executed some ops of the time of the lost file", func() bool { return m.stage.members.now().AreNamed() })
		if m.stage.members.now()[lost] == 9000 {
			continue // it has taken a checkpoint
		}
		m.holdsWork = true
		w.until("it knows the view's log", func() bool { return m.stage.isSettled() })
		primary := w.primary()
		primary.powerCut()
		w.disconnect(primary.index)
		w.run(second / 10)
		if m.stage.members.now()[lost] == 9000 {
			t.Fatalf("seed %d: it has executed the op that names it: %s", w.seed, w.text())
		}
		w.until("there is another primary", func() bool { return w.primaryOrNil() != nil })
		m.holdsWork = false
		w.quiet(false)
		w.serves(20*second, "the recovered replica does not vote")
		w.begin(primary.index)
		w.heal()
	}
}

// Goal: a recovered file that has heard nothing yet, and a file that was formatted again, are no
// cluster. C is recovered, and B goes down before C hears anything. Then A is formatted again, and
// meets C. They may not begin an empty log. With B the cluster goes on.
func TestSeveralRecoveredMeetsFormatted(t *testing.T) {
	for seed := range uint64(4) {
		w := namedWorld(t, 3, 180+seed)
		w.maySpread = true
		a := w.primary()
		b, c := w.machines[(a.index+1)%3], w.machines[(a.index+2)%3]
		w.lose(c.index)
		w.isolate(c.index, true)
		w.recover(c.index, 9000)
		highest := w.oracle.highest
		b.powerCut()
		w.disconnect(b.index)
		w.format(a.index, 7000, 0)
		w.isolate(c.index, false)
		w.run(15 * second)
		if w.oracle.highest > highest+1 || c.stage.isPrimary() || a.stage.isPrimary() {
			t.Fatalf("seed %d: a recovered file and one that was formatted again begin a log: %s", w.seed, w.text())
		}
		w.begin(b.index)
		w.serves(20*second, "B and the recovered file do not serve")
		w.heal()
		if !a.stage.isStranger() || c.stage.isStranger() {
			t.Fatalf("seed %d: who is a stranger: %v, %v", w.seed, a.stage.isStranger(), c.stage.isStranger())
		}
	}
}

// Goal: a member op is prepared only if those that are connected can commit it. C is lost, and
// somebody replaces B instead, which only starts anew. An op that replaces B would never have a
// quorum, and B would count no more.
func TestSeveralReplacedByMistake(t *testing.T) {
	w := namedWorld(t, 3, 190)
	a := w.primary()
	b, c := (a.index+1)%3, (a.index+2)%3
	w.lose(c)
	w.run(second / 10)
	if !a.stage.mayReplace(&wire.Member{Incarnation: 9, Replica: uint8(c), ReplicasCount: 3}) {
		t.Fatal("a lost replica may not be replaced, although the others can commit that")
	}
	client := w.clients[0]
	w.quiet(true)
	w.commit(client, wire.OperationNoop, nil)
	w.quiet(true)
	w.machines[b].powerCut()
	w.disconnect(b)
	body := make([]byte, wire.MemberBodyBytes)
	wire.PutMember(body, &wire.Member{Incarnation: 9, Replica: uint8(b), ReplicasCount: 3})
	client.fields.Operation, client.body, client.isIdle = wire.OperationMember, body, false
	client.send(a)
	w.run(second / 5)
	for op := a.stage.commits.max() + 1; op <= a.stage.log.head(); op++ {
		if a.stage.log.header(op).Operation() == wire.OperationMember {
			t.Fatalf("op %d names a file, and nobody can commit it: %s", op, w.text())
		}
	}
	w.begin(b)
	client.isIdle = true
	w.quiet(false)
	w.until("A and B go on", func() bool { return w.oracle.highest > 0 && w.server() >= 0 })
	w.serves(20*second, "A and B go on")
}
