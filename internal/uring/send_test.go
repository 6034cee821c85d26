package uring

import (
	"bytes"
	"slices"
	"testing"
	"unsafe"

	"ledger/internal/arena"
)

// Goal: for every number of sent bytes, the rest of a send in two parts is what follows them: cut
// inside the header, at the boundary, and inside the body. It never has an empty part.
func TestRestOfParts(t *testing.T) {
	memory := arena.New()
	defer memory.Close()
	header, body := memory.Bytes(5, 64, "test"), memory.Bytes(7, 64, "test")
	for i := range header {
		header[i] = byte(i)
	}
	for i := range body {
		body[i] = byte(100 + i)
	}
	whole := slices.Concat(header, body)
	m := &arena.Slice[message](memory, 1, "test")[0]
	for sent := range whole {
		c := connection{sendAddress: address(header), headerBytes: uint32(len(header)), bodyAddress: address(body),
			sendBytes: uint32(len(whole)), sentBytes: uint32(sent)}
		m.rest(&c)
		if m.partsAddress != uint64(uintptr(unsafe.Pointer(&m.parts))) {
			t.Fatalf("%d sent: the list of parts is not the message's own", sent)
		}
		var rest []byte
		for _, p := range m.parts[:m.partsCount] {
			if p.bytes == 0 {
				t.Errorf("%d sent: a part is empty", sent)
			}
			part := header
			at := p.address - uint64(address(header))
			if at >= uint64(len(header)) {
				part, at = body, p.address-uint64(address(body))
			}
			rest = append(rest, part[at:at+p.bytes]...)
		}
		if !bytes.Equal(rest, whole[sent:]) {
			t.Errorf("%d sent: the rest is %v, want %v", sent, rest, whole[sent:])
		}
	}
}
