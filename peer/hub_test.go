package peer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"ledger/internal/seeded"
)

// Goal: two hubs over a bad network never break an assertion; messages arrive once, whole, or not
// at all; each slot and each lease comes back exactly once; when the network is well again, the
// replicas speak to each other.
func TestHubAnyOrder(t *testing.T) {
	first := seeded.Seed(t)
	total, faults, lives := 0, 0, uint64(0)
	for seed := first; seed < first+10; seed++ {
		var keys [][KeyBytes]byte
		if seed%2 == 0 {
			keys = append(keys, testKey(byte(seed)))
		}
		d := newDuo(t, rand.New(rand.NewPCG(seed, 0)), keys...)
		d.faulty = true
		for range 4000 {
			d.step()
		}
		d.faulty = false
		for range 3000 {
			d.step()
		}
		for _, s := range d.hubs {
			if !s.isLive || s.State(uint8(2-2*s.index)) != DialLive {
				t.Fatalf("seed %d: hub %d is not connected: %s", seed, s.index, s.State(uint8(2-2*s.index)))
			}
			s.got = 0
			faults += s.faults
			lives += s.table.Counters.Identified
		}
		for range 2000 {
			d.step()
		}
		for _, s := range d.hubs {
			total += s.got
			if s.got < 50 {
				t.Errorf("seed %d: %d messages of a calm network", seed, s.got)
			}
			for _, at := range sortedKeys(s.pipes) {
				s.pipes[at].closed = true
				s.Close(at, d.nowNs)
				s.perform()
			}
			for _, at := range sortedKeys(s.pipes) {
				s.Closed(at, d.nowNs)
				s.perform()
			}
			c := s.CountersOf(uint8(2 - 2*s.index))
			if offered := c.Sent.Sent[0] + c.Sent.Sent[1] + c.Sent.Sent[2]; c.Received.Messages == 0 || offered == 0 || c.Sent.Dropped[1] == 0 {
				t.Errorf("seed %d: counters %+v", seed, c)
			}
			if len(s.free) != len(s.slots) || len(s.leases) != 0 {
				t.Fatalf("seed %d: %d of %d slots are free, %d leases are out", seed, len(s.free), len(s.slots), len(s.leases))
			}
		}
	}
	summary := fmt.Sprintf("%d messages, %d faults, %d connections", total, faults, lives)
	if t.Log(summary); faults == 0 || lives < 60 {
		t.Error(summary)
	}
}

// Goal: a refusal reaches the other side before the connection ends, so both sides have the line.
func TestHubRefusal(t *testing.T) {
	d := newDuo(t, rand.New(rand.NewPCG(1, 0)))
	d.hubs[0].table.self.Fixed[14] = 128
	for range 2000 {
		d.step()
	}
	for i, s := range d.hubs {
		if s.isLive || len(s.refusals) == 0 {
			t.Fatalf("side %d: connected %v, %d refusals", i, s.isLive, len(s.refusals))
		}
		r := s.refusals[0]
		if r.Field() != "sessions" || r.Ours.Lo+r.Theirs.Lo != 64+128 || r.ByPeer != (i == 1) {
			t.Errorf("side %d: %s", i, r.Error())
		}
	}
}

// Goal: a refusal that the other side does not take ends with its time.
func TestHubRefusalNotTaken(t *testing.T) {
	d := newDuo(t, rand.New(rand.NewPCG(1, 0)))
	h := d.hubs[0].Hub
	frame := make([]byte, FrameBytes)
	copy(frame, magic[:])
	place, ok := h.Accepted(frame[:20], 1)
	if !ok || len(h.Actions) != 1 || h.Actions[0].Kind != HubReceive || len(h.Actions[0].Buffer) != FrameBytes-20 {
		t.Fatalf("%+v", h.Actions)
	}
	h.Reset()
	h.Received(place, FrameBytes-20, 2)
	var kinds []HubActionKind
	for i := range h.Actions {
		kinds = append(kinds, h.Actions[i].Kind)
	}
	if !slices.Equal(kinds, []HubActionKind{HubSend, HubRefused}) || h.NextNs() != 2+closeNs {
		t.Fatalf("actions %d, next at %d", kinds, h.NextNs())
	}
	h.Reset()
	h.Tick(2 + closeNs)
	if len(h.Actions) != 1 || h.Actions[0].Kind != HubClose || h.Actions[0].Place != place {
		t.Fatalf("%+v", h.Actions)
	}
	h.Reset()
	if h.Closed(place, 3+closeNs); len(h.Actions) != 0 {
		t.Errorf("%+v", h.Actions)
	}
}

// Goal: a hub in use allocates nothing.
func TestHubDoesNotAllocate(t *testing.T) {
	d := newDuo(t, rand.New(rand.NewPCG(4, 0)))
	s := d.hubs[1]
	h, at := s.Hub, uint32(0)
	for !s.isLive || h.conns[at].sending {
		d.step()
		_, at = h.table.LinkOf(0)
	}
	one := samples()[4]
	head, e := one.encode()[:HeadBytes], one.envelope()
	if allocs := testing.AllocsPerRun(200, func() {
		h.Send(0, &e, head, 5, d.nowNs)
		h.Sent(at, true, d.nowNs)
		h.Tick(d.nowNs)
		h.Reset()
	}); allocs != 0 {
		t.Errorf("a message allocates %.1f times, want 0", allocs)
	}
}
