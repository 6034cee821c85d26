package posix_test

import (
	"errors"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/internal/posix"
)

// Goal: an address survives the way into the kernel's form and back.
func TestPeerForms(t *testing.T) {
	for _, text := range []string{"127.0.0.1:3001", "0.0.0.0:0", "255.254.253.252:65535", "[::1]:1", "[2001:db8::7]:3001", "[::]:80"} {
		address := netip.MustParseAddrPort(text)
		peer := posix.PeerFromAddrPort(address)
		var raw [28]byte
		length := posix.EncodePeer(peer, &raw)
		if want := map[bool]int{true: 16, false: 28}[address.Addr().Is4()]; length != want {
			t.Errorf("%s: length %d, want %d", text, length, want)
		}
		if got := posix.DecodePeer(&raw); got != peer {
			t.Errorf("%s: %v came back as %v", text, peer, got)
		}
		if got := posix.AddrPortFromPeer(peer); got != address {
			t.Errorf("%s: came back as %v", text, got)
		}
	}
	unixDomain := [28]byte{unix.AF_UNIX, 0, 1, 2, 3}
	if got := posix.DecodePeer(&unixDomain); got != [18]byte{} {
		t.Errorf("a socket of another family has the peer %v", got)
	}
}

// Goal: port 0 gives a port that can be used, and a port in use is an error that says so.
func TestListen(t *testing.T) {
	for _, text := range []string{"127.0.0.1:0", "[::1]:0"} {
		address := netip.MustParseAddrPort(text)
		fd, port, err := posix.Listen(address)
		if err != nil {
			t.Logf("%s: %v", text, err)
			if address.Addr().Is6() {
				continue // a machine without IPv6
			}
			t.FailNow()
		}
		if port == 0 {
			t.Errorf("%s: the port is 0", text)
		}
		if address.Addr().Is4() {
			if _, _, err := posix.Listen(netip.AddrPortFrom(address.Addr(), port)); !errors.Is(err, unix.EADDRINUSE) {
				t.Errorf("a second listener: %v, want EADDRINUSE", err)
			}
		}
		_ = unix.Close(fd)
		fd, _, err = posix.Listen(netip.AddrPortFrom(address.Addr(), port))
		if err != nil {
			t.Errorf("the port of a closed listener: %v", err)
		}
		_ = unix.Close(fd)
	}
}

// Goal: every peer survives the way into the kernel's form and back, and no bytes of the kernel's
// make DecodePeer fail.
func FuzzPeer(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x7f\x00\x00\x01\x0b\xb9"))
	f.Add([]byte("\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x0b\xb9"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var peer [18]byte
		var raw [28]byte
		copy(peer[:], data)
		copy(raw[:], data)
		posix.DecodePeer(&raw)
		length := posix.EncodePeer(peer, &raw)
		if got := posix.DecodePeer(&raw); got != peer || posix.SockaddrBytes(&raw) != length {
			t.Errorf("%v came back as %v, length %d", peer, got, length)
		}
	})
}

// Goal: as many peers as the kernel allows wait in the backlog of a listener: SOMAXCONN, or
// net.core.somaxconn if that is less.
func TestListenBacklog(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err != nil {
		t.Skip(err)
	}
	systemMax, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"127.0.0.1:0", "[::1]:0"} {
		fd, _, err := posix.Listen(netip.MustParseAddrPort(text))
		if err != nil {
			t.Fatal(err)
		}
		// Of a listener, Linux gives the length of its backlog as unacked and the limit of the
		// backlog as sacked.
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			t.Fatal(err)
		}
		if want := uint32(min(unix.SOMAXCONN, systemMax)); info.Sacked != want {
			t.Errorf("%s: the backlog is limited to %d, want %d", text, info.Sacked, want)
		}
		_ = unix.Close(fd)
	}
}
