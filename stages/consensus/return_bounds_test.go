package consensus

import (
	"testing"

	"ledger/peer"
	"ledger/stages"
)

// Goal: a damaged prepare that has come, and is being written, is not asked for again and again:
// neither while the disk is slow nor while it hangs. An answer may be a whole message of 1 MiB, and
// the others have to read it.
func TestSeveralRepairsDamageOnce(t *testing.T) {
	w, _, m, _ := calm(t, 61)
	damaged := []uint64{w.oracle.highest - 12, w.oracle.highest - 11, w.oracle.highest - 10}
	m.powerCut()
	for _, op := range damaged {
		m.disk[op%uint64(len(m.disk))] = diskSlot{[]byte{}, []byte{}}
	}
	m.start()
	m.holdsAppends, m.holdsWork = true, true // so it executes nothing, and its log needs all
	asked, sent := map[uint64]int{}, 0
	w.onSend = func(from, to int, f *flight) bool {
		switch {
		case from == m.index && f.command == peer.CommandRequestPrepare:
			var r peer.RequestPrepare
			r.Decode(f.bytes[:256], &peer.Envelope{Command: f.command, Author: uint8(from), View: f.view, Incarnation: 1}, &w.bounds)
			asked[r.Op]++
		case to == m.index && f.command == peer.CommandRepairPrepare:
			sent++
		}
		return true
	}
	w.until("all are being written", func() bool { return m.stage.acks.count() == len(damaged) })
	clear(asked)
	sent = 0
	w.run(2 * second)
	t.Logf("asked for %v, %d came, while %d appends hang", asked, sent, len(m.appends))
	if sent > 60 {
		t.Errorf("%d prepares came in two seconds that are being written", sent)
	}
	w.onSend = nil
	m.holdsAppends, m.holdsWork = false, false
	w.quiet(false)
	w.heal()
}

// reconnect ends the connections of a machine, and begins new ones.
func (w *several) reconnect(m *machine) {
	for _, other := range w.machines {
		if other == m {
			continue
		}
		for _, kind := range []stages.NetToConsensusKind{stages.NetPeerLost, stages.NetPeerLive} {
			other.netEvents = append(other.netEvents, stages.NetToConsensus{Kind: kind, Peer: uint8(m.index),
				Incarnation: m.superblock.Incarnation})
			m.netEvents = append(m.netEvents, stages.NetToConsensus{Kind: kind, Peer: uint8(other.index),
				Incarnation: other.superblock.Incarnation})
		}
	}
}

// Goal: a replica that never gets near again costs the others a minute of pauses, and no more. The
// way to it lets small messages through and no large ones, so its connection ends now and then.
func TestSeveralSpacingEnds(t *testing.T) {
	w := smallOpsSeveral(t, 3, 4, 331)
	primary := w.primary()
	m := w.machines[(primary.index+1)%3]
	w.isolate(m.index, true)
	w.run(15 * second)
	w.isolate(m.index, false)
	w.until("it comes back by state sync", m.stage.syncing.isReturning)
	w.onSend = func(from, to int, f *flight) bool {
		return to != m.index || f.command != peer.CommandRepairPrepare && f.command != peer.CommandPrepare &&
			f.command != peer.CommandHeaders && f.command != peer.CommandStartView
	}
	w.run(65 * second) // what it is given
	for range 5 {
		w.reconnect(m)
		before := w.oracle.highest
		if w.run(20 * second); w.oracle.highest < before+1000 {
			t.Fatalf("a replica has been on its way back for %d s, and the others get on by %d ops in 20 s",
				m.stage.syncing.returningNs(w.nowNs)/second, w.oracle.highest-before)
		}
	}
}

// Goal: two machines that were away together, and are close to each other and far from the rest,
// ask mostly those who have what they miss. Each answers the other one first, and has nothing.
func TestSeveralReturnTogether(t *testing.T) {
	for count := 1; count <= 2; count++ {
		w := smallOpsSeveral(t, 5, 12, 340)
		primary := w.primary()
		w.syncOff() // by the log alone
		var away []*machine
		for i := range count {
			away = append(away, w.machines[(primary.index+1+i)%5])
		}
		for _, m := range w.machines {
			m.farNs = 15_000_000
		}
		for i := range 2 {
			w.machines[(primary.index+1+i)%5].farNs = 0
		}
		w.run(4 * second)
		for _, m := range away {
			w.isolate(m.index, true)
		}
		for _, m := range away { // each comes to know the other one as the fastest
			for _, other := range away {
				w.isolate(other.index, false)
			}
			w.isolate(m.index, true)
			w.run(8 * second)
			w.isolate(m.index, false)
			w.until("it is near", func() bool { return m.executed+16 >= w.oracle.highest })
		}
		for _, m := range away {
			w.isolate(m.index, true)
		}
		before := w.oracle.highest
		w.run(20 * second)
		missed := w.oracle.highest - before
		for _, m := range away {
			w.isolate(m.index, false)
		}
		asked, missing, came := 0, 0, 0
		w.onSend = func(from, to int, f *flight) bool {
			if from == away[0].index && f.command == peer.CommandRequestPrepare {
				asked++
			}
			if to == away[0].index && f.command == peer.CommandPrepareMissing {
				missing++
			}
			if to == away[0].index && f.command == peer.CommandRepairPrepare {
				came++
			}
			return true
		}
		begun := w.nowNs
		w.until("they are near", func() bool {
			for _, m := range away {
				if m.executed+16 < w.oracle.highest {
					return false
				}
			}
			return true
		})
		if missing > came/4 {
			t.Errorf("%d of %d requests went to one that has not got it", missing, asked)
		}
		t.Logf("%d that missed %d ops: near after %d ms; %d asked, %d missing, %d came, syncs %d", count, missed, (w.nowNs-begun)/1_000_000,
			asked, missing, came, away[0].stage.syncing.count())
		w.close()
	}
}
