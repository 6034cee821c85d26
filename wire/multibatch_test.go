package wire

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// The trailer has the bytes of the specification: counts backwards, padding before them, its size
// in whole elements.
func TestBatchEncoderBytes(t *testing.T) {
	cases := []struct {
		elementBytes int
		counts       []int
		trailer      string
	}{
		{8, []int{1}, "ffffffff 0100 0100"},
		{8, []int{0}, "ffffffff 0000 0100"},
		{8, []int{1, 2, 3}, "0300 0200 0100 0300"},
		{8, []int{1, 2, 3, 4}, "ffffffffffff 0400 0300 0200 0100 0400"},
		{16, []int{2}, strings.Repeat("ff", 12) + "0200 0100"},
		{128, []int{1, 0, 2}, strings.Repeat("ff", 120) + "0200 0000 0100 0300"},
		{128, ones(63, 1), strings.Repeat("0100", 63) + "3f00"},
		{128, ones(64, 1), strings.Repeat("ff", 126) + strings.Repeat("0100", 64) + "4000"},
	}
	for _, c := range cases {
		payloadBytes := 0
		for _, count := range c.counts {
			payloadBytes += count * c.elementBytes
		}
		want := append(bytes.Repeat([]byte{0xab}, payloadBytes), unhex(t, c.trailer)...)
		if naive := naiveTrailer(c.elementBytes, c.counts); !bytes.Equal(naive, want[payloadBytes:]) {
			t.Fatalf("%d %v: naive trailer %x", c.elementBytes, c.counts, naive)
		}
		// A buffer that fits exactly, a little room, much room: the trailer moves by nothing, over
		// itself, or far.
		for _, spareBytes := range []int{0, 2, 3, 64, 4096} {
			encoder := NewBatchEncoder(bytes.Repeat([]byte{0xcd}, len(want)+spareBytes), uint32(c.elementBytes), len(c.counts))
			for _, count := range c.counts {
				for i := range encoder.Free()[:count*c.elementBytes] {
					encoder.Free()[i] = 0xab
				}
				encoder.EndBatch(count)
			}
			if got := encoder.Finish(); !bytes.Equal(got, want) {
				t.Errorf("%d-byte elements %v, %d bytes to spare:\n%x, want\n%x", c.elementBytes, c.counts, spareBytes, got, want)
			}
		}
	}
}

func unhex(t *testing.T, text string) []byte {
	var out []byte
	if _, err := fmt.Sscanf(strings.ReplaceAll(text, " ", ""), "%x", &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// A reply of an operation without trailer is its results alone, or nothing.
func TestReplyEncoderWithoutTrailer(t *testing.T) {
	for _, count := range []int{0, 3} {
		encoder := NewReplyEncoder(OperationQueryAccountsUnbatched, make([]byte, 1024), 1)
		encoder.EndBatch(count)
		if got := len(encoder.Finish()); got != count*AccountBytes {
			t.Errorf("%d accounts: body of %d bytes", count, got)
		}
	}
	full := NewReplyEncoder(OperationQueryAccountsUnbatched, make([]byte, BodyBytesMax), 1)
	full.EndBatch(8190)
	if got := len(full.Finish()); got != BodyBytesMax {
		t.Errorf("full body of %d bytes", got)
	}
}

// The caller's arithmetic is ours: an encoder crashes rather than write a wrong body.
func TestBatchEncoderAsserts(t *testing.T) {
	crash := map[string]func(){
		"trailer beyond the buffer":     func() { NewBatchEncoder(make([]byte, 127), 128, 1) },
		"no batch":                      func() { NewBatchEncoder(make([]byte, 128), 128, 0) },
		"too many batches":              func() { NewBatchEncoder(make([]byte, MessageBytesMax), 8, 65535) },
		"elements over the trailer":     func() { e := NewBatchEncoder(make([]byte, 255), 128, 1); e.EndBatch(1) },
		"more batches than announced":   func() { e := NewBatchEncoder(make([]byte, 256), 128, 1); e.EndBatch(0); e.EndBatch(0) },
		"fewer batches than announced":  func() { e := NewBatchEncoder(make([]byte, 256), 128, 2); e.EndBatch(0); e.Finish() },
		"a count that fits no u16":      func() { e := NewBatchEncoder(make([]byte, MessageBytesMax), 8, 1); e.EndBatch(65536) },
		"a negative count":              func() { e := NewBatchEncoder(make([]byte, 256), 128, 1); e.EndBatch(-1) },
		"two batches without a trailer": func() { NewReplyEncoder(OperationGetChangeEvents, make([]byte, 1024), 2) },
		"an invalid body was admitted":  func() { RequestBatches(OperationCreateAccounts, nil) },
		"a reply without a timestamp":   func() { BuildReply(&Header{}, &ReplyFields{Client: testClient, Op: 1, RequestNumber: 1}, nil) },
		"a reply's view runs backwards": func() {
			h := HeaderOf(message(t, CommandReply, OperationNoop))
			ResealReply(h, h.View()-1)
		},
		"a register reply that kills clients": func() { PutRegisterReplyBody(make([]byte, 64), BodyBytesMax+1) },
		"a pong that kills clients":           func() { BuildPong(&Header{}, &ServerFields{Release: 1, Replica: 6}, 0) },
		"an eviction without reason":          func() { BuildEviction(&Header{}, &ServerFields{Release: 1}, testClient, 0) },
	}
	for name, do := range crash {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no assertion broke", name)
				}
			}()
			do()
		}()
	}
}

// FuzzBatches: decoding never panics; what decodes has the same bytes when it is encoded again, so
// there is exactly one body for a list of batches.
func FuzzBatches(f *testing.F) {
	for _, elementBytes := range []int{8, 16, 64, 128, 384} {
		for _, counts := range [][]int{{0}, {1}, {1, 0, 2}, ones(64, 0), ones(70, 1)} {
			sum := 0
			for _, count := range counts {
				sum += count
			}
			f.Add(uint16(elementBytes), append(make([]byte, sum*elementBytes), naiveTrailer(elementBytes, counts)...))
		}
	}
	f.Fuzz(func(t *testing.T, elementBytes uint16, body []byte) {
		if elementBytes == 0 || elementBytes%2 != 0 {
			elementBytes = 8
		}
		batches, fault := DecodeBatches(body, uint32(elementBytes))
		if fault != "" {
			return
		}
		if batches.ElementsLeft()*int(elementBytes)+int(TrailerBytes(uint32(elementBytes), batches.Left())) != len(body) {
			t.Fatalf("%d elements in %d batches do not make %d bytes", batches.ElementsLeft(), batches.Left(), len(body))
		}
		if len(body) > MessageBytesMax {
			return
		}
		if got := reencode(body, batches, uint32(elementBytes)); !bytes.Equal(got, body) {
			t.Fatalf("%x encodes to %x", body, got)
		}
	})
}

func BenchmarkBatchEncoder(b *testing.B) {
	buffer := make([]byte, BodyBytesMax)
	b.ReportAllocs()
	for b.Loop() {
		encoder := NewReplyEncoder(OperationCreateTransfers, buffer, 1)
		encoder.EndBatch(8189)
		encoder.Finish()
	}
}
