package apply

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"unsafe"

	"ledger/accounting"
	"ledger/accounting/memory"
	"ledger/accounting/storetest"
	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/internal/portstest"
	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/prepare"
	"ledger/ring"
	"ledger/stages"
	"ledger/stages/compact"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/wire"
)

const gridAt = 4096

var cluster = wire.U128{Lo: 3}

// Goal: ops wait for a generation only where it is behind them, the more the nearer the end of the
// bar is, and never once it is back.
func TestOpsKeepPace(t *testing.T) {
	const barOps, beganOp = 32, 1023
	for _, c := range []struct {
		ops, bytesBack, jobsBack int // of 300 bytes, 3 jobs
		want                     bool
	}{
		{1, 0, 0, false},
		{8, 0, 0, false},
		{9, 0, 0, true},
		{16, 99, 1, true},
		{16, 100, 1, false},
		{24, 100, 1, true},
		{24, 200, 2, false},
		{31, 287, 2, true},
		{31, 288, 2, false},
		{31, 300, 3, false},
	} {
		d := dealer{generation: &storage.Generation{Jobs: make([]storage.Job, 3)}, beganOp: beganOp, bytesAll: 300}
		d.bytesBack, d.backCount = uint64(c.bytesBack), c.jobsBack
		if got := d.holdsUp(beganOp+uint64(c.ops), barOps); got != c.want {
			t.Errorf("after %d ops, %d of 300 bytes back: holds up %v, want %v", c.ops, c.bytesBack, got, c.want)
		}
	}
	if (&dealer{}).holdsUp(5, barOps) {
		t.Error("holds up ops without a generation")
	}
}

func tiny() limits.Limits {
	l := limits.Production()
	l.SectorBytes, l.PageBytes, l.BlockBytes = 512, 512, 4096
	l.JournalSlotsCount, l.BarOps, l.SlackOps, l.PipelineOpsMax = 32, 4, 4, 2
	l.MemtableRowsSeal = 32
	l.CacheGridBytes, l.CacheAccountsMax = 64<<10, 16
	l.StorageBytesMax = datafile.NewLayout(&l).GridAt + 32<<20
	return l
}

// disk is one port to a file in memory; operations end at random polls, in any order.
type disk struct {
	file   *file
	queue  []func() ports.DiskCompletion
	random *rand.Rand
	fails  int // one read in so many fails; 0: none
}

type file struct{ data []byte }

func (f *file) room(end uint64) {
	if end > uint64(len(f.data)) {
		f.data = append(f.data, make([]byte, end-uint64(len(f.data)))...)
	}
}
func (f *file) ReadAt(buffer []byte, offset uint64) error { // behind the end are zeros; a read does not move it
	count := copy(buffer, f.data[min(offset, uint64(len(f.data))):])
	clear(buffer[count:])
	return nil
}
func (f *file) WriteAt(buffer []byte, offset uint64) error {
	f.room(offset + uint64(len(buffer)))
	copy(f.data[offset:], buffer)
	return nil
}
func (f *file) SizeBytes() (uint64, error) { return uint64(len(f.data)), nil }

func (d *disk) later(tag uint64, perform func() int) {
	d.queue = append(d.queue, func() ports.DiskCompletion { return ports.DiskCompletion{Tag: tag, Result: int32(perform())} })
}
func (d *disk) Read(tag, offset uint64, buffer []byte) {
	d.later(tag, func() int {
		if d.fails > 0 && d.random.IntN(d.fails) == 0 {
			return -5
		}
		d.file.ReadAt(buffer, offset)
		return len(buffer)
	})
}
func (d *disk) Write(tag, offset uint64, data []byte, _ ports.WriteFlags) {
	d.later(tag, func() int { d.file.WriteAt(data, offset); return len(data) })
}
func (d *disk) Sync(tag uint64)                  { d.later(tag, func() int { return 0 }) }
func (d *disk) Allocate(tag, _ uint64, _ uint64) { d.later(tag, func() int { return 0 }) }
func (d *disk) Poll(out []ports.DiskCompletion) (count int) {
	for i := 0; i < len(d.queue) && count < len(out); {
		if d.random.IntN(2) == 0 {
			i++
			continue
		}
		out[count] = d.queue[i]()
		count++
		d.queue = append(d.queue[:i], d.queue[i+1:]...)
	}
	return count
}

// bench is apply and compact with their drivers, and a consensus that commits what the test gives
// it.
type bench struct {
	t         testing.TB
	limits    limits.Limits
	random    *rand.Rand
	memory    *arena.Arena
	file      *file
	slots     *stages.Slots
	apply     *Stage
	compact   []*compact.Stage
	drivers   []stages.Driver // apply, then the workers of compact
	weights   []int           // how often each has its turn
	toApply   *ring.SPSC[stages.ConsensusToApply]
	fromApply *ring.SPSC[stages.ApplyToConsensus]
	sessions  stages.Sessions
	newest    storage.Checkpoint
	op        uint64
	fault     *storage.Fault
	waiting   bool        // for the answer to the op just pushed
	opening   bool        // for ApplyOpened; what was answered before it does not count
	sequenced stages.Slot // the slot of a sequenced prepare, until apply gives it back; SlotNone: none
	last      []byte      // the prepare that was committed last
	committed stages.ApplyToConsensus
	late      *lateReplies // of ops whose replies may be late; nil: none may
	// answersMax is how many answers of apply a turn takes at most. 0: several.
	answersMax int
	nowNs      uint64
	healer     *healer // the other replicas, in a cluster of several

	// What a test wants to hear of; nil: nothing.
	onTurn   func()
	onSynced func(op uint64)
	onReady  func(ready *stages.ApplyToConsensus)
}

func newBench(t testing.TB, l limits.Limits, random *rand.Rand, f *file, checkpoint storage.Checkpoint) (*bench, error) {
	return newBenchOver(t, l, random, f, checkpoint, func(d ports.Disk) ports.Disk { return d })
}

// newBenchOver is a bench whose ports are wrapped by over.
func newBenchOver(t testing.TB, l limits.Limits, random *rand.Rand, f *file, checkpoint storage.Checkpoint,
	over func(ports.Disk) ports.Disk) (*bench, error) {
	return newBenchAmong(t, l, random, f, checkpoint, over, nil)
}

// newBenchAmong is a bench of a cluster of several, unless healer is nil.
func newBenchAmong(t testing.TB, l limits.Limits, random *rand.Rand, f *file, checkpoint storage.Checkpoint,
	over func(ports.Disk) ports.Disk, healer *healer) (*bench, error) {
	b := &bench{t: t, limits: l, random: random, memory: arena.New(), file: f, newest: checkpoint, op: checkpoint.Op,
		sequenced: stages.SlotNone, healer: healer}
	t.Cleanup(b.stop)
	b.slots = &stages.Slots{}
	for class := range b.slots.Pools {
		b.slots.Pools[class] = arena.NewPool(b.memory, 4, uint64(l.MessageBytesMax), "slots")
	}
	applyDisk := over(&disk{file: f, random: random})
	b.apply = New(l, cluster, b.slots, checkpoint, gridAt, applyDisk, b.memory)
	b.toApply, b.fromApply = ring.NewSPSC[stages.ConsensusToApply](64), ring.NewSPSC[stages.ApplyToConsensus](64)
	var workers []Worker
	b.drivers, b.weights = []stages.Driver{nil}, []int{1}
	for i := range l.CompactWorkers {
		slots := b.slots
		if i > 0 || healer == nil {
			slots = nil
		}
		worker := compact.New(l, cluster, gridAt, slots, b.memory)
		to, from := ring.NewSPSC[stages.ApplyToCompact](256), ring.NewSPSC[stages.CompactToApply](256)
		b.compact = append(b.compact, worker)
		b.drivers = append(b.drivers, compact.NewDriver(worker, over(&disk{file: f, random: random}), to,
			stages.Sender[stages.CompactToApply]{Ring: from}))
		b.weights = append(b.weights, 1)
		workers = append(workers, Worker{To: stages.Sender[stages.ApplyToCompact]{Ring: to}, From: from})
	}
	b.opening = true
	b.drivers[0] = NewDriver(b.apply, applyDisk, b.toApply, stages.Sender[stages.ApplyToConsensus]{Ring: b.fromApply}, workers)
	for turns := 0; !b.apply.IsOpen() || b.opening; turns++ {
		b.turn()
		if b.fault != nil {
			return b, b.fault
		}
		if turns > 100_000 {
			t.Fatal("the checkpoint is never open")
		}
	}
	return b, nil
}

func (b *bench) stop() {
	if b.memory != nil {
		if b.apply != nil {
			b.apply.Stop()
		}
		for _, worker := range b.compact {
			worker.Stop()
		}
		b.memory.Close()
		b.memory = nil
	}
}

// turn lets a random stage step, and answers what apply says.
func (b *bench) turn() {
	sum := 0
	for _, weight := range b.weights {
		sum += weight
	}
	n, driver := b.random.IntN(sum), 0
	for ; n >= b.weights[driver]; driver++ {
		n -= b.weights[driver]
	}
	b.drivers[driver].Turn(b.nowNs, 0)
	var answers [8]stages.ApplyToConsensus
	most := len(answers)
	if b.answersMax > 0 {
		most = b.answersMax
	}
	for _, answer := range answers[:b.fromApply.Pop(answers[:most])] {
		if b.healer != nil && b.healer.take(&answer) {
			continue
		}
		if b.opening && answer.Kind != stages.ApplyFault && answer.Kind != stages.ApplyOpened && answer.Kind != stages.ApplyRepliesRead {
			continue
		}
		switch answer.Kind {
		case stages.ApplyOpened:
			b.opened(&answer)
		case stages.ApplyRepliesRead:
			b.repliesRead(&answer)
		case stages.ApplySequencedDone:
			if answer.Slot != b.sequenced || answer.Op != b.op {
				b.t.Fatalf("the slot of op %d comes back: %+v", b.op, answer)
			}
			// The slot is free, so others may write to it at once.
			b.forget()
		case stages.ApplyReplied:
			b.late.take(b, &answer)
		case stages.ApplyCommitted:
			b.committed, b.waiting = answer, false
			if b.limits.IsTrigger(answer.Op) && answer.Op > b.limits.CheckpointTrigger(b.newest.Op) {
				b.sessions = stages.Sessions{Op: answer.Op, Records: [][]byte{bytes.Repeat([]byte{byte(answer.Op)}, 500)},
					Replies: [][]byte{bytes.Repeat([]byte{byte(answer.Op)}, 5000)}}
				b.push(stages.ConsensusToApply{Kind: stages.ApplySessions, Op: answer.Op, Sessions: &b.sessions})
			}
		case stages.ApplyCheckpointReady:
			b.newest = *answer.Checkpoint
			if b.onReady != nil {
				b.onReady(&answer)
			}
			b.push(stages.ConsensusToApply{Kind: stages.ApplyCheckpointDurable, Op: answer.Op})
		case stages.ApplySynced:
			if b.onSynced != nil {
				b.onSynced(answer.Op)
			}
		case stages.ApplyFault:
			b.fault = answer.Fault
		}
	}
	if b.onTurn != nil {
		b.onTurn()
	}
	if b.healer != nil {
		b.healer.turn(b)
	}
}

// opened checks the sessions of the checkpoint, and gives room for their replies.
func (b *bench) opened(answer *stages.ApplyToConsensus) {
	if b.opening = answer.Op > 0; !b.opening {
		return
	}
	if trigger := b.limits.CheckpointTrigger(answer.Op); !bytes.Equal(answer.Records, bytes.Repeat([]byte{byte(trigger)}, 500)) {
		b.t.Fatalf("the sessions of checkpoint %d are %v", answer.Op, answer.Records)
	}
	memory := make([]byte, 5000)
	b.sessions = stages.Sessions{Op: answer.Op, Replies: [][]byte{memory[:17], memory[17:17], memory[17:4000], memory[4000:]}}
	b.push(stages.ConsensusToApply{Kind: stages.ApplyReplies, Sessions: &b.sessions})
}

func (b *bench) repliesRead(answer *stages.ApplyToConsensus) {
	want := bytes.Repeat([]byte{byte(b.limits.CheckpointTrigger(answer.Op))}, 5000)
	if answer.Op != b.sessions.Op || !bytes.Equal(bytes.Join(b.sessions.Replies, nil), want) {
		b.t.Fatalf("the replies of the sessions of checkpoint %d are wrong", answer.Op)
	}
	b.opening = false
}

// forget overwrites the slot of the sequenced prepare, and frees it.
func (b *bench) forget() {
	portstest.Repeat(b.slots.Bytes(b.sequenced), []byte{0xff})
	b.slots.Put(b.sequenced)
	b.sequenced = stages.SlotNone
}

// sequence tells apply of a prepare, in a slot of its own.
func (b *bench) sequence(message []byte, op uint64) {
	b.sequenced = b.slots.Get(stages.SlotPrepare)
	copy(b.slots.Bytes(b.sequenced), message)
	b.push(stages.ConsensusToApply{Kind: stages.ApplySequenced, Slot: b.sequenced, Op: op})
}

// reopen makes apply drop its state, in the middle of whatever it does, and go on from a
// checkpoint.
func (b *bench) reopen(checkpoint storage.Checkpoint) {
	b.t.Helper()
	b.opening = true
	b.push(stages.ConsensusToApply{Kind: stages.ApplyOpen, Checkpoint: checkpoint})
	for turns := 0; b.opening; turns++ {
		b.turn()
		if b.fault != nil {
			b.t.Fatal(b.fault)
		}
		if turns > 1_000_000 {
			b.t.Fatal("the checkpoint is never open")
		}
	}
	b.newest, b.op, b.waiting = checkpoint, checkpoint.Op, false
}

func (b *bench) push(request stages.ConsensusToApply) {
	if b.toApply.Push([]stages.ConsensusToApply{request}) != 1 {
		b.t.Fatal("the ring is full")
	}
}

// commit runs a prepare and returns the bytes of its replies.
func (b *bench) commit(message []byte, reply bool) []byte {
	b.t.Helper()
	slot, replySlot := b.slots.Get(stages.SlotPrepare), stages.SlotNone
	copy(b.slots.Bytes(slot), message)
	if reply {
		replySlot = b.slots.Get(stages.SlotReply)
	}
	b.op++
	if b.random.IntN(2) == 0 {
		sequenced := message
		if b.last != nil && b.random.IntN(4) == 0 {
			sequenced = b.last // the op was truncated, and another prepare has taken its place
		}
		b.sequence(sequenced, b.op)
	}
	b.last = message
	b.push(stages.ConsensusToApply{Kind: stages.ApplyCommit, Slot: slot, ReplySlot: replySlot, Op: b.op})
	b.waiting = true
	for turns := 0; b.waiting; turns++ {
		b.turn()
		if b.fault != nil {
			return nil
		}
		if turns > 1_000_000 {
			b.t.Fatalf("op %d is never executed", b.op)
		}
	}
	if b.sequenced != stages.SlotNone {
		b.t.Fatalf("op %d is executed, and its sequenced slot has not come back", b.op)
	}
	if b.committed.Op != b.op {
		b.t.Fatalf("op %d is committed, want %d", b.committed.Op, b.op)
	}
	b.slots.Put(slot)
	if !reply {
		return nil
	}
	usedBytes := uint32(0)
	if count := len(b.committed.Replies); count > 0 {
		usedBytes = b.committed.Replies[count-1].OffsetBytes + b.committed.Replies[count-1].Bytes
	}
	replies := bytes.Clone(b.slots.Bytes(replySlot)[:usedBytes])
	b.slots.Put(replySlot)
	return replies
}

// log makes prepares of traffic: pulses, single requests, groups.
type log struct {
	traffic *storetest.Traffic
	random  *rand.Rand
	op      uint64
	held    *accounting.Request // read ahead of a group's end
	queries bool                // also in groups
}

// smallReply tells whether five such requests fit one slot with their replies.
func smallReply(r *accounting.Request) bool {
	measure, _ := wire.MeasureBody(r.Operation, r.Body, r.RequestBytesMax-wire.HeaderBytes)
	return measure.ReplyBytesMax < wire.BodyBytesMax/8
}

func (g *log) request() accounting.Request {
	if g.held != nil {
		r := *g.held
		g.held = nil
		return r
	}
	if g.random.IntN(5) == 0 {
		return accounting.Request{Operation: wire.OperationPulse, Timestamp: g.traffic.Advance(8191), RequestBytesMax: 1 << 20}
	}
	r := g.traffic.Next()
	words := make([]uint64, len(r.Body)/8+1)
	r.Body = append(unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), len(words)*8)[:0], r.Body...)
	return r
}

// mayGroup: small requests with small replies.
func (g *log) mayGroup(r *accounting.Request) bool {
	return g.queries && accounting.ReadsHistory(r.Operation) && smallReply(r) ||
		r.Operation.Class() == wire.ClassCreate || r.Operation.Class() == wire.ClassLookup && len(r.Body) < 8<<10
}

// next returns a prepare and its requests.
func (g *log) next() ([]byte, []accounting.Request) {
	g.op++
	requests := []accounting.Request{g.request()}
	for len(requests) < 5 && g.mayGroup(&requests[0]) {
		r := g.request()
		if !g.mayGroup(&r) || r.RequestBytesMax != requests[0].RequestBytesMax || g.random.IntN(3) == 0 {
			g.held = &r
			break
		}
		requests = append(requests, r)
	}
	last := &requests[len(requests)-1]
	fields := prepare.Fields{Cluster: cluster, Op: g.op, Timestamp: last.Timestamp, View: 2, Replica: 1, RequestLimit: last.RequestBytesMax,
		RequestsCount: uint16(len(requests)), Command: prepare.CommandPrepare}
	message := make([]byte, prepare.HeaderBytes)
	if len(requests) == 1 {
		message = append(message, last.Body...)
		fields.Operation = last.Operation
		if last.Operation != wire.OperationPulse {
			fields.Client, fields.Request, fields.Release = wire.U128{Lo: 77}, uint32(g.op), 1
		}
	} else {
		var table []byte
		for i := range requests {
			offset := prepare.AlignUp(uint32(len(message) - prepare.HeaderBytes))
			message = append(message, make([]byte, int(offset)+prepare.HeaderBytes-len(message))...)
			message = append(message, requests[i].Body...)
			var entry [prepare.EntryBytes]byte
			prepare.PutEntry(entry[:], &prepare.Request{Client: wire.U128{Lo: uint64(i) + 1}, Timestamp: requests[i].Timestamp,
				Request: uint32(g.op), Release: 1,
				Operation: requests[i].Operation, Body: requests[i].Body}, offset)
			table = append(table, entry[:]...)
		}
		message = append(message, make([]byte, int(prepare.AlignUp(uint32(len(message))))-len(message))...)
		message = append(message, table...)
	}
	fields.SizeBytes = uint32(len(message))
	prepare.Put(message, &fields, prepare.Sum(message[prepare.HeaderBytes:]))
	return message, requests
}

// Goal: over random turns of apply and compact, with restarts from the newest checkpoint, every op
// gets the replies of the plain store, each as a valid frame in its place.
func TestAgainstPlainStore(t *testing.T) {
	random := seeded.Rand(t)
	ops := 1500
	if testing.Short() {
		ops = 300
	}
	l := tiny()
	l.CompactWorkers = 1 + random.Uint32N(4)
	b, err := newBench(t, l, random, &file{}, storage.Checkpoint{})
	if err != nil {
		t.Fatal(err)
	}
	machine := accounting.New(l, memory.New(64, 4096))
	want := aligned(wire.BodyBytesMax)
	source := &log{traffic: storetest.New(random, 1_700_000_000_000_000_000), random: random}
	type logged struct{ message []byte }
	messages := map[uint64]logged{}
	restarts, groups := 0, 0
	for range ops {
		message, requests := source.next()
		messages[source.op] = logged{message}
		replies := b.commit(message, true)
		if len(requests) > 1 {
			groups++
		}
		at := 0
		for i := range requests {
			body := want[:machine.Execute(&requests[i], want)]
			if requests[i].Operation == wire.OperationPulse {
				continue
			}
			at = (at + stages.ReplyAlignBytes - 1) &^ (stages.ReplyAlignBytes - 1)
			header := wire.HeaderOf(replies[at:])
			end := at + int(header.SizeBytes())
			if got := replies[at+wire.HeaderBytes : end]; !bytes.Equal(got, body) {
				t.Fatalf("op %d, request %d, %v: reply %x\nwant %x", source.op, i, requests[i].Operation, got, body)
			}
			if header.ReplyOp() != source.op || header.ReplyTimestamp() != requests[i].Timestamp || header.View() != 2 || header.Replica() != 1 ||
				header.Checksum() != header.ComputeChecksum() {
				t.Fatalf("op %d, request %d: the reply's header is wrong", source.op, i)
			}
			at = end
		}
		if at != len(replies) {
			t.Fatalf("op %d: %d bytes of replies, want %d", source.op, len(replies), at)
		}
		if b.newest.Op > 0 && random.IntN(100) == 0 {
			b = reopen(t, b, func(op uint64) []byte { return messages[op].message })
			restarts++
		}
	}
	if b.newest.Op == 0 || restarts == 0 && !testing.Short() || groups == 0 {
		t.Fatalf("checkpoint %d, %d restarts, %d groups: the test shows little", b.newest.Op, restarts, groups)
	}
	t.Logf("checkpoint %d, %d restarts, %d groups, %+v", b.newest.Op, restarts, groups, b.apply.Statistics())
}

// reopen crashes b and replays from its newest checkpoint up to the same op.
func reopen(t *testing.T, b *bench, message func(op uint64) []byte) *bench {
	t.Helper()
	op, newest := b.op, b.newest
	b.stop()
	again, err := newBench(t, b.limits, b.random, b.file, newest)
	if err != nil {
		t.Fatal(err)
	}
	for again.op < op {
		again.commit(message(again.op+1), again.op+1 > b.limits.CheckpointTrigger(newest.Op) && b.random.IntN(2) == 0)
	}
	return again
}

func aligned(size int) []byte {
	words := make([]uint64, size/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), size)
}

// Goal: a damaged page ends in ApplyFault, whichever block it is in, or is never read: no wrong
// reply, no crash; a damaged checkpoint is refused at the start with the block's address.
func TestDamage(t *testing.T) {
	random := seeded.Rand(t)
	l := tiny()
	faults, refused := 0, 0
	for range 10 {
		b, err := newBench(t, l, random, &file{}, storage.Checkpoint{})
		if err != nil {
			t.Fatal(err)
		}
		source := &log{traffic: storetest.New(random, 1_700_000_000_000_000_000), random: random}
		for range 150 {
			message, _ := source.next()
			b.commit(message, true)
		}
		newest := b.newest
		b.stop()
		for range 30 {
			at := gridAt + random.IntN(len(b.file.data)-gridAt)
			b.file.data[at] ^= 0x10
		}
		again, err := newBench(t, l, random, b.file, newest)
		if err != nil {
			if fault, ok := err.(*storage.Fault); !ok || fault.Address == 0 {
				t.Fatalf("error %v names no block", err)
			}
			refused++
			continue
		}
		source.op = newest.Op
		for i := 0; i < 100 && again.fault == nil; i++ {
			message, _ := source.next()
			again.commit(message, true)
		}
		if again.fault != nil {
			faults++
			if again.fault.Reason == "" {
				t.Fatalf("fault %+v gives no reason", again.fault)
			}
		}
	}
	t.Logf("%d refused, %d faults", refused, faults)
	if faults+refused == 0 {
		t.Error("no damage was found")
	}
}

func bytesOf[T any](record *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(record)), unsafe.Sizeof(*record))
}
