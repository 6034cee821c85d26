package vsr

import (
	"testing"

	"ledger/internal/seeded"
	"ledger/wire"
)

func connectedBudget(self, replicas int) Budget {
	b := NewBudget(self, replicas)
	for i := range replicas {
		if i != self {
			b.Connected(i, true)
		}
	}
	return b
}

// notRandom makes Ask take the peer of the least latency.
const notRandom = 99

// Two full prepares may be asked of one peer, or four small ones; none of them twice, and none of a
// peer that is not there.
func TestBudgetRoom(t *testing.T) {
	b := connectedBudget(0, 3)
	this := wire.Checksum{1}
	asked := func(op uint64) int {
		peer, ok := b.Ask(0, Wanted{op, this, 1 << 20}, notRandom)
		if !ok {
			return -1
		}
		return peer
	}
	for i, want := range []int{1, 1, 2, 2, -1} {
		if got := asked(uint64(i)); got != want {
			t.Fatalf("request %d goes to %d, want %d", i, got, want)
		}
	}
	b.Answered(2, 1000, 2, wire.Checksum{2}) // another prepare of this op
	if got := asked(9); got != -1 {
		t.Errorf("an answer with another checksum makes room at %d", got)
	}
	b.Answered(2, 1000, 2, this)
	if got := asked(0); got != 2 { // peer 1 has been asked for op 0
		t.Errorf("asked %d again", got)
	}
	b.Answered(1, 1000, 1, this)
	if got := asked(0); got != -1 {
		t.Errorf("peer %d is asked twice for one prepare", got)
	}
	b.Connected(1, false)
	if got := asked(9); got != -1 {
		t.Errorf("peer %d is asked, and is not there", got)
	}
	b.Connected(1, true)
	if got := asked(0); got != 1 {
		t.Errorf("peer %d is asked", got)
	}
	small := connectedBudget(0, 2)
	for op := range uint64(5) {
		if _, ok := small.Ask(0, Wanted{Op: op, Bytes: 4096}, notRandom); ok != (op < 4) {
			t.Errorf("small request %d: asked %v", op, ok)
		}
	}
	if count, isAsked := small.Out(Wanted{Op: 3}); count != 4 || !isAsked {
		t.Errorf("%d requests are out, that of op 3: %v", count, isAsked)
	}
	alone := connectedBudget(0, 1)
	if _, ok := alone.Ask(0, Wanted{Op: 1, Checksum: this}, notRandom); ok {
		t.Error("a single replica asks somebody")
	}
}

// A request expires after twice the latency of its peer, and at most half a second. The peer counts
// as slower then.
func TestBudgetExpiry(t *testing.T) {
	b := connectedBudget(1, 2)
	now := uint64(0)
	expiries := []uint64{}
	for op := range uint64(12) {
		if _, ok := b.Ask(now, Wanted{Op: op}, notRandom); !ok {
			t.Fatal("no room")
		}
		next := b.NextNs()
		if b.Expire(next-1) != 0 || b.Expire(next) != 1 || b.NextNs() != ^uint64(0) {
			t.Fatal("it does not expire once, at its time")
		}
		expiries = append(expiries, next-now)
		now = next
	}
	if expiries[0] != 200*ms || expiries[11] != 500*ms {
		t.Errorf("requests expire after %v", expiries)
	}
	for op := range uint64(50) { // it answers within 3 ms
		b.Ask(now, Wanted{Op: op}, notRandom)
		b.Answered(0, now+3*ms, op, wire.Checksum{})
		now += 3 * ms
	}
	b.Ask(now, Wanted{Op: 99}, notRandom)
	if got := b.NextNs() - now; got != 10*ms {
		t.Errorf("a request to a peer that answers within 3 ms expires after %d ns", got)
	}
}

// The peer of the least latency is asked; one in ten requests goes to any, so that each is measured
// now and then. A new primary asks all.
func TestBudgetChoice(t *testing.T) {
	random := seeded.Rand(t)
	b := connectedBudget(2, 4)
	latencies := [4]uint64{5 * ms, 1 * ms, 0, 20 * ms}
	counts, now := [4]int{}, uint64(0)
	for op := range uint64(10_000) {
		peer, ok := b.Ask(now, Wanted{Op: op}, random.Uint64())
		if !ok {
			t.Fatal("no room")
		}
		if op >= 2000 { // until then it learns
			counts[peer]++
		}
		now += latencies[peer]
		b.Answered(peer, now, op, wire.Checksum{})
	}
	if counts[2] != 0 || counts[1] < 7200 || counts[0] < 100 || counts[3] < 100 {
		t.Errorf("requests by peer: %v", counts)
	}
	if got := b.AskAll(now, Wanted{Op: 1}); got != 0b1011 {
		t.Errorf("a new primary asks %b", got)
	}
	if got := b.AskAll(now, Wanted{Op: 1}); got != 0 {
		t.Errorf("a new primary asks %b again", got)
	}
}

// A dead peer does not hold repair up: all that is missing comes from the others.
func TestBudgetWithADeadPeer(t *testing.T) {
	random := seeded.Rand(t)
	for dead := range 2 {
		b := connectedBudget(2, 3)
		now, missing, asks := uint64(0), uint64(1), 0
		type answer struct{ op, atNs uint64 }
		var coming []answer
		for missing <= 200 {
			for {
				peer, ok := b.Ask(now, Wanted{Op: missing}, random.Uint64())
				if !ok {
					break
				}
				asks++
				if peer != dead {
					coming = append(coming, answer{missing, now + 2*ms})
				}
			}
			now = b.NextNs()
			for _, a := range coming {
				now = min(now, a.atNs)
			}
			for i := 0; i < len(coming); i++ {
				if a := coming[i]; a.atNs <= now {
					b.Answered(1-dead, now, a.op, wire.Checksum{})
					missing = max(missing, a.op+1)
					coming = append(coming[:i], coming[i+1:]...)
					i--
				}
			}
			b.Expire(now)
		}
		if now > 5000*ms {
			t.Errorf("200 prepares took %d ns, with %d requests", now, asks)
		}
	}
}
