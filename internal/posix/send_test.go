package posix

import (
	"bytes"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/internal/ports"
	"ledger/internal/ports/connections"
)

// smallSocket returns a connected pair of which the first takes few bytes at once.
func smallSocket(t *testing.T) (fds [2]int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = unix.Close(fds[0]), unix.Close(fds[1]) })
	if err := unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 4096); err != nil {
		t.Fatal(err)
	}
	return fds
}

// Goal: a send in two parts that the kernel cuts is resumed where it was cut: inside the header, at
// the boundary to the body, and inside the body. Each test has the cut at a byte that was measured.
func TestPartsCut(t *testing.T) {
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(i) * 7
	}
	probe := smallSocket(t)
	cut, err := unix.Write(probe[0], data)
	if err != nil || cut < 2 || cut == len(data) {
		t.Fatalf("the socket takes %d bytes (%v), want a part of %d", cut, err, len(data))
	}
	for _, headerBytes := range []int{1, cut - 1, cut, cut + 1, 2 * cut, 3*cut + 1} {
		fds := smallSocket(t)
		thread, err := NewThread(ports.ThreadOptions{WakeFd: -1})
		if err != nil {
			t.Fatal(err)
		}
		n := thread.Network(-1, 1, 0).(*Network)
		id, c := n.take(connections.Open)
		c.fd, c.writable = fds[0], true
		header, body := data[:headerBytes], data[headerBytes:headerBytes+5*cut]
		n.SendParts(id, header, body)
		var got []byte
		var events [2]ports.NetworkEvent
		count, buffer := 0, make([]byte, len(data))
		for turns := 0; count == 0; turns++ {
			if turns == 10_000 {
				t.Fatalf("header of %d bytes, cuts at %d: it does not end, %d bytes came", headerBytes, cut, len(got))
			}
			if c := &n.connections[id]; c.queued {
				c.queued = false
				n.work.Pop()
			}
			n.send(id, &n.connections[id])
			count = n.Poll(events[:])
			read, err := unix.Read(fds[1], buffer)
			if err != nil && err != unix.EAGAIN {
				t.Fatal(err)
			}
			got = append(got, buffer[:max(0, read)]...)
			n.connections[id].writable = true
		}
		want := slices.Concat(header, body)
		for len(got) < len(want) {
			read, err := unix.Read(fds[1], buffer)
			if err != nil {
				t.Fatalf("header of %d bytes: %d of %d bytes came: %v", headerBytes, len(got), len(want), err)
			}
			got = append(got, buffer[:read]...)
		}
		if !bytes.Equal(got, want) || int(events[0].Bytes) != len(want) || count != 1 {
			t.Errorf("header of %d bytes, cuts at %d: other bytes came, or %d events %+v", headerBytes, cut, count, events[0])
		}
		c.fd = -1 // the test closes it
		thread.Close()
	}
}
