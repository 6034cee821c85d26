package peer

import (
	"testing"

	"ledger/internal/assert"
	"ledger/limits"
	"ledger/prepare"
	"ledger/wire"
)

var testCluster = wire.U128{Lo: 7, Hi: 9}

func testBounds() Bounds {
	l := limits.Production()
	l.ReplicasCount = 3
	return NewBounds(&l, testCluster)
}

// pattern is a value of bytes that are all different, so that a golden file shows where it is.
func pattern[T ~[16]byte](first byte) (value T) {
	for i := range value {
		value[i] = first + byte(i)
	}
	return value
}

func testState() State {
	return State{
		CheckpointID: pattern[wire.Checksum](0x10), CheckpointParentID: pattern[wire.Checksum](0x20),
		CheckpointOp: 895, Op: 1010, CommitMin: 1001, CommitMax: 1004,
		SyncOp: 1791, OpenNs: 9_000_000_000, WriteNs: 150_000, ExecuteNs: 2_000_000, LogView: 4, ReleaseMin: 1, ReleaseMax: 2,
		RequestsRoom: 2, RequestsWaiting: 17, Status: StatusNormal, ClockAgreed: 1,
	}
}

// chain makes prepares of the ops first to last, each with the checksum of the one before it.
func chain(first, last uint64, view uint32) (headers [][]byte) {
	parent := pattern[wire.Checksum](0x30)
	for op := first; op <= last; op++ {
		h := prepare.Put(make([]byte, prepare.HeaderBytes), &prepare.Fields{
			Parent: parent, Cluster: testCluster, CheckpointID: pattern[wire.Checksum](0x40), Client: wire.U128{Lo: 5}, Op: op, Commit: op - 1,
			Timestamp: 1000 * op, SizeBytes: prepare.HeaderBytes, View: view, Request: 1, RequestsCount: 1, Operation: wire.OperationNoop,
			Command: prepare.CommandPrepare, Replica: uint8(view % 3),
		}, prepare.Sum(nil))
		parent = h.Checksum()
		headers = append(headers, h)
	}
	return headers
}

// falling is the ops of headers from the last to the first, as bodies have them.
func falling(headers [][]byte) (body []byte) {
	for i := len(headers) - 1; i >= 0; i-- {
		body = append(body, headers[i]...)
	}
	return body
}

func blank(op uint64) []byte {
	return prepare.PutReserved(make([]byte, prepare.HeaderBytes), testCluster, op)
}

// message is what encodes itself into an inner header.
type message interface {
	Encode(inner []byte)
	Decode(inner []byte, e *Envelope, b *Bounds) Fault
	fields(c *cursor)
}

// verbatim is an inner header that another package has made.
type verbatim []byte

func (v verbatim) Encode(inner []byte)                     { copy(inner, v) }
func (v verbatim) Decode([]byte, *Envelope, *Bounds) Fault { return Fault{} }
func (v verbatim) fields(c *cursor)                        { c.next("header", len(v)) }

// sample is a message that is right.
type sample struct {
	command Command
	inner   message
	body    []byte
}

func preparedBody() []byte {
	body := make([]byte, 300)
	for i := range body {
		body[i] = byte(i * 7)
	}
	return body
}

func preparedHeader(body []byte) []byte {
	return prepare.Put(make([]byte, prepare.HeaderBytes), &prepare.Fields{
		Parent: pattern[wire.Checksum](0x50), Cluster: testCluster, CheckpointID: pattern[wire.Checksum](0x60), Client: wire.U128{Lo: 5},
		Session: 3, Op: 1011, Commit: 1004, Timestamp: 77, SizeBytes: prepare.HeaderBytes + uint32(len(body)), View: 4, Request: 9,
		RequestLimit: 1 << 20, RequestsCount: 1, Operation: wire.OperationCreateTransfers, Command: prepare.CommandPrepare, Replica: 1,
	}, prepare.Sum(body))
}

func requestMessage() (header, body []byte) {
	frame := make([]byte, wire.HeaderBytes, 1024)
	encoder := wire.NewBatchEncoder(frame[wire.HeaderBytes:cap(frame)], wire.U128Bytes, 1)
	encoder.EndBatch(1)
	body = encoder.Finish()
	wire.BuildRequest(wire.HeaderOf(frame), &wire.RequestFields{
		Cluster: testCluster, Client: wire.U128{Lo: 5}, Release: wire.ReleaseCurrent, Operation: wire.OperationLookupAccounts, View: 1,
		Parent: wire.Checksum{1}, Session: 12, Number: 1,
	}, body)
	return frame[:wire.HeaderBytes], body
}

// samples has a message of each command.
func samples() []sample {
	body := preparedBody()
	request, requestBody := requestMessage()
	log := chain(1003, 1011, 4)
	vote := append(append([]byte{}, log[8]...), blank(1010)...)
	vote = append(vote, falling(log[:7])...)
	view := append(make([]byte, CheckpointBytes), falling(append(chain(895, 895, 3), log...))...)
	for i := range 200 {
		view[i] = byte(i)
	}
	checkpoint := pattern[wire.Checksum](0x10)
	block := make([]byte, 16<<10)
	name := BlockName{Checksum: pattern[wire.Checksum](0x70), Address: 4711}
	copy(block, name.Checksum[:])
	other := BlockName{Checksum: pattern[wire.Checksum](0x80), Address: 4712}
	doViewChange := &DoViewChange{Op: 1011, CommitMin: 1003, CheckpointOp: 895, LogView: 4, Present: 0x1fd, Nack: 0, HeadersCount: 9}
	doViewChange.Uncertain[1012/8%UncertainBytes] = 1 << (1012 % 8)
	return []sample{
		{CommandPing, &Ping{ClockNs: 123_456_789, State: testState()}, nil},
		{CommandPong, &Pong{EchoNs: 123_456_789, WallNs: 1_800_000_000_000_000_000, State: testState()}, nil},
		{CommandCommit, &Commit{pattern[wire.Checksum](0x90), checkpoint, 1004, 895, 5_000_000}, nil},
		{CommandCommitEcho, &CommitEcho{5_000_000, 1010, 1001}, nil},
		{CommandPrepare, verbatim(preparedHeader(body)), body},
		{CommandPrepareOK, &PrepareOK{pattern[wire.Checksum](0xa0), pattern[wire.Checksum](0xb0), checkpoint, 1010, 1001}, nil},
		{CommandRequest, verbatim(request), requestBody},
		{CommandStartViewChange, &StartViewChange{CauseSilent}, nil},
		{CommandDoViewChange, doViewChange, vote},
		{CommandStartView, &StartView{checkpoint, 1011, 1003, 895, 0xc7c6c5c4c3c2c1c0, 10}, view},
		{CommandRequestStartView, &RequestStartView{0xc7c6c5c4c3c2c1c0}, nil},
		{CommandRequestHeaders, &RequestHeaders{1003, 1011}, nil},
		{CommandHeaders, &Headers{9}, falling(log)},
		{CommandRequestPrepare, &RequestPrepare{Checksum: pattern[wire.Checksum](0xa0), Op: 1010}, nil},
		{CommandRepairPrepare, verbatim(log[3]), nil},
		{CommandPrepareMissing, &PrepareMissing{pattern[wire.Checksum](0xa0), 1010, MissingDamaged}, nil},
		{CommandRequestBlocks, &RequestBlocks{2, [BlocksPerRequest]BlockName{name, other}}, nil},
		{CommandBlock, &Block{name}, block},
		{CommandBlockMissing, &BlockMissing{other, MissingHere}, nil},
	}
}

// envelope of a sample from replica 2.
func (s *sample) envelope() Envelope {
	e := Envelope{Incarnation: 0x0102030405060708, BodyBytes: uint32(len(s.body)), View: 5, Command: s.command, Author: 2}
	if len(s.body) > 0 {
		e.BodyChecksum = prepare.Sum(s.body)
	}
	return e
}

// encode makes head and body of a sample, without tag and sequence.
func (s *sample) encode() []byte {
	head := make([]byte, HeadBytes, HeadBytes+len(s.body))
	e := s.envelope()
	e.Encode(head)
	s.inner.Encode(head[EnvelopeBytes:])
	return append(head, s.body...)
}

// linksOf are both ends of a connection from replica 2 to replica 0, after a handshake.
func linksOf(connector, acceptor *Keys, key int) (from, to Link) {
	nonces := [2]Nonce{pattern[Nonce](0xd0), pattern[Nonce](0xe0)}
	from = Link{keys: connector, key: key, side: SideConnector, nonces: nonces, Peer: 0, Incarnation: 0x1111}
	to = Link{keys: acceptor, key: key, side: SideAcceptor, nonces: nonces, Peer: 2, Incarnation: 0x0102030405060708}
	return from, to
}

// checkAll decodes and checks a whole message without tag, as a receiver does.
func checkAll(message []byte, b *Bounds) (e Envelope, f Fault) {
	if f = e.Decode(message, b); f.Faulty() {
		return e, f
	}
	if f = CheckInner(&e, message[EnvelopeBytes:HeadBytes], b); f.Faulty() {
		return e, f
	}
	if len(message) != HeadBytes+int(e.BodyBytes) {
		return e, fault(e.Command, "bytes", uint64(len(message)), "want", uint64(HeadBytes+e.BodyBytes))
	}
	return e, CheckBody(&e, message[EnvelopeBytes:], b)
}

// mustPanic returns what f's broken assertion says.
func mustPanic(t *testing.T, f func()) (what string) {
	t.Helper()
	defer func() {
		text, ok := recover().(string)
		if !ok {
			t.Fatal("no assertion broke")
		}
		what = text
	}()
	f()
	assert.That(true, "reached only if f returns")
	return ""
}
