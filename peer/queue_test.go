package peer

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ledger/prepare"
)

// offered makes the head of a message, with a number in the inner header's place for tests.
func offered(command Command, bodyBytes, number uint32) []byte {
	head := make([]byte, HeadBytes)
	e := Envelope{Command: command, Author: 2, Incarnation: 1, BodyBytes: bodyBytes, View: number}
	if bodyBytes > 0 {
		e.BodyChecksum = prepare.Sum(nil)
	}
	e.Encode(head)
	return head
}

func numberOf(o Outgoing) uint32   { return little32(o.Head[52:]) }
func commandOf(o Outgoing) Command { return Command(o.Head[56]) }

type testQueue struct {
	*Queue
	returned []Lease
	next     Lease
	nowNs    uint64
}

func newTestQueue() *testQueue {
	b := testBounds()
	q := &testQueue{Queue: NewQueue(&b)}
	q.returned = make([]Lease, 0, q.LeasesMax())
	link, _ := linksOf(NewKeys(), NewKeys(), 0)
	q.Open(&link, 0)
	return q
}

// offer lends a new lease with the message if it has a body.
func (q *testQueue) offer(command Command, bodyBytes, number uint32) (lease Lease, ok bool) {
	lease = NoLease
	if bodyBytes > 0 {
		lease = q.next
		q.next++
	}
	return lease, q.Offer(offered(command, bodyBytes, number), lease, q.nowNs, &q.returned)
}

// Goal: whatever happens in whatever order, every lease comes back exactly once, a connection that
// is gone holds none, messages of a class keep their order, and urgent ones go first.
func TestQueueAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := newTestQueue()
		out := map[Lease]bool{}
		var waits [ClassRepair + 1][]uint32
		var current Outgoing
		sending, isOpen, closing := false, true, false
		number := uint32(0)
		take := func() {
			for _, lease := range q.returned {
				if !out[lease] {
					t.Fatalf("lease %d comes back, but was not out", lease)
				}
				delete(out, lease)
			}
			q.returned = q.returned[:0]
		}
		t.Repeat(map[string]func(*rapid.T){
			"offer": func(t *rapid.T) {
				command := Command(rapid.IntRange(1, commandsCount-1).Draw(t, "command"))
				body := uint32(0)
				if command.Class() != ClassUrgent {
					body = uint32(rapid.SampledFrom([]int{0, 256, 70_000, 1 << 19}).Draw(t, "body"))
				}
				number++
				replaced := q.Counters.Replaced
				lease, ok := q.offer(command, body, number)
				if lease != NoLease {
					out[lease] = true
				}
				take()
				if ok == (lease != NoLease && !out[lease]) && lease != NoLease {
					t.Fatalf("taken %v, and the lease is still lent: %v", ok, out[lease])
				}
				switch class := command.Class(); {
				case ok && (!isOpen || closing):
					t.Fatal("a message is taken without a connection")
				case ok && q.Counters.Replaced == replaced:
					waits[class] = append(waits[class], number)
				case ok:
					// It has the place of an older one.
					f := &q.classes[class]
					waits[class] = waits[class][:0]
					for i := range f.count {
						waits[class] = append(waits[class], little32(f.at(i).head[52:]))
					}
					if !slices.Contains(waits[class], number) {
						t.Fatal("the newer heartbeat is lost")
					}
				}
			},
			"start": func(t *rapid.T) {
				o, ok := q.Start(q.nowNs)
				if ok != (isOpen && !closing && !sending && len(waits[0])+len(waits[1])+len(waits[2]) > 0) {
					t.Fatalf("started %v", ok)
				}
				if !ok {
					return
				}
				class := commandOf(o).Class()
				if class != ClassUrgent && len(waits[ClassUrgent]) > 0 || waits[class][0] != numberOf(o) {
					t.Fatalf("message %d of class %d is sent before others: %d", numberOf(o), class, waits)
				}
				waits[class] = waits[class][1:]
				current, sending = o, true
			},
			"sent": func(t *rapid.T) {
				if sending {
					q.Sent(q.nowNs, &q.returned)
					take()
					if current.Lease != NoLease && out[current.Lease] {
						t.Fatal("what was sent is still lent")
					}
					sending = false
				}
			},
			"later": func(t *rapid.T) { q.nowNs += uint64(rapid.IntRange(1, 100).Draw(t, "ms")) * millisecond },
			"close": func(t *rapid.T) {
				q.Close(&q.returned)
				take()
				closing, waits = isOpen, [ClassRepair + 1][]uint32{}
				if most := 1; len(out) > most || len(out) == 1 && (!sending || !out[current.Lease]) {
					t.Fatalf("a connection that ends holds %v", out)
				}
			},
			"closed": func(t *rapid.T) {
				q.Closed(&q.returned)
				take()
				isOpen, closing, sending, waits = false, false, false, [ClassRepair + 1][]uint32{}
				if len(out) > 0 {
					t.Fatalf("a closed connection holds %v", out)
				}
			},
			"open": func(t *rapid.T) {
				if !isOpen {
					link, _ := linksOf(NewKeys(), NewKeys(), 0)
					q.Open(&link, q.nowNs)
					isOpen = true
				}
			},
		})
	})
}

// Goal: a peer that drains has room for a pipeline and two more, one that does not for four, and
// acknowledgements have room of their own.
func TestQueueRoom(t *testing.T) {
	fill := func(q *testQueue, command Command) (count int) {
		for {
			if _, ok := q.offer(command, 1000, uint32(count)); !ok {
				q.returned = q.returned[:0]
				return count
			}
			count++
		}
	}
	q := newTestQueue()
	if count := fill(q, CommandPrepare); count != 10 {
		t.Errorf("a peer that drains has room for %d, want 10", count)
	}
	q.Start(0)
	q.nowNs = DrainNs
	if _, ok := q.offer(CommandPrepare, 1000, 0); ok {
		t.Error("the message that is sent does not count")
	}
	q.Sent(q.nowNs, &q.returned)
	q.Start(q.nowNs)
	if q.nowNs += DrainNs; fill(q, CommandPrepare) != 1 {
		t.Error("a peer that drains within 50 ms has another room")
	}
	q = newTestQueue()
	q.offer(CommandPrepare, 1000, 0)
	q.Start(0)
	q.nowNs = DrainNs + 1
	if count := fill(q, CommandPrepare); count != 3 {
		t.Errorf("a peer that does not drain has room for %d and the one that is sent, want 3", count)
	}
	for range 40 {
		q.offer(CommandPrepareOK, 0, 0)
	}
	if c := q.Counters.Dropped; c[ClassUrgent] != 40-urgentMax || c[ClassNormal] != 1 {
		t.Errorf("dropped %d", c)
	}
	q = newTestQueue()
	if count := fill(q, CommandBlock); count != 5 {
		t.Errorf("repair has room for %d, want half of 10", count)
	}
	if count := fill(q, CommandPrepare); count != 5 {
		t.Errorf("beside repair there is room for %d, want 5", count)
	}
}

// Goal: a heartbeat that waits is replaced by a newer one, in its place; an acknowledgement never
// is.
func TestQueueHeartbeats(t *testing.T) {
	q := newTestQueue()
	for i := range uint32(100) {
		q.offer(CommandCommit, 0, i)
		q.offer(CommandPong, 0, i)
		if i < 3 {
			q.offer(CommandPrepareOK, 0, i)
		}
	}
	want := []struct {
		command Command
		number  uint32
	}{{CommandCommit, 99}, {CommandPong, 99}, {CommandPrepareOK, 0}, {CommandPrepareOK, 1}, {CommandPrepareOK, 2}}
	for _, w := range want {
		o, ok := q.Start(0)
		if !ok || commandOf(o) != w.command || numberOf(o) != w.number {
			t.Errorf("sent %s %d, want %s %d", commandOf(o), numberOf(o), w.command, w.number)
		}
		q.Sent(0, &q.returned)
	}
	if q.Counters.Replaced != 198 {
		t.Errorf("%d replaced", q.Counters.Replaced)
	}
}

// Goal: while prepares wait, repair has a quarter of the bytes; else all.
func TestQueueRepairShare(t *testing.T) {
	for _, block := range []uint32{4096, 64 << 10, 512 << 10} {
		for _, batch := range []uint32{1000, 100_000, 1<<20 - 256} {
			q := newTestQueue()
			for range 4000 {
				for q.classes[ClassNormal].count < 2 {
					q.offer(CommandPrepare, batch, 0)
				}
				for q.classes[ClassRepair].count < 2 {
					q.offer(CommandBlock, block, 0)
				}
				q.Start(q.nowNs)
				q.Sent(q.nowNs, &q.returned)
				q.returned = q.returned[:0]
			}
			bytes := q.Counters.Bytes
			share := float64(bytes[ClassRepair]) / float64(bytes[ClassNormal]+bytes[ClassRepair])
			if share > 0.26 || share < 0.2 {
				t.Errorf("blocks of %d beside batches of %d: %.0f %% of the bytes, want 25", block, batch, 100*share)
			}
		}
	}
	q := newTestQueue()
	for range 3 {
		q.offer(CommandBlock, 512<<10, 0)
		if o, ok := q.Start(0); !ok || commandOf(o) != CommandBlock {
			t.Error("a block waits although nothing else does")
		}
		q.Sent(0, &q.returned)
	}
}

// Goal: messages are sealed in the order in which they are sent.
func TestQueueSeals(t *testing.T) {
	b := testBounds()
	from, to := linksOf(NewKeys(), NewKeys(), 0)
	q := NewQueue(&b)
	returned := make([]Lease, 0, q.LeasesMax())
	q.Open(&from, 0)
	order := []Command{CommandBlock, CommandPrepare, CommandPrepareOK, CommandPing}
	for _, command := range order {
		for _, s := range samples() {
			if s.command == command {
				lease := Lease(7)
				if len(s.body) == 0 {
					lease = NoLease
				}
				q.Offer(s.encode(), lease, 0, &returned)
			}
		}
	}
	var got []string
	for {
		o, ok := q.Start(0)
		if !ok {
			break
		}
		if f := open(&to, o.Head); f.Faulty() {
			t.Errorf("%s: %s", commandOf(o), f.Error())
		}
		got = append(got, commandOf(o).String())
		q.Sent(0, &returned)
	}
	if text := strings.Join(got, " "); text != "prepare_ok ping prepare block" || b.pipeline != 8 {
		t.Errorf("sent %s", text)
	}
}

// Goal: a lease that is not given back is found at the next connection, in production as well.
func TestQueueAsserts(t *testing.T) {
	q := newTestQueue()
	q.offer(CommandPrepare, 1000, 0)
	q.leases++
	if what := mustPanic(t, func() { q.Closed(&q.returned) }); !strings.Contains(what, "lease") {
		t.Error(what)
	}
}

// Goal: a queue allocates nothing.
func TestQueueDoesNotAllocate(t *testing.T) {
	q := newTestQueue()
	head := offered(CommandPrepare, 1000, 1)
	if allocs := testing.AllocsPerRun(100, func() {
		q.Offer(head, 3, 0, &q.returned)
		q.Start(0)
		q.Sent(0, &q.returned)
		q.returned = q.returned[:0]
	}); allocs != 0 {
		t.Errorf("sending allocates %.1f times, want 0", allocs)
	}
}
