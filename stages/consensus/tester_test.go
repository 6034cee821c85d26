package consensus

import (
	"testing"

	"ledger/limits"
	"ledger/prepare"
	"ledger/stages"
	"ledger/wire"
)

// tester is a world and the answers that reached clients since they were last asked for.
type tester struct {
	*world
	answers [][]byte
}

func newTester(t testing.TB, l limits.Limits) *tester {
	w := &tester{world: newWorld(t, l)}
	w.onMessage = func(m []byte) { w.answers = append(w.answers, m) }
	w.nowNs = 1 << 40
	w.settle() // the first pulse is out
	return w
}

// ask sends a message, lets everything finish and returns the answer, nil if there is none.
func (w *tester) ask(message []byte) *wire.Header {
	w.t.Helper()
	w.answers = nil
	if !w.receive(message) {
		w.t.Fatal("the message would not pass net")
	}
	w.settle()
	w.checkQuiet()
	switch len(w.answers) {
	case 0:
		return nil
	case 1:
		return wire.HeaderOf(w.answers[0][:256])
	}
	w.t.Fatalf("%d answers to one message", len(w.answers))
	return nil
}

func registerFrame(id uint64) []byte {
	return frame(wire.RequestFields{Client: wire.U128{Lo: id}, Operation: wire.OperationRegister}, make([]byte, 256))
}

func (w *tester) register(id uint64) (f wire.RequestFields) {
	w.t.Helper()
	h := w.ask(registerFrame(id))
	if h == nil || h.Command() != wire.CommandReply {
		w.t.Fatalf("client %d is not registered", id)
	}
	return wire.RequestFields{Client: wire.U128{Lo: id}, Session: h.ReplyCommit(), Number: 1, Parent: h.ReplyContext(),
		Operation: wire.OperationLookupAccountsUnbatched}
}

// next sends the request that f describes and returns the one that may follow.
func (w *tester) next(f wire.RequestFields) wire.RequestFields {
	w.t.Helper()
	h := w.ask(frame(f, make([]byte, 16)))
	if h == nil || h.Command() != wire.CommandReply {
		w.t.Fatalf("request %d of %v is not answered", f.Number, f.Client)
	}
	f.Number, f.Parent = f.Number+1, h.ReplyContext()
	return f
}

// manyClients are registered clients in a world with room for them.
func manyClients(t testing.TB, clientsCount uint32) (*tester, []wire.RequestFields) {
	l := limits.Production()
	l.SessionsMax, l.ConnectionsMax = clientsCount, clientsCount+8
	w := newTester(t, l)
	var clients []wire.RequestFields
	for i := range clientsCount {
		clients = append(clients, w.register(uint64(100+i)))
	}
	return w, clients
}

// block starts a prepare, so that what follows gathers behind it.
func (w *tester) block() {
	w.receive(registerFrame(1 << 40))
	w.turn()
	if w.appending == nil {
		w.t.Fatal("nothing is being written")
	}
}

// foreign is a prepare of op that no client asked for, as a primary of another view may have sent
// it, in a slot that the test holds.
func (w *tester) foreign(op uint64) (prepare.Header, stages.Slot) {
	s := w.stage
	slot := s.slots.take(stages.SlotPrepare)
	header := prepare.Put(s.slots.bytes(slot), &prepare.Fields{Op: op, Parent: s.log.checksum(op - 1), Cluster: testCluster,
		Timestamp: s.log.timestampLast() + 1, View: w.superblock.View, SizeBytes: prepare.HeaderBytes, RequestsCount: 1,
		Operation: wire.OperationNoop, Command: prepare.CommandPrepare}, prepare.Sum(nil))
	return header, slot
}
