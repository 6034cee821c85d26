package bench

import (
	"fmt"
	"slices"
	"testing"

	"ledger/internal/arena"
	"ledger/limits"
	"ledger/prepare"
	"ledger/ring"
	"ledger/stages"
	"ledger/stages/consensus"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/wire"
)

// never is a pulse that is not wanted.
const never = uint64(1<<63 - 1)

// order is consensus with the other stages played at once: what is appended is durable, what is
// committed is executed, with empty results. A pair of stages has a real one in the place of one
// that is played.
type order struct {
	b         *testing.B
	limits    limits.Limits
	memory    *arena.Arena
	replies   [8][]stages.Reply // of each op of the pipeline
	slots     *stages.Slots
	driver    *consensus.Driver
	isReal    [stages.Count]bool // the others are played
	fromNet   *ring.SPSC[stages.NetToConsensus]
	journal   *ring.SPSC[stages.JournalToConsensus]
	apply     *ring.SPSC[stages.ApplyToConsensus]
	toNet     *ring.SPSC[stages.ConsensusToNet]
	toJournal *ring.SPSC[stages.ConsensusToJournal]
	toApply   *ring.SPSC[stages.ConsensusToApply]
	timeNs    uint64
	clients   []wire.RequestFields
	answered  int
}

func newOrder(b *testing.B, isReal ...int) *order {
	l := limits.Production()
	if slices.Contains(isReal, stages.Journal) {
		l.JournalSlotsCount = 256 // more would only take longer to make
	}
	memory := arena.New()
	b.Cleanup(memory.Close)
	o := &order{
		b: b, limits: l, memory: memory, slots: &stages.Slots{}, timeNs: 1_700_000_000_000_000_000,
		fromNet: ring.NewSPSC[stages.NetToConsensus](1024), journal: ring.NewSPSC[stages.JournalToConsensus](64),
		apply: ring.NewSPSC[stages.ApplyToConsensus](64), toNet: ring.NewSPSC[stages.ConsensusToNet](1024),
		toJournal: ring.NewSPSC[stages.ConsensusToJournal](64), toApply: ring.NewSPSC[stages.ConsensusToApply](64),
	}
	o.slots.Pools[stages.SlotClient] = arena.NewPool(memory, 2*l.ConnectionsMax+l.PipelineOpsMax, fullBytes, "client slots")
	o.slots.Pools[stages.SlotPrepare] = arena.NewPool(memory, l.PipelineOpsMax+2, fullBytes, "prepare slots")
	o.slots.Pools[stages.SlotReply] = arena.NewPool(memory, l.SessionsMax+2*l.PipelineOpsMax, fullBytes, "reply slots")
	root := make([]byte, prepare.HeaderBytes)
	superblock := datafile.Superblock{Sequence: 2, View: 1, LogView: 1, ReplicasCount: 1, SessionsMax: l.SessionsMax}
	superblock.Checkpoint.PrepareChecksum = prepare.PutRoot(root, wire.U128{}).Checksum()
	stage := consensus.New(l, consensus.DefaultOptions(), o.slots, &consensus.Recovered{Superblock: superblock}, memory)
	o.driver = consensus.NewDriver(stage, consensus.Edges{
		FromNet: o.fromNet, FromJournal: o.journal, FromApply: o.apply,
		ToNet: stages.Sender[stages.ConsensusToNet]{Ring: o.toNet}, ToJournal: stages.Sender[stages.ConsensusToJournal]{Ring: o.toJournal},
		ToApply: stages.Sender[stages.ConsensusToApply]{Ring: o.toApply},
	}, consensus.Callbacks{Ready: func() {}, Fault: func(fault *storage.Fault) { b.Fatal(fault) }})
	for _, stage := range isReal {
		o.isReal[stage] = true
	}
	o.turn() // what comes before the first turn would be dropped: it ends the recovery
	return o
}

// request hands consensus the next request of a client. bodySum: of its body; net has hashed it.
func (o *order) request(client int, operation wire.Operation, body []byte, bodySum wire.Checksum, bodyChecksum wire.Checksum) {
	slot := o.slots.Get(stages.SlotClient)
	frame := o.slots.Bytes(slot)
	copy(frame[wire.HeaderBytes:], body)
	fields := &o.clients[client]
	fields.Operation = operation
	header := wire.HeaderOf(frame)
	wire.BuildRequest(header, fields, nil)
	header.SetSizeBytes(uint32(wire.HeaderBytes + len(body)))
	header.SetChecksumBody(bodyChecksum)
	header.SetChecksum(header.ComputeChecksum())
	o.fromNet.PushOne(stages.NetToConsensus{Kind: stages.NetMessage, BodyHashed: true, BodySum: bodySum, Slot: slot,
		Bytes: header.SizeBytes()})
}

// settle turns until every client has its answer.
func (o *order) settle() { o.settleWith(func(bool) {}) }

// settleWith does so with real stages beside it, whose turns are others'. They may wait when
// consensus has nothing to do.
func (o *order) settleWith(others func(mayWait bool)) {
	o.answered = 0
	for turns := 0; o.answered < len(o.clients); turns++ {
		if turns > 10_000_000 {
			o.b.Fatal("requests are not answered")
		}
		others(!o.turn())
	}
}

// register gives each of so many clients a session.
func (o *order) register(clients int, others func(mayWait bool)) {
	var zero [wire.RegisterBodyBytes]byte
	for i := range clients {
		o.clients = append(o.clients, wire.RequestFields{Client: wire.U128From(uint64(i + 1)), Release: wire.ReleaseCurrent})
		o.request(i, wire.OperationRegister, zero[:], prepare.Sum(zero[:]), wire.ChecksumOf(zero[:]))
	}
	o.settleWith(others)
}

// bodyOf is the body of a request with so many events of zeros.
func bodyOf(operation wire.Operation, eventsCount int) []byte {
	frame := make([]byte, wire.MessageBytesMax)
	encoder := wire.NewBatchEncoder(frame[wire.HeaderBytes:], operation.EventBytes(), 1)
	encoder.EndBatch(eventsCount)
	return encoder.Finish()
}

// turn gives consensus a turn, and plays the others.
func (o *order) turn() (busy bool) {
	o.timeNs += 1000
	busy = o.driver.Turn(o.timeNs, o.timeNs)
	if !o.isReal[stages.Journal] {
		o.playJournal()
	}
	if !o.isReal[stages.Apply] {
		for item, ok := o.toApply.PopOne(); ok; item, ok = o.toApply.PopOne() {
			o.execute(&item)
		}
	}
	if !o.isReal[stages.Net] {
		o.playNet()
	}
	return busy
}

func (o *order) playJournal() {
	for item, ok := o.toJournal.PopOne(); ok; item, ok = o.toJournal.PopOne() {
		switch item.Kind {
		case stages.JournalAppend:
			o.journal.PushOne(stages.JournalToConsensus{Kind: stages.JournalAppended, Slot: item.Slot, Op: item.Op,
				Checksum: prepare.Header(o.slots.Bytes(item.Slot)[:prepare.HeaderBytes]).Checksum()})
		case stages.JournalSuperblock:
			o.journal.PushOne(stages.JournalToConsensus{Kind: stages.JournalSuperblockDone, Op: item.Superblock.Sequence})
		}
	}
}

func (o *order) playNet() {
	for item, ok := o.toNet.PopOne(); ok; item, ok = o.toNet.PopOne() {
		switch item.Kind {
		case stages.NetFree, stages.NetSendFree:
			o.slots.Put(item.Slot)
			continue
		case stages.NetSessionEnded:
			continue
		}
		reply := wire.HeaderOf(o.slots.Bytes(item.Slot)[item.OffsetBytes:])
		fields := &o.clients[reply.ReplyClient().Lo-1]
		if fields.Session == 0 {
			fields.Session = reply.ReplyCommit()
		}
		fields.Number, fields.Parent = fields.Number+1, reply.ReplyContext()
		o.answered++
		o.fromNet.PushOne(stages.NetToConsensus{Kind: stages.NetSent, Slot: item.Slot})
	}
}

func (o *order) execute(item *stages.ConsensusToApply) {
	switch item.Kind {
	case stages.ApplySessions: // the checkpoint is on disk at once
		l := limits.Production()
		checkpoint := &storage.Checkpoint{Op: item.Op - uint64(l.BarOps), BlocksHigh: 1}
		o.apply.PushOne(stages.ApplyToConsensus{Kind: stages.ApplyCheckpointReady, Op: checkpoint.Op, Checkpoint: checkpoint})
	case stages.ApplyCommit:
		if item.ReplySlot == stages.SlotNone { // the pulse that opens a term
			o.apply.PushOne(stages.ApplyToConsensus{Kind: stages.ApplyCommitted, Op: item.Op, NextPulseNs: never})
			return
		}
		message := o.slots.Bytes(item.Slot)
		header := prepare.Header(message[:prepare.HeaderBytes])
		message = message[:header.SizeBytes()]
		replies, at := o.slots.Bytes(item.ReplySlot), 0
		described := &o.replies[item.Op%uint64(len(o.replies))]
		*described = (*described)[:0]
		for i := range int(header.RequestsCount()) {
			r := prepare.RequestAt(message, i)
			at = (at + stages.ReplyAlignBytes - 1) / stages.ReplyAlignBytes * stages.ReplyAlignBytes
			start := at
			at += wire.HeaderBytes + putReply(replies[at:], &r, item.Op)
			*described = append(*described, stages.ReplyOf(wire.HeaderOf(replies[start:]), uint32(start)))
		}
		o.apply.PushOne(stages.ApplyToConsensus{Kind: stages.ApplyCommitted, Op: item.Op, NextPulseNs: never, Replies: *described})
	}
}

// putReply is buildReply for a request of a prepare.
func putReply(frame []byte, r *prepare.Request, op uint64) (bodyBytes int) {
	var request wire.Header
	wire.BuildRequest(&request, &wire.RequestFields{Client: r.Client, Number: r.Request, Release: r.Release, Operation: r.Operation}, nil)
	request.SetChecksum(r.RequestChecksum)
	return buildReply(frame, &request, op, r.Timestamp)
}

// BenchmarkConsensus is the ordering of one round of requests, from the message to its reply,
// without the other stages' work but with their small change: empty replies, and the requests'
// headers. The limit is the checksums that consensus and its neighbours here cannot avoid: of
// headers of requests, replies (two each) and prepares; and the copy that stands for receiving.
func BenchmarkConsensus(b *testing.B) {
	for _, c := range []struct{ clients, events int }{{1, 1}, {32, 1}, {1, 8189}} {
		b.Run(fmt.Sprintf("clients=%d/events=%d", c.clients, c.events), func(b *testing.B) {
			lockThread()
			o := newOrder(b)
			o.register(c.clients, func(bool) {})
			body := bodyOf(wire.OperationCreateTransfers, c.events)
			sum, checksum := prepare.Sum(body), wire.ChecksumOf(body)
			small := make([]byte, 240)
			bare := float64(c.clients)*3*fastest(func() {
				for range 1000 {
					wire.ChecksumOf(small)
				}
			})/1000 + fastest(func() {
				for range 1000 {
					prepare.Sum(small)
				}
			})/1000
			if c.clients > 1 { // small requests are copied into a group, which is hashed
				group := make([]byte, c.clients*(len(body)+prepare.EntryBytes))
				bare += fastest(func() { prepare.Sum(group) })
			}
			slot := o.slots.Bytes(o.slots.Get(stages.SlotClient))
			bare += float64(c.clients) * fastest(func() { copy(slot, body) }) // the message into its slot, which is net's work; it is warm here
			ns := computes(b, func() {
				for i := range o.clients {
					o.request(i, wire.OperationCreateTransfers, body, sum, checksum)
				}
				o.settle()
			})
			b.ReportMetric(ns/float64(c.clients), "cpu-ns/request")
			share(b, "checksums+copy", bare, ns)
		})
	}
}
