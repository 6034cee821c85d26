package consensus

import (
	"testing"

	"ledger/wire"
)

// memberBody is a request that names a new file.
func (w *several) memberBody(index int, incarnation uint64) []byte {
	body := make([]byte, wire.MemberBodyBytes)
	wire.PutMember(body, &wire.Member{Incarnation: incarnation, Replica: uint8(index), ReplicasCount: uint8(w.quorums.Replicas)})
	return body
}

// link cuts two machines off each other, or connects them again.
func (w *several) link(i, j int, isCut bool) { w.isCut[i][j], w.isCut[j][i] = isCut, isCut }

// logView is the highest view that a machine which is up has a log of.
func (w *several) logView() (view uint32) {
	for _, m := range w.machines {
		if m.isUp {
			view = max(view, m.superblock.LogView)
		}
	}
	return view
}

// Goal: of two files of one replica that were replaced one after the other, nothing counts, however
// often they come back. C is lost and recovered twice, while a replica is cut off that has heard
// nothing since. Then there are that one, one that has heard all, and a file of C: with an old file
// nobody leads, with the right one they serve. The first old file has votes from the time when it
// counted, and the second one was made by recover itself.
func TestSeveralReplacedTwice(t *testing.T) {
	for seed := range uint64(3) {
		w := namedWorld(t, 5, 220+seed)
		w.maySpread = true
		primary := w.primary().index
		c, stale := (primary+1)%5, (primary+2)%5
		m := w.machines[c]
		w.isolate(stale, true)
		var files [3]testFile // of C, in their order
		for i := range 2 {
			w.lose(c)
			files[i] = m.file()
			w.serves(20*second, "three of five do not serve")
			w.recover(c, 9000+uint64(i))
			w.until("the new file is one of the cluster", func() bool {
				return m.stage.service.wasServing() && m.stage.members.now()[c] == m.superblock.Incarnation
			})
		}
		voter := (primary + 3) % 5
		if p := w.primaryOrNil(); p != nil && p.index == voter {
			voter = (primary + 4) % 5 // what the others have acknowledged to a primary would be committed
		}
		w.lose(c)
		files[2] = m.file()
		for i, other := range w.machines {
			if i != c && i != stale && i != voter {
				other.powerCut()
				w.disconnect(i)
			}
		}
		w.isolate(stale, false)
		for turn, i := range []int{1, 0, 1, 2, 0, 1} {
			m.put(files[i])
			w.begin(c)
			if i == 2 {
				w.serves(20*second, "the right file does not count")
			} else {
				if turn > 3 {
					w.run(2 * second) // what the right one has acknowledged and voted counts
				}
				highest, logView := w.oracle.highest, w.logView()
				w.run(10 * second)
				if w.oracle.highest > highest || w.logView() > logView {
					t.Fatalf("seed %d: the file %d counts, which was replaced: %s", w.seed, m.superblock.Incarnation, w.text())
				}
			}
			w.lose(c)
			files[i] = m.file()
		}
		m.put(files[2])
		for i, other := range w.machines {
			if !other.isUp {
				w.begin(i)
			}
		}
		w.heal()
		if table := w.members(0, 1, 2, 3, 4); table[c] != 9001 {
			t.Fatalf("seed %d: the table is %v", w.seed, table)
		}
	}
}

// Goal: a recovered file begins in a view after all those in which the lost one's vote counted.
// A is the primary of four, and C is down. A alone prepares the op that names C's new file, and
// stands still. C's old file is there again: B, C and D begin a later view without that op, and
// commit others. C is lost for good, and the request is repeated: B and D name the new file, by the
// same number, so that it is named in A's log as well. A goes on, and meets the new file. These two
// are enough to commit, and B and D are not there. If the new file followed A, two logs would be
// committed, since it does not know that C's old file has left A's view.
func TestSeveralRecoveredMeetsAPrimaryOfBefore(t *testing.T) {
	for seed := range uint64(4) {
		w := namedWorld(t, 4, 200+seed)
		w.maySpread = true
		for w.view() < 4 {
			p := w.primary()
			p.powerCut()
			w.disconnect(p.index)
			w.serves(20*second, "three of four do not serve")
			w.begin(p.index)
			w.run(second)
		}
		a := w.primary()
		b, c, d := (a.index+1)%4, (a.index+2)%4, (a.index+3)%4
		w.quiet(true)
		client := w.clients[0]
		w.commit(client, wire.OperationNoop, nil)
		w.until("all are equal", w.isEqual)
		view, highest := a.stage.views.now(), w.oracle.highest
		w.lose(c)
		w.run(second / 100)
		w.isolate(a.index, true)
		client.fields.Operation, client.body, client.isIdle = wire.OperationMember, w.memberBody(c, 9000), false
		client.send(a)
		w.until("A has prepared the op that names the new file", func() bool {
			return a.stage.log.head() == highest+1 && a.stage.log.isClean(highest+1)
		})
		if table := a.stage.membersAtHead(); table[c] != 9000 || w.oracle.highest != highest {
			t.Fatalf("seed %d: A has the table %v: %s", w.seed, table, w.text())
		}
		a.pausedNs = w.nowNs + 1000*second

		w.begin(c)
		w.clients[1].isQuiet = false
		w.until("B, C and D go on in a later view", func() bool { return w.oracle.highest > highest+5 })
		w.lose(c)
		w.link(c, b, true)
		w.link(c, d, true)
		w.recover(c, 9000)
		w.quiet(true)
		highest = w.oracle.highest

		w.link(c, a.index, false)
		a.pausedNs = 0
		w.run(10 * second)
		if w.oracle.highest != highest || a.stage.commits.max() > highest {
			t.Fatalf("seed %d: A, in view %d, and the new file commit op %d: %s", w.seed, view, a.stage.commits.max(), w.text())
		}
		w.quiet(false)
		w.heal()
		if table := w.members(0, 1, 2, 3); table[c] != 9000 {
			t.Fatalf("seed %d: the table is %v", w.seed, table)
		}
	}
}
