package prepare

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ledger/limits"
	"ledger/wire"
)

// A single request keeps its body where it arrived, and its fields come back from the header.
func TestSingleRoundTrip(t *testing.T) {
	slot := make([]byte, 1024)
	body := slot[HeaderBytes:400]
	for i := range body {
		body[i] = byte(i)
	}
	f := Fields{
		Parent: wire.Checksum{1}, Cluster: wire.U128{Lo: 2, Hi: 3}, CheckpointID: wire.Checksum{4}, Client: wire.U128{Lo: 5, Hi: 6},
		RequestChecksum: [16]byte{7}, Session: 8, Op: 9, Commit: 10, Timestamp: 11, SizeBytes: 400, View: 12, Request: 13,
		Release: 14, Rules: limits.RulesTrial,
		RequestLimit: 15, RequestsCount: 1, Operation: wire.OperationCreateTransfers, Command: CommandPrepare, Replica: 5,
	}
	h := Put(slot, &f, Sum(body))
	if !ValidHeader(h, f.Cluster, 1024) || !ValidBody(slot[:400]) {
		t.Fatal("what was put does not validate")
	}
	if ValidHeader(h, wire.U128{}, 1024) || ValidHeader(h, f.Cluster, 399) {
		t.Fatal("a header of another cluster, or too large a one, validates")
	}
	if h.Parent() != f.Parent || h.CheckpointID() != f.CheckpointID || h.Op() != 9 || h.Commit() != 10 || h.Timestamp() != 11 ||
		h.View() != 12 || h.RequestLimit() != 15 || h.Replica() != 5 || h.Rules() != limits.RulesTrial || h.IsGroup() {
		t.Fatalf("header fields differ: %x", []byte(h))
	}
	r := RequestAt(slot[:400], 0)
	want := Request{f.Client, f.RequestChecksum, 8, 11, 13, 14, wire.OperationCreateTransfers, body}
	if r.Client != want.Client || r.RequestChecksum != want.RequestChecksum || r.Session != 8 || r.Timestamp != 11 ||
		r.Request != 13 || r.Release != 14 || r.Operation != want.Operation || !bytes.Equal(r.Body, body) {
		t.Fatalf("request %+v, want %+v", r, want)
	}
}

// Every flipped bit of a header is noticed.
func TestEveryFlippedBitIsNoticed(t *testing.T) {
	slot := make([]byte, HeaderBytes)
	h := PutRoot(slot, wire.U128{Lo: 1})
	for bit := range HeaderBytes * 8 {
		slot[bit/8] ^= 1 << (bit % 8)
		if ValidHeader(h, wire.U128{Lo: 1}, 1<<20) {
			t.Fatalf("bit %d flipped, and the header validates", bit)
		}
		slot[bit/8] ^= 1 << (bit % 8)
	}
	if !ValidHeader(h, wire.U128{Lo: 1}, 1<<20) {
		t.Fatal("the restored header does not validate")
	}
}

// A group's requests come back in order, with their own fields.
func TestGroupRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		count := 2 + random.IntN(20)
		requests := make([]Request, count)
		for i := range requests {
			r := &requests[i]
			*r = Request{Client: wire.U128{Lo: uint64(i) + 1}, Session: random.Uint64(), Timestamp: uint64(i) + 100,
				Request: random.Uint32(), Release: wire.Release(random.Uint32()), Operation: wire.OperationLookupAccounts,
				Body: make([]byte, random.IntN(70))}
			for j := range r.Body {
				r.Body[j] = byte(random.Uint32())
			}
		}
		prepare := buildGroup(requests)
		if err := Validate(prepare); err != nil {
			t.Fatal(err)
		}
		for i := range requests {
			got := RequestAt(prepare, i)
			want := requests[i]
			if !bytes.Equal(got.Body, want.Body) {
				t.Fatalf("body %d differs", i)
			}
			got.Body, want.Body = nil, nil
			if got.Client != want.Client || got.Session != want.Session || got.Timestamp != want.Timestamp || got.Request != want.Request ||
				got.Release != want.Release || got.Operation != want.Operation {
				t.Fatalf("request %d is %+v, want %+v", i, got, want)
			}
		}
	}
}

func buildGroup(requests []Request) []byte {
	body := []byte{}
	offsets := make([]uint32, len(requests))
	for i := range requests {
		for len(body)%BodyAlignBytes != 0 {
			body = append(body, 0)
		}
		offsets[i] = uint32(len(body))
		body = append(body, requests[i].Body...)
	}
	for len(body)%BodyAlignBytes != 0 {
		body = append(body, 0)
	}
	for i := range requests {
		var entry [EntryBytes]byte
		PutEntry(entry[:], &requests[i], offsets[i])
		body = append(body, entry[:]...)
	}
	slot := append(make([]byte, HeaderBytes), body...)
	Put(slot, &Fields{Op: 1, SizeBytes: uint32(len(slot)), RequestsCount: uint16(len(requests)), Command: CommandPrepare}, Sum(body))
	return slot
}

// Goal: a table from a broken peer, of any contents, is refused by Validate, or else each of its
// requests can be read.
func FuzzValidate(f *testing.F) {
	f.Add(buildGroup([]Request{{Body: []byte{1}}, {Body: []byte{2, 3}}}))
	f.Add(make([]byte, HeaderBytes))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < HeaderBytes {
			return
		}
		h := Header(data[:HeaderBytes])
		putSize(h, uint32(len(data)))
		if Validate(data) != nil {
			return
		}
		for i := range int(h.RequestsCount()) {
			_ = RequestAt(data, i)
		}
	})
}

func putSize(h Header, size uint32) {
	h[atSize], h[atSize+1], h[atSize+2], h[atSize+3] = byte(size), byte(size>>8), byte(size>>16), byte(size>>24)
}

// Sum and Put are on the data path.
func TestDoesNotAllocate(t *testing.T) {
	slot := make([]byte, 4096)
	f := Fields{Op: 1, SizeBytes: 4096, RequestsCount: 1, Command: CommandPrepare}
	if allocs := testing.AllocsPerRun(100, func() { Put(slot, &f, Sum(slot[HeaderBytes:])) }); allocs != 0 {
		t.Fatalf("Put and Sum allocate %.1f times, want 0", allocs)
	}
}
