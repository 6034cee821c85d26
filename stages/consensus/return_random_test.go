package consensus

import (
	"testing"

	"ledger/internal/seeded"
	"ledger/peer"
)

// asked is a prepare that a machine asks for.
type asked struct {
	from int
	op   uint64
}

// watchRequests fails a world in which a machine asks for the same prepare again and again. It
// returns what is called each second.
func (w *several) watchRequests() (nextSecond func()) {
	counts, chained := map[asked]int{}, w.onSend
	w.onSend = func(from, to int, f *flight) bool {
		if f.command == peer.CommandRequestPrepare {
			var r peer.RequestPrepare
			r.Decode(f.bytes[:256], &peer.Envelope{Command: f.command, Author: uint8(from), View: f.view, Incarnation: 1}, &w.bounds)
			a := asked{from, r.Op}
			counts[a]++
			w.count["most asked"] = max(w.count["most asked"], counts[a])
			if counts[a] > 100 {
				w.t.Fatalf("seed %d: in a second machine %d asks more than 100 times for op %d: %s", w.seed, from, r.Op, w.text())
			}
		}
		return chained == nil || chained(from, to, f)
	}
	return func() { clear(counts) }
}

// hardReturns is a world of slow, hanging, far, flapping and rotten machines under small ops.
func hardReturns(t testing.TB, seed uint64) *several {
	l := severalLimits(3 + int(seed%3))
	if seed%2 == 1 {
		l.JournalSlotsCount, l.BarOps, l.SlackOps, l.PipelineOpsMax = 512, 16, 32, 8
	}
	w := newSeveralOf(t, l, int(seed/3%2), seed)
	defer func() {
		if broken := recover(); broken != nil {
			t.Fatalf("seed %d: %v%s", seed, broken, w.text())
		}
	}()
	w.addClients(4)
	w.isSmallOps, w.maySpread = seed/6%2 == 0, true
	random := w.random
	w.lossPer = random.IntN(2) * random.IntN(30)
	nextSecond := w.watchRequests()
	pass := func(ns uint64) {
		for ; ns > second; ns -= second {
			w.run(second)
			nextSecond()
		}
		w.run(ns)
		nextSecond()
	}
	for range 30 {
		pass(uint64(100_000_000 + random.IntN(3*second)))
		m := w.machines[random.IntN(len(w.machines))]
		switch random.IntN(10) {
		case 0, 1, 2:
			w.isolate(m.index, true)
			pass(uint64(random.IntN(12 * second)))
			w.isolate(m.index, false)
			w.reconnect(m)
		case 3:
			if m.isUp {
				m.crash()
				for range random.IntN(5) {
					m.rot()
				}
				pass(uint64(random.IntN(4 * second)))
			}
		case 4:
			m.pausedNs = w.nowNs + uint64(random.IntN(8*second))
		case 5:
			m.writeNs = uint64(random.IntN(3)) * uint64(random.IntN(300_000_000))
		case 6:
			m.farNs = uint64(random.IntN(3)) * uint64(random.IntN(100_000_000))
		case 7:
			m.holdsAppends = !m.holdsAppends
		case 8:
			m.isCheckpointHeld = !m.isCheckpointHeld
		case 9:
			m.holdsWork = !m.holdsWork
		}
		for _, m := range w.machines {
			if !m.isUp && random.IntN(3) > 0 {
				m.start()
			}
			if random.IntN(3) == 0 {
				m.isCheckpointHeld, m.holdsAppends, m.holdsWork = false, false, false
			}
			if random.IntN(5) == 0 {
				m.farNs, m.writeNs = 0, 0
			}
		}
	}
	for _, m := range w.machines {
		m.isCheckpointHeld, m.holdsAppends, m.holdsWork, m.farNs, m.writeNs = false, false, false, 0, 0
	}
	w.heal()
	return w
}

// Goal: machines that come back again and again, with slow or hanging disks, over slow paths, after
// rot, ask for what they miss, and for no more; and all get to one state.
func TestSeveralReturnRandom(t *testing.T) {
	seed := seeded.Seed(t)
	total := map[string]int{}
	for i := range 4 {
		w := hardReturns(t, seed+uint64(i))
		for what, count := range w.count {
			if what == "most asked" {
				total[what] = max(total[what], count)
				continue
			}
			total[what] += count
		}
		total["op"] += int(w.oracle.highest)
		w.close()
	}
	t.Log(total)
}
