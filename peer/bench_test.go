package peer

import (
	"testing"

	"ledger/prepare"
)

// BenchmarkMessage is what a message costs at both ends, apart from the port: sealed, opened,
// checked and its body hashed.
func BenchmarkMessage(b *testing.B) {
	for _, s := range samples() {
		if s.command != CommandPrepareOK && s.command != CommandPrepare && s.command != CommandBlock {
			continue
		}
		b.Run(s.command.String(), func(b *testing.B) {
			bounds := testBounds()
			from, to := linksOf(NewKeys(testKey(1)), NewKeys(testKey(1)), 0)
			r := NewReceiver(&bounds, make([]byte, bufferBytes), make([]byte, 1<<10))
			r.Open(&to)
			q := NewQueue(&bounds)
			q.Open(&from, 0)
			returned := make([]Lease, 0, q.LeasesMax())
			message, slot, lease := s.encode(), make([]byte, 1<<20), NoLease
			if len(s.body) > 0 {
				lease = 1
			}
			receive := func(bytes []byte) {
				for len(bytes) > 0 {
					into, _ := r.Buffer()
					n := copy(into, bytes)
					r.Received(uint32(n))
					bytes = bytes[n:]
					if r.Next() == ReceivedHead {
						r.Give(slot)
						r.Next()
					}
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				q.Offer(message, lease, 0, &returned)
				o, _ := q.Start(0)
				receive(o.Head)
				receive(message[HeadBytes:])
				q.Sent(0, &returned)
				returned = returned[:0]
			}
			if r.Counters.Messages == 0 || r.Fault.Faulty() {
				b.Fatal(r.Fault.Error())
			}
		})
	}
}

// BenchmarkKey is what the key of a cluster costs, apart from the port and the check of the
// requests in a prepare: the head of a message sealed at one end and opened at the other, with a
// key and without, and the hash of a body of 1 MiB, which is the same with both.
func BenchmarkKey(b *testing.B) {
	bounds := testBounds()
	for _, c := range []struct {
		name string
		keys func() *Keys
	}{{"none", func() *Keys { return NewKeys() }}, {"one", func() *Keys { return NewKeys(testKey(1)) }}} {
		b.Run(c.name+"/head", func(b *testing.B) {
			from, to := linksOf(c.keys(), c.keys(), 0)
			message := samples()[0].encode()
			var e Envelope
			b.ReportAllocs()
			for b.Loop() {
				from.Seal(message)
				if f := to.Open(message, &e, &bounds); f.Faulty() {
					b.Fatal(f.Error())
				}
			}
		})
	}
	b.Run("body/1MiB", func(b *testing.B) {
		body := make([]byte, 1<<20-InnerBytes)
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			prepare.Sum(body)
		}
	})
}
