package posix

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Socket options of the wire protocol, 1.2.
const (
	listenBacklog       = unix.SOMAXCONN // the kernel cuts it to net.core.somaxconn
	keepaliveIdleS      = 5
	keepaliveIntervalS  = 4
	keepaliveProbes     = 3
	userTimeoutMs       = 17_000
	receiveBufferBytes  = 4 << 20
	sendBufferBytes     = 4 << 20
	addressInUseWait    = 2 * time.Second
	addressInUsePause   = 10 * time.Millisecond
	sockaddrBytesIPv4   = 16
	sockaddrBytesIPv6   = 28
	peerPortOffset      = 16
	sockaddrIPv6Address = 8
)

// Listen opens a TCP listener on address (port 0: the system picks one) and returns its descriptor
// and port.
//
// A killed process may still hold the port while the kernel tears down its io_uring. So a port in
// use is tried again for addressInUseWait before it is an error. Connections inherit the options of
// their listener.
func Listen(address netip.AddrPort) (fd int, port uint16, err error) {
	deadline := time.Now().Add(addressInUseWait)
	for {
		fd, port, err = listen(address)
		if err == nil {
			return fd, port, nil
		}
		if err != unix.EADDRINUSE || time.Now().After(deadline) {
			return -1, 0, fmt.Errorf("listen on %v: %w", address, err)
		}
		time.Sleep(addressInUsePause)
	}
}

func listen(address netip.AddrPort) (fd int, port uint16, err error) {
	ip := address.Addr().Unmap()
	family := unix.AF_INET6
	if ip.Is4() {
		family = unix.AF_INET
	}
	// Package posix accepts without blocking. Io_uring does not depend on this flag.
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_TCP)
	if err != nil {
		return -1, 0, err
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return -1, 0, err
	}
	if errno := setConnectionOptions(fd); errno != 0 {
		return -1, 0, errno
	}
	var name unix.Sockaddr
	if ip.Is4() {
		name = &unix.SockaddrInet4{Port: int(address.Port()), Addr: ip.As4()}
	} else {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0) // [::] takes IPv4 as well
		name = &unix.SockaddrInet6{Port: int(address.Port()), Addr: ip.As16()}
	}
	if err = unix.Bind(fd, name); err != nil {
		return -1, 0, err
	}
	if err = unix.Listen(fd, listenBacklog); err != nil {
		return -1, 0, err
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return -1, 0, err
	}
	switch bound := bound.(type) {
	case *unix.SockaddrInet4:
		port = uint16(bound.Port)
	case *unix.SockaddrInet6:
		port = uint16(bound.Port)
	}
	return fd, port, nil
}

// NewPeerSocket opens a socket of peer's family, with the options of a connection.
func NewPeerSocket(peer [18]byte, nonBlocking bool) (fd int, errno unix.Errno) {
	kind := uintptr(unix.SOCK_STREAM | unix.SOCK_CLOEXEC)
	if nonBlocking {
		kind |= unix.SOCK_NONBLOCK
	}
	family := uintptr(unix.AF_INET6)
	if isMappedIPv4(&peer) {
		family = unix.AF_INET
	}
	descriptor, _, errno := unix.RawSyscall(unix.SYS_SOCKET, family, kind, unix.IPPROTO_TCP)
	if errno != 0 {
		return -1, errno
	}
	if errno := setConnectionOptions(int(descriptor)); errno != 0 {
		_ = unix.Close(int(descriptor))
		return -1, errno
	}
	return int(descriptor), 0
}

// setConnectionOptions makes small messages leave at once, and dead peers noticed within 17
// seconds.
func setConnectionOptions(fd int) unix.Errno {
	options := [...]struct{ level, name, value int }{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepaliveIdleS},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepaliveIntervalS},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepaliveProbes},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, userTimeoutMs},
	}
	for _, option := range options {
		if err := unix.SetsockoptInt(fd, option.level, option.name, option.value); err != nil {
			if errno, isErrno := err.(unix.Errno); isErrno {
				return errno
			}
			return unix.EINVAL
		}
	}
	// These options need CAP_NET_ADMIN, which lifts the system-wide limits. A fixed size within
	// those limits would be smaller than the size to which the kernel's own tuning grows.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBufferBytes)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBufferBytes)
	return 0
}

// PeerFromAddrPort returns address in the form of ports.NetworkEvent.Peer, without its zone
// (fe80::1%eth0).
func PeerFromAddrPort(address netip.AddrPort) (peer [18]byte) {
	ip := address.Addr().As16()
	copy(peer[:], ip[:])
	binary.BigEndian.PutUint16(peer[peerPortOffset:], address.Port())
	return peer
}

// AddrPortFromPeer is the inverse of PeerFromAddrPort, for logs.
func AddrPortFromPeer(peer [18]byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(peer[:16])).Unmap(), binary.BigEndian.Uint16(peer[peerPortOffset:]))
}

// EncodePeer writes peer as the kernel's sockaddr and returns its length.
func EncodePeer(peer [18]byte, out *[28]byte) (lengthBytes int) {
	*out = [28]byte{}
	copy(out[2:4], peer[peerPortOffset:])
	if isMappedIPv4(&peer) {
		binary.NativeEndian.PutUint16(out[:], unix.AF_INET)
		copy(out[4:8], peer[12:16])
		return sockaddrBytesIPv4
	}
	binary.NativeEndian.PutUint16(out[:], unix.AF_INET6)
	copy(out[sockaddrIPv6Address:24], peer[:16])
	return sockaddrBytesIPv6
}

// DecodePeer reads the kernel's sockaddr. For a family other than IPv4 and IPv6 it returns zeros.
func DecodePeer(raw *[28]byte) (peer [18]byte) {
	switch binary.NativeEndian.Uint16(raw[:]) {
	case unix.AF_INET:
		peer[10], peer[11] = 0xff, 0xff
		copy(peer[12:16], raw[4:8])
	case unix.AF_INET6:
		copy(peer[:16], raw[sockaddrIPv6Address:24])
	default:
		return peer
	}
	copy(peer[peerPortOffset:], raw[2:4])
	return peer
}

func isMappedIPv4(peer *[18]byte) bool {
	return [12]byte(peer[:12]) == [12]byte{10: 0xff, 11: 0xff}
}

// SockaddrBytes is the length of the sockaddr that EncodePeer wrote.
func SockaddrBytes(raw *[28]byte) int {
	if binary.NativeEndian.Uint16(raw[:]) == unix.AF_INET {
		return sockaddrBytesIPv4
	}
	return sockaddrBytesIPv6
}
