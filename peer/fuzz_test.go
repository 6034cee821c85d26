package peer

import (
	"bytes"
	"testing"

	"ledger/prepare"
)

// FuzzMessage: no bytes make the decoders of envelopes, inner headers and bodies panic, and bytes
// that they take encode to the same bytes. The body's checksum is put right, because the fuzzer
// would not find one.
func FuzzMessage(f *testing.F) {
	b := testBounds()
	for _, s := range samples() {
		if message := s.encode(); len(message) < 8<<10 {
			f.Add(message)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < HeadBytes {
			return
		}
		message := bytes.Clone(data)
		var e Envelope
		if fault := e.Decode(message, &b); fault.Faulty() {
			e = Envelope{Command: e.Command % commandsCount, Author: 1, Incarnation: 1, View: e.View}
			if !e.Command.Known() {
				return
			}
		}
		body := message[HeadBytes:]
		e.BodyBytes, e.BodyChecksum = uint32(len(body)), prepare.Sum(body)
		if len(body) == 0 {
			e.BodyChecksum = [16]byte{}
		}
		e.Encode(message)
		again, fault := checkAll(message, &b)
		if fault.Faulty() {
			if fault.Error() == "" || fault.Rule == "" {
				t.Fatalf("a fault without a text: %+v", fault)
			}
			return
		}
		if again != e {
			t.Fatalf("envelope %+v is read as %+v", e, again)
		}
		for _, s := range samples() {
			if s.command != e.Command {
				continue
			}
			if _, ok := s.inner.(verbatim); ok {
				continue
			}
			if fault := s.inner.Decode(message[EnvelopeBytes:], &e, &b); fault.Faulty() {
				t.Fatalf("checked, but not decoded: %s", fault.Error())
			}
			inner := make([]byte, InnerBytes)
			if s.inner.Encode(inner); !bytes.Equal(inner, message[EnvelopeBytes:HeadBytes]) {
				t.Fatalf("%s: encoded again it differs", e.Command)
			}
		}
	})
}
