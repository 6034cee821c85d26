package uring

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/internal/posix"
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

// Goal: a send in two parts of which the kernel took only some bytes is submitted again with the
// rest, and its one completion has the sum. The test takes the operation's place for the first
// bytes, because the kernel resumes by itself almost always.
func TestPartsCut(t *testing.T) {
	thread, memory := newThread(t)
	fd, port, err := posix.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	server, client := thread.Network(fd, 1, 0), thread.Network(-1, 1, 0).(*Network)
	start(t, thread)
	event := func(network ports.Network) ports.NetworkEvent {
		var events [1]ports.NetworkEvent
		for turns := 0; network.Poll(events[:]) == 0; turns++ {
			if turns == 10_000 {
				t.Fatal("there is no event")
			}
			if thread.Turn() == 0 {
				thread.Wait(1_000_000)
			}
		}
		return events[0]
	}
	client.Connect(posix.PeerFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)))
	from, to := event(client).Connection, event(server).Connection
	header, body, into := memory.Bytes(256, 64, "test"), memory.Bytes(5000, 64, "test"), memory.Bytes(6000, 64, "test")
	for i := range header {
		header[i] = byte(i) ^ 0x55
	}
	for i := range body {
		body[i] = byte(i * 7)
	}
	whole := slices.Concat(header, body)
	for _, cut := range []int{1, len(header) - 1, len(header), len(header) + 1, len(whole) - 1} {
		client.SendParts(from, header, body)
		if queued := client.queue.Pop(); queued.kind != kindSendParts {
			t.Fatalf("queued %+v", queued)
		}
		if count, err := unix.Write(client.connections[from].fd, whole[:cut]); err != nil || count != cut {
			t.Fatalf("wrote %d of %d bytes: %v", count, cut, err)
		}
		client.complete(kindSendParts, uint32(from), int32(cut), 0)
		for at := 0; at < len(whole); {
			server.Receive(to, into[at:])
			received := event(server)
			if received.Bytes <= 0 {
				t.Fatalf("cut at %d: %+v after %d bytes", cut, received, at)
			}
			at += int(received.Bytes)
		}
		if !bytes.Equal(into[:len(whole)], whole) {
			t.Errorf("cut at %d: other bytes came", cut)
		}
		if sent := event(client); sent.Kind != ports.NetworkSent || int(sent.Bytes) != len(whole) {
			t.Errorf("cut at %d: %+v, want a send of %d bytes", cut, sent, len(whole))
		}
	}
}
