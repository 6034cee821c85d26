package model

import (
	"encoding/binary"
	"fmt"

	"github.com/ericlagergren/aegis"
)

// Commands of the client protocol. Source: wire protocol, 2.2.
const (
	CommandPing     = 3
	CommandPong     = 4
	CommandRequest  = 5
	CommandReply    = 8
	CommandEviction = 18
)

// Checksum of the wire protocol, as its 16 bytes. Source: wire protocol, section 3.
type Checksum [16]byte

// ChecksumOf data.
func ChecksumOf(data []byte) (sum Checksum) {
	var key [16]byte
	var nonce [16]byte
	sealer, err := aegis.New(key[:])
	if err != nil {
		panic(err)
	}
	copy(sum[:], sealer.Seal(nil, nonce[:], nil, data))
	return sum
}

// Header is a message header without its checksums. Only the fields of its command are meaningful.
// Source: wire protocol, section 2.
type Header struct {
	Cluster Number
	View    uint32
	Release uint32
	Command uint8
	Replica uint8

	Client    Number
	Session   uint64 // request, ping
	Request   uint32 // request, reply
	Operation Operation

	Parent  Checksum // request
	Latency uint32   // request: previous_request_latency

	RequestChecksum Checksum // reply
	Context         Checksum // reply
	Op              uint64   // reply: op and commit
	Timestamp       uint64   // request (must be 0) and reply

	PingTimestamp uint64 // ping, pong
	Reason        uint8  // eviction
}

// Frame encodes a message. A reply gets its context computed.
func (h *Header) Frame(body []byte) []byte {
	frame := make([]byte, headerBytes, headerBytes+len(body))
	frame = append(frame, body...)
	h.Cluster.Put(frame[80:])
	little.PutUint32(frame[96:], uint32(len(frame)))
	little.PutUint32(frame[104:], h.View)
	little.PutUint32(frame[108:], h.Release)
	frame[114], frame[115] = h.Command, h.Replica
	switch h.Command {
	case CommandPing:
		h.Client.Put(frame[128:])
		little.PutUint64(frame[144:], h.PingTimestamp)
		little.PutUint64(frame[152:], h.Session)
	case CommandPong:
		little.PutUint64(frame[128:], h.PingTimestamp)
	case CommandRequest:
		copy(frame[128:], h.Parent[:])
		h.Client.Put(frame[160:])
		little.PutUint64(frame[176:], h.Session)
		little.PutUint64(frame[184:], h.Timestamp)
		little.PutUint32(frame[192:], h.Request)
		frame[196] = uint8(h.Operation)
		little.PutUint32(frame[200:], h.Latency)
	case CommandReply:
		copy(frame[128:], h.RequestChecksum[:])
		h.Client.Put(frame[192:])
		little.PutUint64(frame[208:], h.Op)
		little.PutUint64(frame[216:], h.Op)
		little.PutUint64(frame[224:], h.Timestamp)
		little.PutUint32(frame[232:], h.Request)
		frame[236] = uint8(h.Operation)
	case CommandEviction:
		h.Client.Put(frame[128:])
		frame[255] = h.Reason
	default:
		panic(fmt.Sprintf("model: command %d does not travel between client and server", h.Command))
	}
	Seal(frame)
	if h.Command == CommandReply {
		// The context is the checksum that the header has while the context is zero (wire protocol, 4.3).
		h.Context = Checksum(frame[:16])
		copy(frame[160:], h.Context[:])
		Seal(frame)
	}
	return frame
}

// Seal writes both checksums into a frame.
func Seal(frame []byte) {
	body := ChecksumOf(frame[headerBytes:])
	copy(frame[32:48], body[:])
	header := ChecksumOf(frame[16:headerBytes])
	copy(frame[:16], header[:])
}

// CheckFrame returns an error if frame is no whole message with right checksums: its connection has
// to be dropped.
func CheckFrame(frame []byte, messageBytesMax uint32) error {
	if len(frame) < headerBytes {
		return fmt.Errorf("a frame of %d bytes", len(frame))
	}
	if sum := ChecksumOf(frame[16:headerBytes]); sum != Checksum(frame[:16]) {
		return fmt.Errorf("the header's checksum is %x, computed %x", frame[:16], sum)
	}
	if size := little.Uint32(frame[96:]); size < headerBytes || size > messageBytesMax || int(size) != len(frame) {
		return fmt.Errorf("a size of %d in a frame of %d bytes", size, len(frame))
	}
	if sum := ChecksumOf(frame[headerBytes:]); sum != Checksum(frame[32:48]) {
		return fmt.Errorf("the body's checksum is %x, computed %x", frame[32:48], sum)
	}
	return nil
}

// ParseFrame decodes a frame that CheckFrame has passed, and returns an error for a header that
// breaks a rule of its command. Source: wire protocol, section 2.
func ParseFrame(frame []byte) (h Header, body []byte, err error) {
	h = Header{
		Cluster: NumberAt(frame[80:]),
		View:    little.Uint32(frame[104:]),
		Release: little.Uint32(frame[108:]),
		Command: frame[114],
		Replica: frame[115],
	}
	body = frame[headerBytes:]
	zero := func(from, to int) {
		if err == nil && !isZero(frame[from:to]) {
			err = fmt.Errorf("header bytes %d..%d of command %d are not zero", from, to-1, h.Command)
		}
	}
	rule := func(holds bool, what string) {
		if err == nil && !holds {
			err = fmt.Errorf("command %d: it does not hold that %s", h.Command, what)
		}
	}
	zero(16, 32)
	zero(48, 80)
	zero(100, 104)
	zero(112, 114)
	zero(116, 128)
	switch h.Command {
	case CommandPing:
		h.Client, h.PingTimestamp, h.Session = NumberAt(frame[128:]), little.Uint64(frame[144:]), little.Uint64(frame[152:])
		zero(160, 256)
		rule(len(body) == 0 && h.View == 0 && h.Release != 0 && h.Replica == 0 && !h.Client.IsZero(), "a ping is well formed")
	case CommandPong:
		h.PingTimestamp = little.Uint64(frame[128:])
		zero(136, 256)
		rule(len(body) == 0, "a pong has no body")
		rule(h.Release != 0, "the server has a release")
		rule(h.Replica < 6, "the replica is below 6")
	case CommandRequest:
		h.Parent, h.Client = Checksum(frame[128:144]), NumberAt(frame[160:])
		h.Session, h.Timestamp = little.Uint64(frame[176:]), little.Uint64(frame[184:])
		h.Request, h.Operation = little.Uint32(frame[192:]), Operation(frame[196])
		h.Latency = little.Uint32(frame[200:])
		zero(144, 160)
		zero(197, 200)
		zero(204, 256)
		rule(h.Release != 0 && h.Replica == 0 && !h.Client.IsZero(), "a request is well formed")
		switch {
		case h.Operation == Register:
			rule(h.Parent == Checksum{} && h.Session == 0 && h.Request == 0, "a register has no parent, session, number")
			rule(len(body) == 0 || len(body) == 256, "a register has 256 bytes or 512")
		default:
			rule(h.Session != 0 && h.Request != 0, "a request has session and number")
			rule(h.Operation >= 128 || h.Operation == Noop || h.Operation == Member && len(body) == 16 || h.Operation == 3,
				"clients may use the operation")
			rule(h.Operation != Noop || len(body) == 0, "a noop has no body")
		}
	case CommandReply:
		h.RequestChecksum, h.Context = Checksum(frame[128:144]), Checksum(frame[160:176])
		h.Client, h.Op = NumberAt(frame[192:]), little.Uint64(frame[208:])
		h.Timestamp, h.Request = little.Uint64(frame[224:]), little.Uint32(frame[232:])
		h.Operation = Operation(frame[236])
		zero(144, 160)
		zero(176, 192)
		zero(237, 256)
		rule(!h.Client.IsZero(), "the client is not zero")
		rule(h.Op != 0 && h.Op == binary.LittleEndian.Uint64(frame[216:]), "op and commit are equal and not zero")
		rule(h.Timestamp != 0 && h.Timestamp <= timestampMax, "the timestamp is valid")
		rule((h.Request == 0) == (h.Operation == Register), "request 0 is the register")
		rule(h.Operation != Register || len(body) == 64, "a register's reply has 64 bytes")
	case CommandEviction:
		h.Client, h.Reason = NumberAt(frame[128:]), frame[255]
		zero(144, 255)
		rule(len(body) == 0, "an eviction has no body")
		rule(h.Release != 0, "the server has a release")
		rule(h.Reason >= 1 && h.Reason <= 8, "the reason is 1..8")
		rule(!h.Client.IsZero(), "the client is not zero")
	default:
		rule(false, "the command is one between client and server")
	}
	return h, body, err
}

// SameReply returns an error unless got is want, or want sent again in a later view: then view and
// checksum differ, and nothing else (wire protocol, 4.3).
func SameReply(got, want []byte) error {
	if len(got) >= headerBytes && len(want) >= headerBytes && little.Uint32(got[104:]) > little.Uint32(want[104:]) {
		resent := append([]byte{}, want...)
		copy(resent[104:108], got[104:108])
		Seal(resent)
		want = resent
	}
	if len(got) != len(want) {
		return fmt.Errorf("a reply of %d bytes, want %d", len(got), len(want))
	}
	// The body first: what differs there makes checksums and the context in the header differ as well.
	for _, part := range [][2]int{{headerBytes, len(got)}, {48, headerBytes}, {0, 48}} {
		for i := part[0]; i < part[1]; i++ {
			if got[i] != want[i] {
				from, to := i&^15, min(i&^15+16, len(got))
				return fmt.Errorf("reply bytes from %d (body bytes from %d) are %x, want %x", from, from-headerBytes, got[from:to], want[from:to])
			}
		}
	}
	return nil
}
