package client

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ledger/wire"
)

const readerBytes = 16 << 10

// errProtocol closes a connection whose bytes cannot be trusted.
var errProtocol = errors.New("client: the server broke the protocol")

// connect keeps one connection to the replica with this index, until the session ends.
func (s *Session) connect(index int) {
	defer s.running.Done()
	dialer := net.Dialer{
		Timeout:         dialTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 4 * time.Second, Count: 3},
		Control:         setUserTimeout,
	}
	for attempts := 0; ; attempts++ {
		connection, err := dialer.DialContext(s.context, "tcp", s.options.Addresses[index])
		if err == nil {
			if s.serve(index, connection.(*net.TCPConn)) {
				attempts = 0
			}
		}
		if !sleep(s.context, reconnectDelay(attempts)) {
			return
		}
	}
}

// reconnectDelay grows with the number of attempts since a byte was last received. Source:
// specification, 1.2.
func reconnectDelay(attempts int) time.Duration {
	slack := min(reconnectMax-reconnectMin, reconnectMin<<min(attempts, 10))
	return reconnectMin + rand.N(slack)
}

// sleep waits. It returns false if ctx ended first.
func sleep(ctx context.Context, delay time.Duration) bool {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// setUserTimeout makes the kernel give up a peer that acknowledges nothing, like the servers do. If
// that fails, only keepalive is left.
func setUserTimeout(_, _ string, raw syscall.RawConn) error {
	return raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 17_000)
	})
}

// serve reads one connection until it ends. received tells whether any bytes came.
func (s *Session) serve(index int, connection *net.TCPConn) (received bool) {
	defer connection.Close() // in any case, a new one follows
	socket, err := newSocket(connection)
	if err != nil {
		return false
	}
	defer socket.close()
	if !s.onConnected(index, socket) {
		return false
	}
	defer s.onDisconnected(index, socket)
	reader := bufio.NewReaderSize(connection, readerBytes)
	header := new(wire.Header)
	for {
		if _, err := io.ReadFull(reader, header[:]); err != nil {
			return received
		}
		received = true
		if err := s.receive(index, reader, header); err != nil {
			return received
		}
	}
}

// receive takes one message, whose header has been read. An error closes the connection.
func (s *Session) receive(index int, reader *bufio.Reader, header *wire.Header) error {
	if verdict, _ := s.parser.ParseHeader(header); verdict != wire.VerdictOK {
		return errProtocol
	}
	verdict, _ := s.parser.CheckMessage(header)
	if verdict == wire.VerdictDrop {
		return errProtocol
	}
	bodyBytes := int(header.BodyBytes())
	if verdict == wire.VerdictOK && header.Command() == wire.CommandReply {
		body, err := s.claim(header)
		if err != nil {
			return err
		}
		if body != nil {
			_, err := io.ReadFull(reader, body)
			if err == nil {
				if verdict, _ := s.parser.VerifyBody(header, body); verdict != wire.VerdictOK {
					err = errProtocol
				}
			}
			s.finish(header, err == nil)
			return err
		}
	}
	if bodyBytes > 0 { // of a reply that came twice, or of a message that is not needed
		_, err := reader.Discard(bodyBytes)
		return err
	}
	if verdict, _ := s.parser.VerifyBody(header, nil); verdict != wire.VerdictOK {
		return errProtocol
	}
	if verdict == wire.VerdictOK {
		s.onShort(header)
	}
	return nil
}
