package wire

import (
	"encoding/binary"
)

// Verdict is a receiver's decision about a message.
type Verdict uint8

const (
	VerdictOK     Verdict = iota // go on
	VerdictDrop                  // close the connection: later bytes on it cannot be trusted
	VerdictIgnore                // skip the message; the connection stays usable
)

// String returns the verdict's name for logs.
func (v Verdict) String() string {
	switch v {
	case VerdictOK:
		return "ok"
	case VerdictDrop:
		return "drop"
	case VerdictIgnore:
		return "ignore"
	}
	return "unknown"
}

// Fault names the rule that a message breaks. It is always a constant, so reporting it does not
// allocate. "" stands for no fault.
type Fault string

// Error makes a Fault usable as an error on cold paths. Callers must compare with "" first, because
// the empty Fault is no error.
func (f Fault) Error() string { return string(f) }

// Side is the end of the connection that receives.
type Side uint8

const (
	SideServer Side = iota // receives ping_client and request
	SideClient             // receives pong_client, reply and eviction
)

// Parser checks received messages in the order of the specification: ParseHeader when 256 bytes
// have arrived, VerifyBody when the body has arrived, then CheckMessage. Each step relies on the
// results of the previous ones. A Parser never changes, so one serves all connections.
type Parser struct {
	cluster U128
	side    Side
}

// NewParser returns the parser of one end of the connections of cluster.
func NewParser(cluster U128, side Side) Parser { return Parser{cluster: cluster, side: side} }

// ParseHeader checks the first 256 bytes of a message before its body has arrived: checksum,
// command, size. So an oversized message is refused before it is buffered. After VerdictOK,
// h.BodyBytes() body bytes follow, at most BodyBytesMax.
//
// source: specification, 1.1 steps 1 to 3, with the advice of 9.2 and 12: a command of replicas
// closes the connection.
func (p *Parser) ParseHeader(h *Header) (Verdict, Fault) {
	if h.Checksum() != h.ComputeChecksum() {
		return VerdictDrop, "header checksum is wrong"
	}
	command := h.Command()
	if command > commandLast {
		return VerdictDrop, "command is unknown"
	}
	if p.side == SideServer && command != CommandRequest && command != CommandPingClient {
		return VerdictDrop, "command is not one of a client"
	}
	if sizeBytes := h.SizeBytes(); sizeBytes < HeaderBytes || sizeBytes > MessageBytesMax {
		return VerdictDrop, "size is outside 256..1048576"
	}
	return VerdictOK, ""
}

// VerifyBody checks body, the h.BodyBytes() bytes after the header, against its checksum in the
// header.
//
// source: specification, 1.1 step 4.
func (p *Parser) VerifyBody(h *Header, body []byte) (Verdict, Fault) {
	if uint64(len(body))+HeaderBytes != uint64(h.SizeBytes()) {
		return VerdictDrop, "body length differs from the header's size"
	}
	if h.ChecksumBody() != bodyChecksum(body) {
		return VerdictDrop, "body checksum is wrong"
	}
	return VerdictOK, ""
}

// CheckMessage checks the header after both checksums: the cluster, then the rules of its command.
// It does not check a request's timestamp, because sessions come first (specification, 4.4 step 9).
//
// source: specification, 1.1 steps 5 and 6, section 2.
func (p *Parser) CheckMessage(h *Header) (Verdict, Fault) {
	if h.Cluster() != p.cluster {
		return VerdictDrop, "cluster is another"
	}
	// checksum_padding, then checksum_body_padding and nonce_reserved, epoch, protocol,
	// reserved_frame.
	if !isZero(h[16:32]) || !isZero(h[48:80]) || h.Epoch() != 0 || !isZero(h[116:128]) {
		return VerdictIgnore, "reserved bytes of the common part are not 0"
	}
	if h.Protocol() != protocolVersion {
		return VerdictIgnore, "protocol version is not 0"
	}
	if p.side == SideServer {
		switch h.Command() {
		case CommandRequest:
			return checkRequestHeader(h)
		case CommandPingClient:
			return checkPingClient(h)
		}
		return VerdictDrop, "command is not one of a client"
	}
	switch h.Command() {
	case CommandReply:
		return checkReply(h)
	case CommandPongClient:
		return checkPongClient(h)
	case CommandEviction:
		return checkEviction(h)
	}
	return VerdictIgnore, "command is not one of a server"
}

func checkPingClient(h *Header) (Verdict, Fault) {
	switch {
	case h.SizeBytes() != HeaderBytes:
		return VerdictIgnore, "ping_client has a body"
	case h.View() != 0:
		return VerdictIgnore, "view of a ping_client is not 0"
	case h.Release() == 0:
		return VerdictIgnore, "release is 0"
	case h.Replica() != 0:
		return VerdictIgnore, "replica of a client is not 0"
	case h.PingClient().IsZero():
		return VerdictIgnore, "client is 0"
	case !isZero(h[160:256]):
		return VerdictIgnore, "reserved bytes of a ping_client are not 0"
	}
	return VerdictOK, ""
}

func checkRequestHeader(h *Header) (Verdict, Fault) {
	switch {
	case h.RequestClient().IsZero():
		// The reference's process ends in this case; ours closes the connection (specification,
		// 9.2).
		return VerdictDrop, "client is 0"
	case h.Release() == 0:
		return VerdictIgnore, "release is 0"
	case h.Replica() != 0:
		return VerdictIgnore, "replica of a client is not 0"
	case !isZero(h[144:160]):
		return VerdictIgnore, "padding of parent is not 0"
	case !isZero(h[197:200]) || !isZero(h[204:256]):
		return VerdictIgnore, "reserved bytes of a request are not 0"
	}
	operation, bodyBytes := h.RequestOperation(), h.BodyBytes()
	if operation == OperationRegister {
		switch {
		case !h.RequestParent().IsZero():
			return VerdictIgnore, "parent of a register is not 0"
		case h.RequestSession() != 0:
			return VerdictIgnore, "session of a register is not 0"
		case h.RequestNumber() != 0:
			return VerdictIgnore, "request number of a register is not 0"
		case bodyBytes != 0 && bodyBytes != RegisterBodyBytes:
			return VerdictIgnore, "body of a register is not 0 or 256 bytes"
		}
		return VerdictOK, ""
	}
	switch {
	case operation < operationStateMachineMin && operation != OperationReconfigure && operation != OperationNoop &&
		operation != OperationMember:
		return VerdictIgnore, "operation is reserved"
	case h.RequestSession() == 0:
		return VerdictIgnore, "session is 0"
	case h.RequestNumber() == 0:
		return VerdictIgnore, "request number is 0"
	case operation == OperationNoop && bodyBytes != 0:
		return VerdictIgnore, "noop has a body"
	case operation == OperationMember && bodyBytes != MemberBodyBytes:
		return VerdictIgnore, "body of a member is not 16 bytes"
	case operation == OperationReconfigure && bodyBytes != reconfigureBodyBytes:
		return VerdictIgnore, "body of a reconfigure is not 256 bytes"
	}
	return VerdictOK, ""
}

func checkPongClient(h *Header) (Verdict, Fault) {
	switch {
	case h.SizeBytes() != HeaderBytes:
		return VerdictIgnore, "pong_client has a body"
	case h.Release() == 0:
		return VerdictIgnore, "release is 0"
	case h.Replica() >= ReplicasMax:
		return VerdictIgnore, "replica is not 0..5"
	case !isZero(h[136:256]):
		return VerdictIgnore, "reserved bytes of a pong_client are not 0"
	}
	return VerdictOK, ""
}

func checkReply(h *Header) (Verdict, Fault) {
	isRegister := h.ReplyOperation() == OperationRegister
	switch {
	case !isZero(h[144:160]) || !isZero(h[176:192]) || !isZero(h[237:256]):
		return VerdictIgnore, "reserved bytes of a reply are not 0"
	case h.ReplyClient().IsZero():
		return VerdictIgnore, "client is 0"
	case h.ReplyOp() == 0:
		return VerdictIgnore, "op of a reply is 0"
	case h.ReplyCommit() != h.ReplyOp():
		return VerdictIgnore, "commit of a reply is not its op"
	case h.ReplyTimestamp() == 0:
		return VerdictIgnore, "timestamp of a reply is 0"
	case isRegister != (h.ReplyRequestNumber() == 0):
		return VerdictIgnore, "request number is 0, or not, for a register alone"
	case isRegister && h.BodyBytes() != RegisterReplyBytes:
		return VerdictIgnore, "body of a reply to register is not 64 bytes"
	}
	return VerdictOK, ""
}

func checkEviction(h *Header) (Verdict, Fault) {
	switch {
	case h.SizeBytes() != HeaderBytes:
		return VerdictIgnore, "eviction has a body"
	case h.Release() == 0:
		return VerdictIgnore, "release is 0"
	case h.EvictionClient().IsZero():
		return VerdictIgnore, "client is 0"
	case !isZero(h[144:255]):
		return VerdictIgnore, "reserved bytes of an eviction are not 0"
	case h.EvictionReason() == EvictionNone || h.EvictionReason() > EvictionSessionReleaseMismatch:
		return VerdictIgnore, "reason of an eviction is unknown"
	}
	return VerdictOK, ""
}

// isZero tells whether all bytes of b are 0, eight at a time.
func isZero(b []byte) bool {
	var all uint64
	for len(b) >= 8 {
		all |= binary.LittleEndian.Uint64(b)
		b = b[8:]
	}
	for _, one := range b {
		all |= uint64(one)
	}
	return all == 0
}
