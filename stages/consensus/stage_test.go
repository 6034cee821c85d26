package consensus

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"ledger/internal/arena"
	"ledger/internal/hashing"
	"ledger/limits"
	"ledger/prepare"
	"ledger/stages"
	"ledger/wire"
)

// manyClients are registered clients in a world with room for them.
func manyClients(t testing.TB, clientsCount uint32) (*tester, []wire.RequestFields) {
	l := limits.Production()
	l.SessionsMax, l.ConnectionsMax = clientsCount, clientsCount+8
	w := newTester(t, l)
	var clients []wire.RequestFields
	for i := range clientsCount {
		clients = append(clients, w.register(uint64(100+i)))
	}
	return w, clients
}

// block starts a prepare, so that what follows gathers behind it.
func (w *tester) block() {
	w.receive(registerFrame(1 << 40))
	w.turn()
	if w.appending == nil {
		w.t.Fatal("nothing is being written")
	}
}

// Goal: a group ends where the next request would break a limit: bytes, events, worst-case replies;
// what is large or control goes alone.
func TestGroupLimits(t *testing.T) {
	transfers := func(count int) (wire.Operation, []byte) {
		return wire.OperationCreateTransfersUnbatched, make([]byte, 128*count)
	}
	lookups := func(count int) (wire.Operation, []byte) {
		return wire.OperationLookupAccountsUnbatched, make([]byte, 16*count)
	}
	query := func(limit int) (wire.Operation, []byte) {
		body := make([]byte, 128)
		binary.LittleEndian.PutUint32(body[120:], uint32(limit))
		return wire.OperationGetAccountTransfersUnbatched, body
	}
	cases := []struct {
		name  string
		kinds func(i int) (wire.Operation, []byte)
		count int
		want  []int // requests of each prepare
	}{
		{"small ones share", func(int) (wire.Operation, []byte) { return transfers(1) }, 32, []int{32}},
		{"one alone stays where it is", func(int) (wire.Operation, []byte) { return transfers(1) }, 1, []int{1}},
		{"empty bodies", func(int) (wire.Operation, []byte) { return transfers(0) }, 9, []int{9}},
		{"bytes: 31 KiB each, 1 MiB in all", func(int) (wire.Operation, []byte) { return transfers(248) }, 40, []int{32, 8}},
		{"events: ids are many and small", func(int) (wire.Operation, []byte) { return lookups(2000) }, 10, []int{4, 4, 2}},
		{"replies: half a MiB each", func(int) (wire.Operation, []byte) { return query(4000) }, 5, []int{2, 2, 1}},
		{"replies: a whole message each", func(int) (wire.Operation, []byte) { return query(1 << 30) }, 3, []int{1, 1, 1}},
		{"a large one parts them", func(i int) (wire.Operation, []byte) {
			if i == 2 {
				return transfers(300)
			}
			return transfers(1)
		}, 5, []int{2, 1, 2}},
		{"a noop parts them", func(i int) (wire.Operation, []byte) {
			if i == 0 || i == 3 {
				return wire.OperationNoop, nil
			}
			return transfers(1)
		}, 6, []int{1, 2, 1, 2}},
	}
	for _, c := range cases {
		w, clients := manyClients(t, 40)
		w.block()
		first := w.head + 2
		w.answers = nil
		for i := range c.count {
			f := clients[i]
			var body []byte
			f.Operation, body = c.kinds(i)
			w.receive(frame(f, body))
		}
		w.settle()
		w.checkQuiet()
		var got []int
		for op := first; op <= w.head; op++ {
			got = append(got, int(prepare.Header(w.log[op][:256]).RequestsCount()))
		}
		if len(got) != len(c.want) || len(w.answers) != c.count+1 {
			t.Errorf("%s: prepares of %v requests and %d answers, want %v", c.name, got, len(w.answers), c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: prepares of %v requests, want %v", c.name, got, c.want)
				break
			}
		}
	}
}

// Goal: a wall clock more than a second behind the newest timestamp is reported with the difference
// at the start, then once an hour as long as it lasts, and not when it has caught up. A start whose
// clock is right reports nothing.
func TestClockBehind(t *testing.T) {
	w := newTester(t, testLimits())
	expect := func(what string, count int) {
		t.Helper()
		w.settle()
		if len(w.clockReports) != count {
			t.Fatalf("%s: reports %v, want %d of them", what, w.clockReports, count)
		}
	}
	expect("a clock that is right", 0)
	newest := w.stage.log.timestampLast()
	w.wallNs = newest - 5_000_000_000
	w.start()
	expect("a start 5 s behind", 1)
	// The pulse with which a start begins takes 8190 ns of the log's time.
	if got := w.clockReports[0]; got < 5_000_000_000 || got > 5_000_000_000+pulseDelta+1 {
		t.Fatalf("the start reports %d ns, the clock is 5 s behind", got)
	}
	var sample Sample
	if w.stage.Sample(&sample); sample.ClockBehindNs < w.clockReports[0] {
		t.Fatalf("the metric says %d ns behind, the report %d", sample.ClockBehindNs, w.clockReports[0])
	}
	w.nowNs += clockReportEveryNs - 1
	expect("within the hour", 1)
	w.nowNs++
	expect("after an hour", 2)
	w.wallNs = w.stage.log.timestampLast()
	w.nowNs += clockReportEveryNs
	expect("a clock that has caught up", 2)
	if w.stage.Sample(&sample); sample.ClockBehindNs != 0 {
		t.Fatalf("the metric says %d ns behind, the clock has caught up", sample.ClockBehindNs)
	}
}

// Goal: pulses go when an expiry is due by the log's time at once, by the wall clock after 100 ms
// without a request, one at a time, and behind the requests that wait; the stage asks for no turn
// when there is nothing to do.
func TestPulses(t *testing.T) {
	w := newTester(t, testLimits())
	if w.pulses != 1 || w.head != 1 || prepare.Header(w.log[1][:256]).Timestamp() != w.wallNs+1+8190 {
		t.Fatalf("%d pulses in %d ops: the first op is a pulse at the wall clock", w.pulses, w.head)
	}
	w.nowNs += pulseIdleNs
	w.settle()
	if w.pulses != 1 || w.stage.TimerNs() <= w.nowNs {
		t.Fatal("an idle stage neither pulses nor wakes at once when nothing is due")
	}
	// Due by the wall clock, later. (The first pulse took 8190 ns of the log's time.)
	w.wallNs += 1_000_000
	w.nextPulse = func(uint64) uint64 { return w.wallNs + 50 }
	f := w.register(5)
	w.nextPulse = func(uint64) uint64 { return never }
	w.wallNs += 100
	w.settle()
	if w.pulses != 1 {
		t.Fatal("a pulse went before 100 ms without a request")
	}
	w.nowNs += pulseIdleNs
	w.turn()
	if w.pulses != 2 || !w.stage.timers.isPulsing() {
		t.Fatal("no pulse after 100 ms")
	}
	if w.stage.TimerNs() != ^uint64(0) {
		t.Fatal("there is a timer while a pulse is on its way")
	}
	w.nowNs += 10 * pulseIdleNs
	w.turn()
	if w.pulses != 2 {
		t.Fatal("two pulses on their way")
	}
	w.settle()
	// Due by the log: at once, but one prepare of those that wait goes first.
	w.nextPulse = func(timestamp uint64) uint64 { return timestamp }
	w.receive(frame(f, make([]byte, 16)))
	w.turn()
	head := w.head
	w.receive(registerFrame(6))
	w.receive(registerFrame(7))
	w.finishAppend()
	w.finishCommit()
	for range 3 {
		w.turn()
		w.nextPulse = func(uint64) uint64 { return never }
		w.finishAppend()
	}
	w.settle()
	want := []wire.Operation{wire.OperationLookupAccountsUnbatched, wire.OperationRegister, wire.OperationPulse, wire.OperationRegister}
	for i, operation := range want {
		if got := prepare.Header(w.log[head+1+uint64(i)][:256]).Operation(); got != operation {
			t.Fatalf("op %d is %v, want %v", head+1+uint64(i), got, operation)
		}
	}
	if w.pulses != 3 {
		t.Fatalf("%d pulses, want 3", w.pulses)
	}
}

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

// Goal: a log that does not chain is a fault of the replica, not a crash, and nothing of it is
// executed.
func TestReplayOfABrokenChain(t *testing.T) {
	w := newTester(t, testLimits())
	f := w.register(5)
	for range 5 {
		f = w.next(f)
	}
	h := prepare.Header(bytes.Clone(w.log[3][:256]))
	h[150]++ // another view: the checksum no longer fits the next parent
	fields := prepare.Fields{Op: 3, SizeBytes: 256, RequestsCount: 1, Timestamp: h.Timestamp(), Parent: h.Parent(), Cluster: testCluster,
		Operation: wire.OperationNoop, Command: prepare.CommandPrepare, Client: wire.U128{Lo: 5}}
	p := make([]byte, 256)
	prepare.Put(p, &fields, prepare.Sum(nil))
	w.log[3] = p
	w.crash(false, false)
	for range 20 {
		w.turn()
		if w.fault != nil {
			break
		}
		w.finishRead(0)
	}
	if w.fault == nil || !strings.Contains(w.fault.Error(), "does not follow") || w.ready {
		t.Fatalf("fault %v, ready %v", w.fault, w.ready)
	}
}

// Goal: the trailers of sessions and replies come back as they were written; any other bytes are an
// error, never a panic.
func FuzzSessionsTrailer(f *testing.F) {
	w := newTester(f, testLimits())
	for i := range uint64(3) {
		w.register(10 + i)
	}
	w.stage.snapshot.take(23, &w.stage.sessions, w.stage.slots)
	trailer, replies := bytes.Join(w.stage.snapshot.sessions.Records, nil), bytes.Join(w.stage.snapshot.sessions.Replies, nil)
	f.Add(trailer, replies)
	f.Add([]byte{}, []byte{})
	f.Add(trailer[:len(trailer)-1], replies)
	f.Add(append(bytes.Clone(trailer), 0), replies)
	f.Add(trailer, append(bytes.Clone(replies), 0))
	f.Add(trailer, replies[:len(replies)-1])
	f.Add(trailer, append(bytes.Clone(replies[320:]), replies[:320]...)) // others' replies
	twice := append(bytes.Clone(trailer), trailer[trailerHeaderBytes:][:trailerRecordBytes]...)
	twice[8]++
	binary.LittleEndian.PutUint32(twice[len(trailer)+recordIndex:], 3)
	f.Add(twice, append(bytes.Clone(replies), replies[:320]...))
	f.Fuzz(func(t *testing.T, data, dataReplies []byte) {
		memory := arena.New()
		defer memory.Close()
		table := newSessions(&hashing.Key{}, 4, memory)
		holds := newSlotHolds(w.slots)
		err := table.load(27, data, dataReplies, &holds)
		same := bytes.Equal(trailer, data) && bytes.Equal(replies, dataReplies)
		if same && err != nil {
			t.Fatal(err)
		}
		records, recordsErr := ReadSessions(data)
		if err == nil && (recordsErr != nil || len(records) != table.count()) {
			t.Fatalf("a table of %d sessions loads, and %d records are read: %v", table.count(), len(records), recordsErr)
		}
		if err == nil {
			again := newSnapshot(4, memory)
			again.take(23, &table, &holds)
			got, gotReplies := bytes.Join(again.sessions.Records, nil), bytes.Join(again.sessions.Replies, nil)
			if len(got) != len(data) || len(gotReplies) != len(dataReplies) {
				t.Fatal("what was taken is not what was read")
			} else if same && !(bytes.Equal(got, data) && bytes.Equal(gotReplies, dataReplies)) {
				t.Fatal("the trailers change on their way")
			}
		}
		for handle, count := range holds.counts[stages.SlotReply] {
			if count > 0 {
				holds.give(stages.SlotOf(stages.SlotReply, uint32(handle)))
			}
		}
	})
}

// Goal: the index agrees with a map under random changes, also when ids collide.
func TestClientIndexModel(t *testing.T) {
	w := newWorld(t, testLimits())
	x := newClientIndex(&hashing.Key{}, 20, w.memory, "test")
	model := map[wire.U128]uint32{}
	state := uint64(1)
	for i := range uint32(20_000) {
		state = state*6364136223846793005 + 1442695040888963407
		client := wire.U128{Lo: 1 + state>>60, Hi: state >> 40 & 3 << 32}
		if value, ok := x.get(client); ok != (func() bool { _, in := model[client]; return in })() || ok && value != model[client] {
			t.Fatalf("get gives %d %v, want %v", value, ok, model)
		}
		if _, in := model[client]; in {
			x.remove(client)
			delete(model, client)
		} else if len(model) < 20 {
			x.put(client, i)
			model[client] = i
		}
		if x.count != len(model) {
			t.Fatalf("count %d, want %d", x.count, len(model))
		}
	}
}
