package consensus

import (
	"testing"

	"ledger/prepare"
	"ledger/stages"
	"ledger/wire"
)

// Goal: a steady cycle of requests allocates nothing.
func TestSteadyCycleAllocatesNothing(t *testing.T) {
	c := newCycle(t, 32, 128)
	c.cycle()
	if allocs := testing.AllocsPerRun(200, c.cycle); allocs != 0 {
		t.Fatalf("a cycle of 32 requests allocates %.1f times, want 0", allocs)
	}
}

// cycle is a stage whose journal, apply and net cost next to nothing: what is measured is the
// stage.
type cycle struct {
	*tester
	requests [][]byte // one frame of each client, changed in place
	clients  []wire.RequestFields
	events   Events
	replies  [8][]stages.Reply // of each op of the pipeline
}

func newCycle(t testing.TB, clientsCount uint32, bodyBytes int) *cycle {
	w, clients := manyClients(t, clientsCount)
	c := &cycle{tester: w, clients: clients}
	for i := range clients {
		c.clients[i].Operation = wire.OperationCreateTransfersUnbatched
		c.clients[i].Release, c.clients[i].Cluster = testRelease, testCluster
		c.requests = append(c.requests, make([]byte, 256+bodyBytes))
	}
	c.events = Events{WallNs: c.wallNs, Journal: make([]stages.JournalToConsensus, 0, 64), Apply: make([]stages.ApplyToConsensus, 0, 64),
		Net: make([]stages.NetToConsensus, 0, 4096)}
	// Checkpoints are not part of the cycle.
	c.stage.superblocks.durable.Checkpoint.Op = 1 << 40
	return c
}

// step lets the stage take the events of this cycle, and forgets them.
func (c *cycle) step() {
	c.out.Reset()
	c.stage.Step(c.nowNs, c.events, &c.out)
	c.events.Journal, c.events.Apply, c.events.Net = c.events.Journal[:0], c.events.Apply[:0], c.events.Net[:0]
}

// cycle sends one request of each client and finishes all of them.
func (c *cycle) cycle() {
	s := c.stage
	for i := range c.clients {
		f := &c.clients[i]
		wire.BuildRequest(wire.HeaderOf(c.requests[i][:256]), f, c.requests[i][256:])
		slot := c.slots.Get(stages.SlotClient)
		copy(c.slots.Bytes(slot), c.requests[i])
		event := stages.NetToConsensus{Kind: stages.NetMessage, Slot: slot, Bytes: uint32(len(c.requests[i])), Connection: 0}
		event.BodyHashed = len(c.requests[i]) > 16<<10 // net's part
		c.events.Net = append(c.events.Net, event)
	}
	c.step()
	for len(c.out.Net)+len(c.out.Journal)+len(c.out.Apply) > 0 {
		for i := range c.out.Apply {
			a := &c.out.Apply[i]
			if a.Kind == stages.ApplySessions { // the checkpoint is on disk at once
				for _, slot := range s.snapshot.pins() {
					s.slots.release(slot)
				}
				s.snapshot.drop()
				continue
			}
			p := c.slots.Bytes(a.Slot)
			done := stages.ApplyToConsensus{Kind: stages.ApplyCommitted, Op: a.Op, NextPulseNs: never}
			room := &c.replies[a.Op%uint64(len(c.replies))]
			*room = buildReplies(p[:prepare.Header(p[:256]).SizeBytes()], c.slots.Bytes(a.ReplySlot), (*room)[:0])
			done.Replies = *room
			c.events.Apply = append(c.events.Apply, done)
		}
		for i := range c.out.Journal {
			a := &c.out.Journal[i]
			c.events.Journal = append(c.events.Journal, stages.JournalToConsensus{Kind: stages.JournalAppended, Op: a.Op, Slot: a.Slot,
				Checksum: prepare.Header(c.slots.Bytes(a.Slot)[:256]).Checksum()})
		}
		for i := range c.out.Net {
			a := &c.out.Net[i]
			switch a.Kind {
			case stages.NetFree, stages.NetSendFree:
				c.slots.Put(a.Slot)
				continue
			case stages.NetSessionEnded:
				continue
			}
			h := wire.HeaderOf(c.slots.Bytes(a.Slot)[a.OffsetBytes:][:256])
			f := &c.clients[h.ReplyClient().Lo-100]
			f.Number, f.Parent = f.Number+1, h.ReplyContext()
			c.events.Net = append(c.events.Net, stages.NetToConsensus{Kind: stages.NetSent, Slot: a.Slot})
		}
		c.step()
	}
}

// BenchmarkSmallRequests: 32 clients, one transfer each, in a group; without building replies and
// requests it is the stage's share.
func BenchmarkSmallRequests(b *testing.B) { benchmarkCycle(b, 32, 128) }

// BenchmarkFullRequests: one client with 8189 transfers, whose body net has hashed.
func BenchmarkFullRequests(b *testing.B) { benchmarkCycle(b, 1, 128*8189) }

func benchmarkCycle(b *testing.B, clientsCount uint32, bodyBytes int) {
	c := newCycle(b, clientsCount, bodyBytes)
	requests := 0
	b.ReportAllocs()
	for b.Loop() {
		c.cycle()
		requests += len(c.clients)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(requests), "ns/request")
}
