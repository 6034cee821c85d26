package consensus

import (
	"testing"

	"ledger/wire"
)

// Goal: a register that finds the table full evicts the session whose last reply is oldest; in a
// group, that of the smaller position.
func TestEvictionOfTheOldest(t *testing.T) {
	w := newTester(t, testLimits())
	var f [4]wire.RequestFields
	for i := range f {
		f[i] = w.register(uint64(10 + i))
	}
	f[0] = w.next(f[0]) // client 10 is the youngest now
	// A prepare on its way makes the next two share one: 12 before 11.
	w.receive(frame(f[3], make([]byte, 16)))
	w.turn()
	w.receive(frame(f[2], make([]byte, 16)))
	w.receive(frame(f[1], make([]byte, 16)))
	groups := w.stage.measures.groupsCount
	w.settle()
	if w.stage.measures.groupsCount != groups+1 {
		t.Fatalf("%d groups, want one", w.stage.measures.groupsCount-groups)
	}
	// The order is 10, 13, then 12 and 11 with one op.
	for i, victim := range []uint64{10, 13, 12, 11} {
		w.register(uint64(20 + i))
		if w.stage.sessions.find(wire.U128{Lo: victim}) != nil || w.stage.sessions.count() != 4 {
			t.Fatalf("register %d did not evict client %d", i, victim)
		}
	}
	if h := w.ask(frame(f[1], make([]byte, 16))); h == nil || h.EvictionReason() != wire.EvictionNoSession {
		t.Fatal("an evicted client is not told")
	}
}

// Goal: a client that is evicted while its request is on its way gets its reply, may not begin
// again before, and may then.
func TestEvictedWithRequestOnItsWay(t *testing.T) {
	w := newTester(t, testLimits())
	f := w.register(10)
	for i := range uint64(3) {
		w.next(w.register(11 + i))
	}
	w.receive(registerFrame(20))
	w.turn() // the register is being written
	w.receive(frame(f, make([]byte, 16)))
	w.turn() // 10 is admitted behind it
	w.finishAppend()
	w.finishCommit()
	w.answers = nil
	w.turn() // the register evicts 10, whose request is sequenced
	if w.stage.sessions.find(f.Client) != nil {
		t.Fatal("client 10 was to be evicted")
	}
	w.receive(registerFrame(10))
	w.receive(frame(f, make([]byte, 16)))
	w.settle()
	w.checkQuiet()
	if len(w.answers) != 2 { // the register of 20 and the request of 10
		t.Fatalf("%d answers, want 2", len(w.answers))
	}
	if h := w.ask(registerFrame(10)); h == nil || h.Command() != wire.CommandReply {
		t.Fatal("client 10 may not begin again")
	}
}

// Goal: net hears at once that a session has made room for another one, and a reply that comes
// later does not revive it.
func TestNetHearsOfEvictions(t *testing.T) {
	w := newTester(t, testLimits())
	f := w.register(10)
	for i := range uint64(3) {
		w.register(11 + i)
	}
	if !w.registered[f.Client] {
		t.Fatal("net does not know that client 10 has a session")
	}
	w.receive(registerFrame(20))
	w.turn()
	w.receive(frame(f, make([]byte, 16)))
	w.turn() // the request of 10 waits behind the register that evicts it
	w.finishAppend()
	w.finishCommit()
	w.turn()
	if w.registered[f.Client] || !w.registered[wire.U128{Lo: 20}] {
		t.Fatalf("after the register of 20, net believes %v", w.registered)
	}
	w.settle()
	w.checkQuiet() // 10 has its reply
	// A request without an answer is told as such, and its bytes are there to say whose it was.
	w.receive(frame(wire.RequestFields{Client: f.Client, Operation: wire.OperationRegister, View: 99}, make([]byte, 256)))
	w.turn()
	if len(w.frees) != 1 || !w.frees[0].action.Ignored ||
		wire.HeaderOf(w.slots.Bytes(w.frees[0].action.Slot)[:256]).RequestClient() != f.Client {
		t.Errorf("an ignored request comes back as %+v", w.frees)
	}
}

// Goal: registers of ever new clients, while execution stands still, fill the queue and no more:
// what does not fit is dropped.
func TestFloodWhileExecutionLags(t *testing.T) {
	w := newTester(t, testLimits())
	var f []wire.RequestFields
	for i := range w.l.SessionsMax {
		f = append(f, w.register(uint64(10+i)))
	}
	w.receive(registerFrame(20))
	w.turn() // this one is being written: the others wait, and share the next prepare
	for _, request := range f {
		w.receive(frame(request, make([]byte, 16)))
	}
	w.turn()
	for id := uint64(1000); id < 1100; id++ {
		w.receive(registerFrame(id))
		w.turn()
		w.finishAppend()
		for w.finishFree(0) {
		}
	}
	if got, want := w.stage.inFlight.count, len(w.stage.queue.requests)+int(w.l.SessionsMax+w.l.PipelineOpsMax)-1; got != want {
		t.Fatalf("%d clients in flight, want the queue, the group and the registers of the pipeline: %d", got, want)
	}
	w.settle()
	w.checkQuiet()
}
