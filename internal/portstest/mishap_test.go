package portstest

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/internal/ports"
)

// diskTrace writes two sectors as a chain with a sync behind them, beside a read, and returns the
// results by tag and in their order.
func diskTrace(t *testing.T, m Mishap) (memory *MemoryDisk, plan Plan, results map[uint64]int32, order []uint64) {
	plan.Mishap = m
	memory = NewMemoryDisk(t, rand.New(rand.NewPCG(1, 0)), make([]byte, 4096))
	disk := NewMishapDisk(memory, &plan)
	disk.Write(1, 0, bytes.Repeat([]byte{1}, 1024), ports.WriteLinked)
	disk.Write(2, 1024, bytes.Repeat([]byte{2}, 1024), ports.WriteLinked)
	disk.Sync(3)
	disk.Read(4, 3072, make([]byte, 1024))
	results = map[uint64]int32{}
	var out [8]ports.DiskCompletion
	for range 10 * DelayPolls {
		for _, c := range out[:disk.Poll(out[:])] {
			if _, twice := results[c.Tag]; twice {
				t.Fatalf("%v: operation %d ends twice", m, c.Tag)
			}
			results[c.Tag] = c.Result
			order = append(order, c.Tag)
		}
	}
	if len(memory.queue) != 0 || len(results) != 4 {
		t.Fatalf("%v: %d operations are under way, results %v", m, len(memory.queue), results)
	}
	return memory, plan, results, order
}

// Goal: a disk with a mishap does what the mishap says to one operation and to the chain behind
// it, and nothing to any other.
func TestMishapDisk(t *testing.T) {
	const whole, half, failed, canceled = 1024, 512, -int32(unix.EIO), -int32(unix.ECANCELED)
	for _, c := range []struct {
		mishap   Mishap
		want     [4]int32
		bytes    [2]int // of the two writes, in the file
		durable  bool
		lateLast uint64 // the operation that ends last
	}{
		{Mishap{}, [4]int32{whole, whole, 0, whole}, [2]int{1024, 1024}, true, 0},
		{Mishap{KindWrite, 1, Fail, unix.EIO, false}, [4]int32{failed, canceled, canceled, whole}, [2]int{0, 0}, false, 0},
		{Mishap{KindWrite, 2, Fail, unix.EIO, true}, [4]int32{whole, failed, canceled, whole}, [2]int{1024, 0}, false, 0},
		{Mishap{KindWrite, 2, FailLate, unix.EIO, false}, [4]int32{whole, failed, canceled, whole}, [2]int{1024, 1024}, false, 0},
		{Mishap{KindWrite, 2, Shorten, 0, false}, [4]int32{whole, half, canceled, whole}, [2]int{1024, 512}, false, 0},
		{Mishap{KindWrite, 1, Delay, 0, false}, [4]int32{whole, whole, 0, whole}, [2]int{1024, 1024}, true, 3},
		{Mishap{KindSync, 1, Fail, unix.EIO, false}, [4]int32{whole, whole, failed, whole}, [2]int{1024, 1024}, false, 0},
		{Mishap{KindSync, 1, FailLate, unix.EIO, false}, [4]int32{whole, whole, failed, whole}, [2]int{1024, 1024}, true, 0},
		{Mishap{KindRead, 1, Fail, unix.EIO, false}, [4]int32{whole, whole, 0, failed}, [2]int{1024, 1024}, true, 0},
		{Mishap{KindRead, 1, Shorten, 0, false}, [4]int32{whole, whole, 0, half}, [2]int{1024, 1024}, true, 0},
		{Mishap{KindRead, 1, Delay, 0, false}, [4]int32{whole, whole, 0, whole}, [2]int{1024, 1024}, true, 4},
	} {
		memory, plan, results, order := diskTrace(t, c.mishap)
		if plan.Happened != (c.mishap.Nth > 0) || plan.Counts != [KindsCount]int{KindRead: 1, KindWrite: 2, KindSync: 1} {
			t.Errorf("%v: happened %v, counts %v", c.mishap, plan.Happened, plan.Counts)
		}
		for i, want := range c.want {
			if results[uint64(i+1)] != want {
				t.Errorf("%v: operation %d gives %d, want %d", c.mishap, i+1, results[uint64(i+1)], want)
			}
		}
		ones, twos := bytes.Count(memory.Data, []byte{1}), bytes.Count(memory.Data, []byte{2})
		if ones != c.bytes[0] || twos != c.bytes[1] {
			t.Errorf("%v: %d and %d bytes are written, want %v", c.mishap, ones, twos, c.bytes)
		}
		if durable := bytes.Equal(memory.Data, memory.Durable) && ones+twos > 0; durable != c.durable {
			t.Errorf("%v: durable %v, want %v", c.mishap, durable, c.durable)
		}
		if c.lateLast != 0 && order[3] != c.lateLast {
			t.Errorf("%v: the ends come in order %v, want %d last", c.mishap, order, c.lateLast)
		}
	}
}

// stubNetwork is a port whose operations end at the next poll.
type stubNetwork struct {
	events []ports.NetworkEvent
	sent   []byte
}

func (n *stubNetwork) Connect([18]byte) (ports.ConnectionID, bool) { return 0, false }
func (n *stubNetwork) push(kind ports.NetworkEventKind, id ports.ConnectionID, count int) {
	n.events = append(n.events, ports.NetworkEvent{Kind: kind, Connection: id, Bytes: int32(count)})
}
func (n *stubNetwork) Receive(id ports.ConnectionID, buffer []byte) {
	n.push(ports.NetworkReceived, id, len(buffer))
}
func (n *stubNetwork) ReceiveAll(id ports.ConnectionID, buffer []byte) { n.Receive(id, buffer) }
func (n *stubNetwork) Send(id ports.ConnectionID, buffer []byte)       { n.SendParts(id, buffer, nil) }
func (n *stubNetwork) SendParts(id ports.ConnectionID, header, body []byte) {
	n.sent = append(append(n.sent, header...), body...)
	n.push(ports.NetworkSent, id, len(header)+len(body))
}
func (n *stubNetwork) Close(id ports.ConnectionID) { n.push(ports.NetworkClosed, id, 0) }
func (n *stubNetwork) Poll(out []ports.NetworkEvent) (count int) {
	count = copy(out, n.events)
	n.events = n.events[count:]
	return count
}

// Goal: a network with a mishap does what the mishap says to one operation, and after a Close it
// tells of nothing but the end.
func TestMishapNetwork(t *testing.T) {
	const failed, exhausted = -int32(unix.ECONNRESET), -int32(unix.EMFILE)
	accepted, received, sent := ports.NetworkAccepted, ports.NetworkReceived, ports.NetworkSent
	for _, c := range []struct {
		mishap Mishap
		kinds  []ports.NetworkEventKind
		bytes  []int32
		sent   int
	}{
		{Mishap{}, []ports.NetworkEventKind{accepted, received, sent}, []int32{0, 100, 50}, 50},
		{Mishap{KindAccept, 1, Fail, unix.EMFILE, false}, []ports.NetworkEventKind{ports.NetworkAcceptFailed, accepted, received, sent},
			[]int32{exhausted, 0, 100, 50}, 50},
		{Mishap{KindAccept, 1, Delay, 0, false}, []ports.NetworkEventKind{accepted, received, sent}, []int32{0, 100, 50}, 50},
		{Mishap{KindReceive, 1, Fail, unix.ECONNRESET, false}, []ports.NetworkEventKind{accepted, received, sent}, []int32{0, failed, 50}, 50},
		{Mishap{KindReceive, 1, Shorten, 0, false}, []ports.NetworkEventKind{accepted, received, sent}, []int32{0, 1, 50}, 50},
		{Mishap{KindReceive, 1, Delay, 0, false}, []ports.NetworkEventKind{accepted, sent, received}, []int32{0, 50, 100}, 50},
		{Mishap{KindSend, 1, Fail, unix.ECONNRESET, false}, []ports.NetworkEventKind{accepted, sent, received}, []int32{0, failed, 100}, 0},
		{Mishap{KindSend, 1, FailLate, unix.ECONNRESET, false}, []ports.NetworkEventKind{accepted, received, sent}, []int32{0, 100, failed}, 50},
		{Mishap{KindSend, 1, Shorten, unix.ECONNRESET, false}, []ports.NetworkEventKind{accepted, received, sent}, []int32{0, 100, failed}, 25},
	} {
		inner := &stubNetwork{}
		plan := Plan{Mishap: c.mishap}
		n := NewMishapNetwork(inner, &plan)
		var got []ports.NetworkEvent
		var out [8]ports.NetworkEvent
		inner.push(ports.NetworkAccepted, 3, 0)
		for range 4 * DelayPolls {
			for _, e := range out[:n.Poll(out[:])] {
				if got = append(got, e); e.Kind == accepted {
					n.Receive(3, make([]byte, 100))
					n.Send(3, make([]byte, 50))
				}
			}
		}
		for i := range max(len(got), len(c.kinds)) {
			if i >= len(got) || i >= len(c.kinds) || got[i].Kind != c.kinds[i] || got[i].Bytes != c.bytes[i] {
				t.Errorf("%v: events %+v, want %v of %v bytes", c.mishap, got, c.kinds, c.bytes)
				break
			}
		}
		if len(inner.sent) != c.sent {
			t.Errorf("%v: the peer gets %d bytes, want %d", c.mishap, len(inner.sent), c.sent)
		}
	}
	// What is held back is not told after a Close, and the end itself may be late.
	inner := &stubNetwork{}
	n := NewMishapNetwork(inner, &Plan{Mishap: Mishap{KindReceive, 1, Delay, 0, false}})
	n.Receive(3, make([]byte, 10))
	var out [8]ports.NetworkEvent
	n.Poll(out[:])
	n.Close(3)
	count := 0
	for range 4 * DelayPolls {
		for _, e := range out[:n.Poll(out[:])] {
			if count++; e.Kind != ports.NetworkClosed {
				t.Errorf("%+v is told after a Close", e)
			}
		}
	}
	if count != 1 {
		t.Errorf("%d ends of one connection", count)
	}
}

// Goal: a short send of two parts stops inside the header or behind a part of the body, and ends
// with an error.
func TestMishapOfParts(t *testing.T) {
	for _, c := range []struct {
		header, body int
		want         string
	}{{4, 2, "hea"}, {2, 4, "heb"}, {2, 2, "he"}} {
		inner := &stubNetwork{}
		n := NewMishapNetwork(inner, &Plan{Mishap: Mishap{KindSend, 1, Shorten, 32, false}})
		n.SendParts(3, []byte("head")[:c.header], []byte("body")[:c.body])
		var out [2]ports.NetworkEvent
		if count := n.Poll(out[:]); count != 1 || out[0].Bytes != -32 || string(inner.sent) != c.want {
			t.Errorf("%d and %d bytes: %d events, %+v; sent %q, want %q", c.header, c.body, count, out[0], inner.sent, c.want)
		}
	}
}
