package workload

import (
	"fmt"

	"ledger/sim/model"
)

// Stream cuts the bytes of one connection into frames.
type Stream struct {
	messageBytesMax uint32
	pending         []byte
}

// NewStream of frames of at most messageBytesMax.
func NewStream(messageBytesMax uint32) *Stream { return &Stream{messageBytesMax: messageBytesMax} }

// Push adds received bytes and returns the frames that are complete now. It checks only headers.
//
// error: a header is damaged or its size is impossible, so that no later frame can be found. The
// connection has to be closed.
func (s *Stream) Push(bytes []byte) (frames [][]byte, err error) {
	s.pending = append(s.pending, bytes...)
	for len(s.pending) >= 256 {
		if sum := model.ChecksumOf(s.pending[16:256]); sum != model.Checksum(s.pending[:16]) {
			return frames, fmt.Errorf("a header's checksum is %x, computed %x", s.pending[:16], sum)
		}
		size := u32At(s.pending[96:])
		if size < 256 || size > s.messageBytesMax {
			return frames, fmt.Errorf("a frame of %d bytes", size)
		}
		if len(s.pending) < int(size) {
			break
		}
		frames = append(frames, s.pending[:size:size]) // later bytes come behind it
		s.pending = s.pending[size:]
	}
	return frames, nil
}
