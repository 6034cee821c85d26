package net

import (
	"math/rand/v2"

	"ledger/limits"
	"ledger/peer"
	"ledger/prepare"
	"ledger/wire"
)

// testSelf is what replica index of a cluster tells of itself.
func testSelf(l *limits.Limits, cluster wire.U128, index uint8) *peer.Self {
	return &peer.Self{
		Cluster: cluster, Index: index, ReplicasCount: uint8(l.ReplicasCount), Fixed: peer.FixedOf(l, l.MessageBytesMax),
		Incarnation: 1000 + uint64(index), Process: 2000 + uint64(index), Releases: peer.Range{Min: 1, Max: 1},
		Rules: peer.Range{Min: 1, Max: 1}, BlockFormats: peer.Range{Min: 1, Max: 1}, StorageBytesMax: 1 << 40, FileBytes: 1 << 30,
		Keys: peer.NewKeys(),
	}
}

const testView = 4

// testChain makes the headers of count prepares up to op last, by falling op.
func testChain(last uint64, count int) (body []byte) {
	parent := wire.Checksum{byte(last)}
	for op := last - uint64(count) + 1; op <= last; op++ {
		h := prepare.Put(make([]byte, prepare.HeaderBytes), &prepare.Fields{
			Parent: parent, Cluster: wire.U128From(testCluster), Client: wire.U128{Lo: 5}, Op: op, Commit: op - 1, Timestamp: 1000 * op,
			SizeBytes: prepare.HeaderBytes, View: testView, Request: 1, RequestsCount: 1, Operation: wire.OperationNoop,
			Command: prepare.CommandPrepare, Replica: 1,
		}, prepare.Sum(nil))
		parent = h.Checksum()
		body = append(append([]byte{}, h...), body...)
	}
	return body
}

// commands are those of the protocol.
const commandsLast = peer.CommandBlockMissing

// testMessage is a message of a command that is right, and like no other one of its number. Bodies
// without a fixed size are random.
func testMessage(random *rand.Rand, command peer.Command, number uint64) []byte {
	inner, body := make([]byte, peer.InnerBytes), []byte(nil)
	name := peer.BlockName{Checksum: wire.Checksum{1, 2, byte(number)}, Address: number}
	state := peer.State{Op: number, CommitMin: number - 1, CommitMax: number, LogView: testView, ReleaseMin: 1, ReleaseMax: 1,
		Status: peer.StatusNormal}
	id, op := wire.Checksum{7, byte(number)}, 1000+number
	switch command {
	case peer.CommandPing:
		(&peer.Ping{ClockNs: number, State: state}).Encode(inner)
	case peer.CommandPong:
		(&peer.Pong{EchoNs: number, WallNs: number, State: state}).Encode(inner)
	case peer.CommandCommit:
		(&peer.Commit{Checksum: id, CheckpointID: id, Op: op, ClockNs: number}).Encode(inner)
	case peer.CommandCommitEcho:
		(&peer.CommitEcho{EchoNs: number, Op: op, CommitMin: number}).Encode(inner)
	case peer.CommandPrepare, peer.CommandRepairPrepare:
		body = randomBody(random)
		prepare.Put(inner, &prepare.Fields{Parent: id, Cluster: wire.U128From(testCluster), Client: wire.U128{Lo: 5}, Session: 3, Op: op,
			Commit: op - 1, Timestamp: op, SizeBytes: uint32(prepare.HeaderBytes + len(body)), View: testView, Request: 9, RequestLimit: 1 << 20,
			RequestsCount: 1, Operation: wire.OperationCreateTransfers, Command: prepare.CommandPrepare, Replica: 1}, prepare.Sum(body))
	case peer.CommandPrepareOK:
		(&peer.PrepareOK{Checksum: id, Parent: id, CheckpointID: id, Op: op, CommitMin: number}).Encode(inner)
	case peer.CommandRequest:
		frame := requestFrame(number, 1, len(randomBody(random)))
		return frame
	case peer.CommandStartViewChange:
		(&peer.StartViewChange{Cause: peer.CauseSilent}).Encode(inner)
	case peer.CommandDoViewChange:
		body = testChain(op, 9)
		(&peer.DoViewChange{Op: op, CommitMin: op - 8, LogView: testView, Present: 0x1ff, HeadersCount: 9}).Encode(inner)
	case peer.CommandStartView:
		body = append(make([]byte, peer.CheckpointBytes), testChain(op, 9)...)
		(&peer.StartView{CheckpointID: id, Op: op, CommitMax: op - 8, Nonce: number, HeadersCount: 9}).Encode(inner)
	case peer.CommandRequestStartView:
		(&peer.RequestStartView{Nonce: number}).Encode(inner)
	case peer.CommandRequestHeaders:
		(&peer.RequestHeaders{OpMin: op, OpMax: op + 3}).Encode(inner)
	case peer.CommandHeaders:
		count := 1 + random.IntN(peer.HeadersPerAnswer)
		body = testChain(op, count)
		(&peer.Headers{HeadersCount: uint8(count)}).Encode(inner)
	case peer.CommandRequestPrepare:
		(&peer.RequestPrepare{Checksum: id, Op: op}).Encode(inner)
	case peer.CommandPrepareMissing:
		(&peer.PrepareMissing{Checksum: id, Op: op, Missing: peer.MissingDamaged}).Encode(inner)
	case peer.CommandRequestBlocks:
		(&peer.RequestBlocks{BlocksCount: 1, Blocks: [peer.BlocksPerRequest]peer.BlockName{name}}).Encode(inner)
	case peer.CommandBlock:
		body = make([]byte, 16<<10)
		copy(body, name.Checksum[:])
		body[100] = byte(number)
		(&peer.Block{Name: name}).Encode(inner)
	case peer.CommandBlockMissing:
		(&peer.BlockMissing{Name: name, Missing: peer.MissingHere}).Encode(inner)
	}
	return append(inner, body...)
}

// randomBody is small as a rule, and as large as possible now and then.
func randomBody(random *rand.Rand) []byte {
	bytes := random.IntN(500)
	switch random.IntN(10) {
	case 0:
		bytes = random.IntN(wire.MessageBytesMax - peer.InnerBytes + 1)
	case 1:
		bytes = 0
	case 2:
		bytes = limits.SmallSlotBytes - peer.InnerBytes + random.IntN(3) - 1
	}
	body := make([]byte, bytes)
	first := random.Uint32()
	for i := range body {
		body[i] = byte(first) + byte(i*7)
	}
	return body
}
