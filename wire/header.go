package wire

import (
	"encoding/binary"

	"ledger/limits"
)

// Sizes that the protocol fixes. They cannot be configured: outside of them, a client aborts or a
// frame is refused.
const (
	HeaderBytes          = 256
	MessageBytesMax      = 1 << 20
	BodyBytesMax         = MessageBytesMax - HeaderBytes // of requests and replies alike
	RegisterBodyBytes    = 256
	RegisterReplyBytes   = 64                 // body of the reply to a register
	ReplicasMax          = limits.ReplicasMax // a client aborts on a pong from a replica with index 6 or more
	protocolVersion      = 0
	checksumFieldBytes   = 16 // the header's checksum covers the bytes behind it
	reconfigureBodyBytes = 256
)

// Command says what a message is.
type Command uint8

// The five commands between client and server. Other numbers up to commandLast belong to the
// reference's replicas.
const (
	CommandReserved   Command = 0
	CommandPingClient Command = 3
	CommandPongClient Command = 4
	CommandRequest    Command = 5
	CommandReply      Command = 8
	CommandEviction   Command = 18

	commandLast Command = 24
)

// String returns the command's name in the specification.
func (c Command) String() string {
	switch c {
	case CommandReserved:
		return "reserved"
	case CommandPingClient:
		return "ping_client"
	case CommandPongClient:
		return "pong_client"
	case CommandRequest:
		return "request"
	case CommandReply:
		return "reply"
	case CommandEviction:
		return "eviction"
	}
	if c <= commandLast {
		return "replica_command"
	}
	return "unknown"
}

// EvictionReason tells a client why its session has ended. 0 stands for no eviction.
type EvictionReason uint8

// The reasons that clients know. They ignore an eviction with any other reason.
const (
	EvictionNone                   EvictionReason = 0
	EvictionNoSession              EvictionReason = 1
	EvictionReleaseTooLow          EvictionReason = 2
	EvictionReleaseTooHigh         EvictionReason = 3
	EvictionInvalidOperation       EvictionReason = 4
	EvictionInvalidBody            EvictionReason = 5
	EvictionInvalidBodySize        EvictionReason = 6
	EvictionSessionTooLow          EvictionReason = 7
	EvictionSessionReleaseMismatch EvictionReason = 8
)

// String returns the reason's name in the specification.
func (r EvictionReason) String() string {
	switch r {
	case EvictionNone:
		return "none"
	case EvictionNoSession:
		return "no_session"
	case EvictionReleaseTooLow:
		return "client_release_too_low"
	case EvictionReleaseTooHigh:
		return "client_release_too_high"
	case EvictionInvalidOperation:
		return "invalid_request_operation"
	case EvictionInvalidBody:
		return "invalid_request_body"
	case EvictionInvalidBodySize:
		return "invalid_request_body_size"
	case EvictionSessionTooLow:
		return "session_too_low"
	case EvictionSessionReleaseMismatch:
		return "session_release_mismatch"
	}
	return "unknown"
}

// Header is the first 256 bytes of a message in place: a *Header points into the received or built
// frame, at any alignment. The getters of the common part are valid for every message, those of a
// command part only for its Command (Ping..., Pong..., Request..., Reply..., Eviction...). Setters
// do not change the checksums; Seal computes both.
type Header [HeaderBytes]byte

// HeaderOf returns a view of the header of frame, which must hold at least HeaderBytes.
func HeaderOf(frame []byte) *Header { return (*Header)(frame) }

// Bytes returns the header as a slice of itself.
func (h *Header) Bytes() []byte { return h[:] }

// Clear sets all bytes to 0.
func (h *Header) Clear() { *h = Header{} }

// The common part, specification 2.1.

func (h *Header) Checksum() Checksum            { return Checksum(h[0:16]) }
func (h *Header) ChecksumBody() Checksum        { return Checksum(h[32:48]) }
func (h *Header) Cluster() U128                 { return U128FromBytes(h[80:96]) }
func (h *Header) SizeBytes() uint32             { return binary.LittleEndian.Uint32(h[96:100]) }
func (h *Header) Epoch() uint32                 { return binary.LittleEndian.Uint32(h[100:104]) }
func (h *Header) View() uint32                  { return binary.LittleEndian.Uint32(h[104:108]) }
func (h *Header) Release() Release              { return Release(binary.LittleEndian.Uint32(h[108:112])) }
func (h *Header) Protocol() uint16              { return binary.LittleEndian.Uint16(h[112:114]) }
func (h *Header) Command() Command              { return Command(h[114]) }
func (h *Header) Replica() uint8                { return h[115] }
func (h *Header) SetChecksum(sum Checksum)      { *(*Checksum)(h[0:16]) = sum }
func (h *Header) SetChecksumBody(sum Checksum)  { *(*Checksum)(h[32:48]) = sum }
func (h *Header) SetCluster(cluster U128)       { cluster.PutBytes(h[80:96]) }
func (h *Header) SetSizeBytes(sizeBytes uint32) { binary.LittleEndian.PutUint32(h[96:100], sizeBytes) }
func (h *Header) SetView(view uint32)           { binary.LittleEndian.PutUint32(h[104:108], view) }
func (h *Header) SetRelease(release Release) {
	binary.LittleEndian.PutUint32(h[108:112], uint32(release))
}
func (h *Header) SetCommand(command Command)    { h[114] = uint8(command) }
func (h *Header) SetReplica(replicaIndex uint8) { h[115] = replicaIndex }

// BodyBytes is the length of the body that follows; SizeBytes must be at least HeaderBytes
// (ParseHeader has checked it).
func (h *Header) BodyBytes() uint32 { return h.SizeBytes() - HeaderBytes }

// Client is the client id of the message: the sender of a ping or request, the receiver of a reply
// or eviction. A pong_client has none, so it is 0. Routes are made from it, also by messages that
// are then ignored.
func (h *Header) Client() U128 {
	switch h.Command() {
	case CommandPingClient:
		return h.PingClient()
	case CommandRequest:
		return h.RequestClient()
	case CommandReply:
		return h.ReplyClient()
	case CommandEviction:
		return h.EvictionClient()
	}
	return U128{}
}

// ping_client, specification 2.3.

func (h *Header) PingClient() U128                { return U128FromBytes(h[128:144]) }
func (h *Header) PingTimestampNs() uint64         { return binary.LittleEndian.Uint64(h[144:152]) }
func (h *Header) PingSession() uint64             { return binary.LittleEndian.Uint64(h[152:160]) }
func (h *Header) SetPingClient(client U128)       { client.PutBytes(h[128:144]) }
func (h *Header) SetPingTimestampNs(value uint64) { binary.LittleEndian.PutUint64(h[144:152], value) }
func (h *Header) SetPingSession(session uint64)   { binary.LittleEndian.PutUint64(h[152:160], session) }

// pong_client, specification 2.4. The timestamp is the ping's, echoed.

func (h *Header) PongTimestampNs() uint64         { return binary.LittleEndian.Uint64(h[128:136]) }
func (h *Header) SetPongTimestampNs(value uint64) { binary.LittleEndian.PutUint64(h[128:136], value) }

// request, specification 2.5. The latency's unit depends on the client's release; it is for
// statistics only.

func (h *Header) RequestParent() Checksum          { return Checksum(h[128:144]) }
func (h *Header) RequestClient() U128              { return U128FromBytes(h[160:176]) }
func (h *Header) RequestSession() uint64           { return binary.LittleEndian.Uint64(h[176:184]) }
func (h *Header) RequestTimestamp() uint64         { return binary.LittleEndian.Uint64(h[184:192]) }
func (h *Header) RequestNumber() uint32            { return binary.LittleEndian.Uint32(h[192:196]) }
func (h *Header) RequestOperation() Operation      { return Operation(h[196]) }
func (h *Header) SetRequestParent(parent Checksum) { *(*Checksum)(h[128:144]) = parent }
func (h *Header) SetRequestClient(client U128)     { client.PutBytes(h[160:176]) }
func (h *Header) SetRequestSession(session uint64) {
	binary.LittleEndian.PutUint64(h[176:184], session)
}
func (h *Header) SetRequestTimestamp(timestamp uint64) {
	binary.LittleEndian.PutUint64(h[184:192], timestamp)
}
func (h *Header) SetRequestNumber(number uint32)          { binary.LittleEndian.PutUint32(h[192:196], number) }
func (h *Header) SetRequestOperation(operation Operation) { h[196] = uint8(operation) }
func (h *Header) SetRequestPreviousLatency(latency uint32) {
	binary.LittleEndian.PutUint32(h[200:204], latency)
}

// reply, specification 2.6.

func (h *Header) ReplyRequestChecksum() Checksum       { return Checksum(h[128:144]) }
func (h *Header) ReplyContext() Checksum               { return Checksum(h[160:176]) }
func (h *Header) ReplyClient() U128                    { return U128FromBytes(h[192:208]) }
func (h *Header) ReplyOp() uint64                      { return binary.LittleEndian.Uint64(h[208:216]) }
func (h *Header) ReplyCommit() uint64                  { return binary.LittleEndian.Uint64(h[216:224]) }
func (h *Header) ReplyTimestamp() uint64               { return binary.LittleEndian.Uint64(h[224:232]) }
func (h *Header) ReplyRequestNumber() uint32           { return binary.LittleEndian.Uint32(h[232:236]) }
func (h *Header) ReplyOperation() Operation            { return Operation(h[236]) }
func (h *Header) SetReplyRequestChecksum(sum Checksum) { *(*Checksum)(h[128:144]) = sum }
func (h *Header) SetReplyContext(context Checksum)     { *(*Checksum)(h[160:176]) = context }
func (h *Header) SetReplyClient(client U128)           { client.PutBytes(h[192:208]) }
func (h *Header) SetReplyOp(op uint64)                 { binary.LittleEndian.PutUint64(h[208:216], op) }
func (h *Header) SetReplyCommit(op uint64)             { binary.LittleEndian.PutUint64(h[216:224], op) }
func (h *Header) SetReplyTimestamp(timestamp uint64) {
	binary.LittleEndian.PutUint64(h[224:232], timestamp)
}
func (h *Header) SetReplyRequestNumber(number uint32) {
	binary.LittleEndian.PutUint32(h[232:236], number)
}
func (h *Header) SetReplyOperation(operation Operation) { h[236] = uint8(operation) }

// eviction, specification 2.7.

func (h *Header) EvictionClient() U128                    { return U128FromBytes(h[128:144]) }
func (h *Header) EvictionReason() EvictionReason          { return EvictionReason(h[255]) }
func (h *Header) SetEvictionClient(client U128)           { client.PutBytes(h[128:144]) }
func (h *Header) SetEvictionReason(reason EvictionReason) { h[255] = uint8(reason) }

// ComputeChecksum returns the right value of the checksum field. It covers everything behind that
// field.
func (h *Header) ComputeChecksum() Checksum { return ChecksumOf(h[checksumFieldBytes:]) }

// Seal stores size and checksum of body, then the header's checksum, which covers them. All other
// fields must be set before.
func (h *Header) Seal(body []byte) {
	h.SetSizeBytes(uint32(HeaderBytes + len(body)))
	h.SetChecksumBody(bodyChecksum(body))
	h.SetChecksum(h.ComputeChecksum())
}

// bodyChecksum avoids the 50 ns for hashing an empty body.
func bodyChecksum(body []byte) Checksum {
	if len(body) == 0 {
		return checksumOfEmpty
	}
	return ChecksumOf(body)
}
