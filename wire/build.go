package wire

import (
	"encoding/binary"

	"ledger/internal/assert"
)

// ReplyFields are the fields of a reply's header.
type ReplyFields struct {
	// Of the request.
	Cluster         U128
	Client          U128
	RequestChecksum Checksum
	RequestNumber   uint32
	Release         Release // the client's, never the server's: clients abort on any other
	Operation       Operation
	// Of its place in the log.
	Op        uint64
	Timestamp uint64
	View      uint32 // of the preparing primary
	Replica   uint8  // index of the preparing primary
}

// SetRequest copies the fields that come from the request's header.
func (f *ReplyFields) SetRequest(request *Header) {
	f.Cluster = request.Cluster()
	f.Client = request.RequestClient()
	f.RequestChecksum = request.Checksum()
	f.RequestNumber = request.RequestNumber()
	f.Release = request.Release()
	f.Operation = request.RequestOperation()
}

// BuildReply writes the header of a reply with body. The same fields and body always give the same
// bytes. The context is the checksum of the reply with a context of 0. The client's next request
// must name it as its parent.
//
// source: specification, 2.6 and 4.3.
func BuildReply(h *Header, f *ReplyFields, body []byte) {
	assert.That(!f.Client.IsZero(), "a reply has a client")
	assert.That(f.Op != 0, "a reply has an op")
	assert.That(f.Timestamp != 0 && f.Timestamp < 1<<63, "a reply's timestamp is valid")
	assert.That((f.Operation == OperationRegister) == (f.RequestNumber == 0), "register alone has request number 0")
	assert.That(f.Operation != OperationRegister || len(body) == RegisterReplyBytes, "a register's reply has 64 bytes")
	assert.AtMost(len(body), BodyBytesMax, "body of a reply")
	h.Clear()
	h.SetCommand(CommandReply)
	h.SetCluster(f.Cluster)
	h.SetView(f.View)
	h.SetRelease(f.Release)
	h.SetReplica(f.Replica)
	h.SetReplyRequestChecksum(f.RequestChecksum)
	h.SetReplyClient(f.Client)
	h.SetReplyOp(f.Op)
	h.SetReplyCommit(f.Op)
	h.SetReplyTimestamp(f.Timestamp)
	h.SetReplyRequestNumber(f.RequestNumber)
	h.SetReplyOperation(f.Operation)
	h.SetSizeBytes(uint32(HeaderBytes + len(body)))
	h.SetChecksumBody(bodyChecksum(body))
	h.SetReplyContext(h.ComputeChecksum())
	h.SetChecksum(h.ComputeChecksum())
}

// ResealReply sets the newer view of a stored reply that is sent again. Everything else stays. The
// context must stay too, because the session's next request names it. (specification, 4.3)
func ResealReply(h *Header, view uint32) {
	assert.Equal(uint8(h.Command()), uint8(CommandReply), "command to reseal")
	assert.AtMost(h.View(), view, "view of a stored reply")
	h.SetView(view)
	h.SetChecksum(h.ComputeChecksum())
}

// PutRegisterReplyBody writes the reply body of a register: the largest request body that the
// client may send.
func PutRegisterReplyBody(body []byte, batchBytesMax uint32) {
	assert.Equal(len(body), RegisterReplyBytes, "bytes of a register's reply")
	assert.That(batchBytesMax > 0, "a client may send something")
	assert.AtMost(batchBytesMax, BodyBytesMax, "body of a request")
	clear(body)
	binary.LittleEndian.PutUint32(body, batchBytesMax)
}

// RegisterReplyBatchBytesMax reads that size on the client's side. It returns 0 if body is not the
// body of a register's reply.
func RegisterReplyBatchBytesMax(body []byte) uint32 {
	if len(body) != RegisterReplyBytes {
		return 0
	}
	return binary.LittleEndian.Uint32(body)
}

// ServerFields are the fields of pong_client and eviction that describe their sender.
type ServerFields struct {
	Cluster U128
	View    uint32
	Release Release // ReleaseAnnounced
	Replica uint8   // index of the sender, 0..5
}

// BuildPong answers a ping_client. The pong repeats the ping's timestamp, from which clients
// measure the round trip.
func BuildPong(h *Header, f *ServerFields, pingTimestampNs uint64) {
	assert.Below(f.Replica, ReplicasMax, "replica of a pong")
	buildServerHeader(h, f, CommandPongClient)
	h.SetPongTimestampNs(pingTimestampNs)
	h.Seal(nil)
}

// BuildEviction tells client that its session has ended. Clients ignore an eviction with a view
// below their own.
func BuildEviction(h *Header, f *ServerFields, client U128, reason EvictionReason) {
	assert.That(!client.IsZero(), "an eviction has a client")
	assert.That(reason >= EvictionNoSession && reason <= EvictionSessionReleaseMismatch, "an eviction has a reason that clients know")
	buildServerHeader(h, f, CommandEviction)
	h.SetEvictionClient(client)
	h.SetEvictionReason(reason)
	h.Seal(nil)
}

func buildServerHeader(h *Header, f *ServerFields, command Command) {
	assert.That(f.Release != 0, "a server has a release")
	h.Clear()
	h.SetCommand(command)
	h.SetCluster(f.Cluster)
	h.SetView(f.View)
	h.SetRelease(f.Release)
	h.SetReplica(f.Replica)
}

// RequestFields are the fields of a request's header.
type RequestFields struct {
	Cluster         U128
	Client          U128
	Parent          Checksum // context of the session's previous reply; zero in a register
	Session         uint64   // commit of the register's reply; 0 in a register
	Number          uint32   // 1, 2, 3...; 0 in a register
	View            uint32   // the largest the client has seen
	PreviousLatency uint32   // of the previous request, in microseconds
	Release         Release
	Operation       Operation
}

// BuildRequest writes the header of a request with body. It checks nothing, because tests send
// invalid requests on purpose.
func BuildRequest(h *Header, f *RequestFields, body []byte) {
	h.Clear()
	h.SetCommand(CommandRequest)
	h.SetCluster(f.Cluster)
	h.SetView(f.View)
	h.SetRelease(f.Release)
	h.SetRequestParent(f.Parent)
	h.SetRequestClient(f.Client)
	h.SetRequestSession(f.Session)
	h.SetRequestNumber(f.Number)
	h.SetRequestOperation(f.Operation)
	h.SetRequestPreviousLatency(f.PreviousLatency)
	h.Seal(body)
}

// PingFields are the fields of a ping.
type PingFields struct {
	Cluster     U128
	Client      U128
	TimestampNs uint64 // of the client's monotonic clock
	Session     uint64 // 0 until registered
	Release     Release
}

// BuildPing writes a ping_client. It checks nothing.
func BuildPing(h *Header, f *PingFields) {
	h.Clear()
	h.SetCommand(CommandPingClient)
	h.SetCluster(f.Cluster)
	h.SetRelease(f.Release)
	h.SetPingClient(f.Client)
	h.SetPingTimestampNs(f.TimestampNs)
	h.SetPingSession(f.Session)
	h.Seal(nil)
}
