package vsr

import (
	"testing"

	"ledger/wire"
)

// Fuzz: whatever ballots come that each pass their check, the choice ends, and what it says holds
// together. They need not fit each other: a peer may be broken.
func FuzzChoice(f *testing.F) {
	f.Add([]byte{1, 3, 0x21, 0x43, 0x65, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte{2, 4, 0xff, 0x80, 3, 3, 3, 3, 0, 1, 0, 1, 0, 1, 0xff, 0xff, 7, 7, 7, 7, 7, 7})
	f.Fuzz(func(t *testing.T, data []byte) {
		take := func(below int) int {
			if len(data) == 0 {
				return 0
			}
			value := int(data[0]) % below
			data = data[1:]
			return value
		}
		q := QuorumsOf(1 + take(6))
		pipeline := 1 + take(PipelineMax)
		ballots, count := make([]*Ballot, q.Replicas), 0
		for i := range ballots {
			if take(4) == 0 {
				continue
			}
			b := &Ballot{LogView: uint32(take(4)), CommitMin: uint64(take(12)), CheckpointOp: uint64(take(3))}
			head := uint64(take(12))
			b.List.Count = 1 + take(BallotHeadersMax)
			parent := wire.Checksum{}
			for at := b.List.Count - 1; at >= 0; at-- { // from the lowest on, so that parents fit
				h := Header{Op: head - uint64(at), View: uint32(take(4)), Commit: uint64(take(12)), Parent: parent}
				h.Checksum = wire.Checksum{byte(h.Op), byte(h.View), byte(take(2))}
				if parent = h.Checksum; take(3) == 0 {
					h, parent = Header{Op: h.Op, Blank: true}, wire.Checksum{byte(take(256))}
				}
				b.List.Headers[at] = h
			}
			b.Present, b.Nack = uint16(take(256)), uint16(take(256))
			for range take(3) {
				b.List.Uncertain.Add(uint64(take(20)))
			}
			if b.Check(4, pipeline) == "" {
				ballots[i] = b
				count++
			}
		}
		c := Choose(&q, pipeline, ballots)
		switch {
		case c.Outcome == OutcomeStuck && count < q.Replicas, c.Outcome == OutcomeWait && count == q.Replicas:
			t.Fatalf("%v with %d of %d ballots", c.Outcome, count, q.Replicas)
		case c.Outcome == OutcomeChosen && count < q.ViewChange:
			t.Fatalf("%d ballots choose", count)
		case c.Outcome == OutcomeChosen && (c.OpHead < c.CommitMax || c.Count != int(c.OpHead-c.CommitMax)+1):
			t.Fatalf("%+v", c)
		case (c.Outcome == OutcomeBroken) != (c.Reason != ""):
			t.Fatalf("%+v", c)
		}
		for i := range c.Count {
			h := &c.Headers[i]
			b := ballots[c.From[i]]
			if h.Op != c.CommitMax+uint64(i) || b.LogView != c.LogView || *b.List.find(h.Op) != *h {
				t.Fatalf("header %d: %+v", i, c)
			}
			if i > 0 && h.Parent != c.Headers[i-1].Checksum {
				t.Fatalf("header %d does not follow: %+v", i, c)
			}
		}
	})
}
