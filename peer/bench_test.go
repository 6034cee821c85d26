package peer

import "testing"

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
