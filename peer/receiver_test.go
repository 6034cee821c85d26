package peer

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// receiverOf makes a receiver of the acceptor's side.
func receiverOf(bufferBytes int) *Receiver {
	b := testBounds()
	_, to := linksOf(NewKeys(), NewKeys(), 0)
	r := NewReceiver(&b, make([]byte, bufferBytes), make([]byte, 100))
	r.Open(&to)
	return r
}

// stream seals the messages of some samples, one behind the other.
func stream(count int, random func(n int) int) (all []byte, messages [][]byte) {
	from, _ := linksOf(NewKeys(), NewKeys(), 0)
	those := samples()
	for range count {
		message := those[random(len(those))].encode()
		from.Seal(message)
		messages = append(messages, message)
		all = append(all, message...)
	}
	return all, messages
}

// feed gives data to a receiver in chunks. discard says which messages have no slot. It returns
// what was received, and the fault.
func feed(t interface{ Fatalf(string, ...any) }, r *Receiver, data []byte, chunk func() int, discard func() bool) (got [][]byte, f Fault) {
	var slot []byte
	for {
		switch r.Next() {
		case ReceivedBytes:
			if len(data) == 0 {
				return got, Fault{}
			}
			into, _ := r.Buffer()
			if len(into) == 0 {
				t.Fatalf("a receive of 0 bytes")
			}
			n := copy(into[:min(len(into), max(chunk(), 1))], data)
			r.Received(uint32(n))
			data = data[n:]
		case ReceivedHead:
			if discard() {
				r.Discard()
				continue
			}
			// What is in a slot before does not matter, nor is anything behind the message touched.
			slot = bytes.Repeat([]byte{0xee}, InnerBytes+int(r.Envelope.BodyBytes)+16)
			r.Give(slot)
		case ReceivedMessage:
			whole := InnerBytes + int(r.Envelope.BodyBytes)
			if !bytes.Equal(slot[whole:], bytes.Repeat([]byte{0xee}, 16)) {
				t.Fatalf("bytes behind the message were written")
			}
			message := make([]byte, EnvelopeBytes, EnvelopeBytes+whole)
			r.Envelope.Encode(message)
			got = append(got, append(message, slot[:whole]...))
		case ReceivedFault:
			return got, r.Fault
		}
	}
}

// Goal: however the bytes are cut into chunks, and however large the buffer is, the messages are
// the same.
func TestReceiverAnyChunks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data, messages := stream(rapid.IntRange(1, 12).Draw(t, "messages"), func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "sample") })
		r := receiverOf(rapid.SampledFrom([]int{HeadBytes, HeadBytes + 1, 2048, 8192}).Draw(t, "buffer"))
		chunkMax := rapid.SampledFrom([]int{1, 7, 320, 4000, 1 << 20}).Draw(t, "chunk")
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "chunks"), 0))
		dropped, at := map[int]bool{}, -1
		discard := func() bool {
			at++
			dropped[at] = random.IntN(4) == 0
			return dropped[at]
		}
		got, f := feed(t, r, data, func() int { return 1 + random.IntN(chunkMax) }, discard)
		if f.Faulty() {
			t.Fatalf("%s", f.Error())
		}
		i := 0
		for k, message := range messages {
			if dropped[k] {
				continue
			}
			if i >= len(got) || !bytes.Equal(got[i], message) {
				t.Fatalf("message %d differs", k)
			}
			i++
		}
		c := r.Counters
		if i != len(got) || c.Messages != uint64(i) || c.Messages+c.Discarded != uint64(len(messages)) || c.Bytes != uint64(len(data)) {
			t.Fatalf("%d messages of %d, %+v", len(got), len(messages), c)
		}
	})
}

// Goal: a byte that is changed anywhere ends the connection with a fault; every message before it
// is received, and none after it. Only in a body that is dropped does it not matter.
func TestReceiverCorruption(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 0))
	for round := range 3000 {
		data, messages := stream(3, random.IntN)
		at := random.IntN(len(data))
		data[at] ^= byte(1 + random.IntN(255))
		first, begins := 0, 0
		for first = range messages {
			if at < begins+len(messages[first]) {
				break
			}
			begins += len(messages[first])
		}
		r := receiverOf(2048)
		got, f := feed(t, r, data, func() int { return 1 + random.IntN(3000) }, func() bool { return false })
		if !f.Faulty() || len(got) != first {
			t.Fatalf("round %d: byte %d of message %d is changed: %d messages, %q", round, at-begins, first, len(got), f.Error())
		}
		if r.Counters.Forged != 1 || r.Counters.Malformed != 0 {
			t.Fatalf("round %d: byte %d: %+v", round, at-begins, r.Counters)
		}
		if r.Next() != ReceivedFault {
			t.Fatal("the receiver goes on behind a fault")
		}
		if hadSlot := r.Close(); hadSlot == (at-begins < HeadBytes) {
			t.Fatalf("round %d: a slot is held: %v", round, hadSlot)
		}
	}
}

// Goal: a head that announces too much is refused before a byte of the body is received.
func TestReceiverOversized(t *testing.T) {
	from, _ := linksOf(NewKeys(), NewKeys(), 0)
	s := samples()[slices.IndexFunc(samples(), func(s sample) bool { return s.command == CommandBlock })]
	message := s.encode()[:HeadBytes]
	e := s.envelope()
	e.BodyBytes = 1 << 30
	e.Encode(message)
	from.Seal(message)
	r := receiverOf(2048)
	asked := false
	_, f := feed(t, r, message, func() int { return HeadBytes }, func() bool { asked = true; return true })
	if f.Field != "body bytes" || f.Value != 1<<30 || asked || r.Counters.Malformed != 1 {
		t.Errorf("%q, a slot was asked for: %v, %+v", f.Error(), asked, r.Counters)
	}
}

// Goal: a body goes straight to its slot, but for what came together with its head.
func TestReceiverZeroCopy(t *testing.T) {
	data, _ := stream(1, func(int) int {
		return slices.IndexFunc(samples(), func(s sample) bool { return s.command == CommandBlock })
	})
	r := receiverOf(2048)
	into, all := r.Buffer()
	if all || len(into) != 2048 {
		t.Fatalf("%d bytes, all: %v", len(into), all)
	}
	r.Received(uint32(copy(into, data[:HeadBytes+100])))
	if r.Next() != ReceivedHead {
		t.Fatal("no head")
	}
	slot := make([]byte, 1<<20)
	r.Give(slot)
	if r.Next() != ReceivedBytes {
		t.Fatal("the body is there")
	}
	if into, all = r.Buffer(); !all || &into[0] != &slot[InnerBytes+100] || len(into) != len(data)-HeadBytes-100 {
		t.Errorf("%d bytes, all: %v", len(into), all)
	}
	if !r.Close() {
		t.Error("the slot is not told")
	}
}

// Goal: receiving allocates nothing.
func TestReceiverDoesNotAllocate(t *testing.T) {
	b := testBounds()
	from, to := linksOf(NewKeys(), NewKeys(), 0)
	message := samples()[4].encode()
	r := NewReceiver(&b, make([]byte, 2048), make([]byte, 100))
	r.Open(&to)
	slot := make([]byte, 1<<10)
	if allocs := testing.AllocsPerRun(100, func() {
		from.Seal(message)
		for rest := message; ; {
			switch r.Next() {
			case ReceivedBytes:
				into, _ := r.Buffer()
				n := copy(into, rest)
				r.Received(uint32(n))
				rest = rest[n:]
			case ReceivedHead:
				r.Give(slot)
			case ReceivedMessage:
				return
			default:
				t.Fatal(r.Fault.Error())
			}
		}
	}); allocs != 0 {
		t.Errorf("receiving allocates %.1f times, want 0", allocs)
	}
}

// FuzzReceiver: no bytes make a receiver panic or receive beyond its buffers.
func FuzzReceiver(f *testing.F) {
	data, _ := stream(6, func(n int) int { return n / 4 })
	f.Add(data, uint16(700), true)
	f.Add(data[:HeadBytes+5], uint16(1), false)
	f.Fuzz(func(t *testing.T, data []byte, chunk uint16, seal bool) {
		data = bytes.Clone(data)
		if from, _ := linksOf(NewKeys(), NewKeys(), 0); seal && len(data) >= HeadBytes {
			from.Seal(data) // then the first head is authentic, whatever it says
		}
		at := 0
		feed(t, receiverOf(1024), data, func() int { return int(chunk) }, func() bool { at++; return at%2 == 0 })
	})
}
