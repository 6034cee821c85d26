package consensus

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"ledger/prepare"
	"ledger/wire"
)

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
