package client

import (
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// spillBytesMax bounds the bytes that wait for a socket: the rest of one frame and the next frame.
const spillBytesMax = 2 << 20

// socket writes frames to one TCP connection and never blocks its callers. The bytes that the
// kernel takes at once go straight from the caller's message. A goroutine sends the rest and then
// ends.
type socket struct {
	connection net.Conn
	raw        syscall.RawConn
	writeOne   func(fd uintptr)      // s.write, made once: a method value allocates
	writeMore  func(fd uintptr) bool // s.writeRest, likewise

	mu       sync.Mutex // held only during non-blocking calls; taken after Session.mu
	pending  []byte     // bytes that the kernel has not taken: a view of a message in flight, or of spill
	isOwned  bool       // pending is in spill
	spill    []byte
	number   uint32 // of the request in pending, if there is one
	flushing bool
	failed   bool
}

func newSocket(connection *net.TCPConn) (*socket, error) {
	raw, err := connection.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{connection: connection, raw: raw}
	s.writeOne, s.writeMore = s.write, s.writeRest
	return s, nil
}

// send queues frame, and tells whether the connection will send it. frame must not change until
// release. A request that is still being sent is not sent twice.
func (s *socket) send(frame []byte, number uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed {
		return false
	}
	if len(s.pending) > 0 {
		if s.number == number && number != 0 {
			return true
		}
		if len(s.pending)+len(frame) > spillBytesMax {
			return false
		}
		s.own()
		s.spill = append(s.spill[:len(s.pending)], frame...)
		s.pending, s.number = s.spill, number
		return true
	}
	s.pending, s.isOwned, s.number = frame, false, number
	if err := s.raw.Control(s.writeOne); err != nil {
		s.fail()
	}
	if len(s.pending) > 0 && !s.flushing && !s.failed {
		s.flushing = true
		go s.flush()
	}
	return !s.failed
}

// release gives the caller's memory back. It copies bytes that still wait. There seldom are any,
// because a reply follows the whole request; but a second replica may be slow.
func (s *socket) release() {
	s.mu.Lock()
	s.own()
	s.mu.Unlock()
}

// own moves pending to the start of spill. The caller holds mu.
func (s *socket) own() {
	if len(s.pending) == 0 || s.isOwned && len(s.spill) == len(s.pending) {
		return
	}
	if s.isOwned {
		s.spill = s.spill[:copy(s.spill, s.pending)]
	} else {
		s.spill = append(s.spill[:0], s.pending...)
	}
	s.pending, s.isOwned = s.spill, true
}

// write passes as much of pending to the kernel as it takes. The caller holds mu.
func (s *socket) write(fd uintptr) {
	for len(s.pending) > 0 && !s.failed {
		count, err := unix.Write(int(fd), s.pending)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return
		case err != nil:
			s.fail()
		default:
			s.pending = s.pending[count:]
		}
	}
}

// writeRest is write for the flusher. It returns false to wait until the socket has room.
func (s *socket) writeRest(fd uintptr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(fd)
	if len(s.pending) > 0 && !s.failed {
		return false
	}
	s.flushing = false // under the same lock as the last check, so that no bytes are left
	return true
}

func (s *socket) flush() {
	if err := s.raw.Write(s.writeMore); err != nil {
		s.close()
	}
}

// fail gives the connection up: its reader wakes and closes it. This function cannot close it,
// because that would wait for a flusher that waits for mu, which the callers hold.
func (s *socket) fail() {
	s.failed, s.pending = true, nil
	_ = s.connection.SetDeadline(time.Unix(1, 0)) // an error means that it is closed already
}

// close ends the connection; calls after the first do nothing.
func (s *socket) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.failed {
		s.fail()
	}
}
