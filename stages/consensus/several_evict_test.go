package consensus

import (
	"testing"

	"ledger/peer"
	"ledger/stages"
	"ledger/wire"
)

// Goal: a primary that no backup follows evicts nobody. Of view v, P alone has a client's register.
// N and L leave it out and begin v+1, whose start_view never reaches L. N is cut off. P and L begin
// v+2 with the log of v, which has the register, and commit it. The client's reply names view v,
// and so does its next request, which it sends to N.
func TestSeveralUnfollowedEvictsNobody(t *testing.T) {
	w, p, n, l := calm(t, 51)
	before := w.oracle.highest
	c := &severalClient{w: w, isQuiet: true, fields: wire.RequestFields{Client: wire.U128{Lo: 99}, Operation: wire.OperationRegister}}
	w.clients = append(w.clients, c)
	w.onSend = func(from, _ int, f *flight) bool { return from != p.index || f.command != peer.CommandPrepare }
	body := make([]byte, 256)
	send := func(m *machine) {
		slot := m.slots.Get(stages.SlotClient)
		b := frame(c.fields, body)
		copy(m.slots.Bytes(slot), b)
		m.netEvents = append(m.netEvents, clientMessage(slot, uint32(len(b))))
	}
	send(p)
	w.until("P has the register", func() bool { return p.stage.log.head() == before+1 && p.stage.log.isClean(before+1) })
	w.cut(p)
	w.onSend = func(from, _ int, f *flight) bool {
		return from != n.index || f.command != peer.CommandStartView && f.command != peer.CommandPrepare && f.command != peer.CommandCommit
	}
	w.until("N serves", func() bool { return n.stage.mayOrder() })
	w.cut(n)
	w.onSend = nil
	w.until("the register is committed", func() bool { return c.replied == 1 })
	if n.stage.sessions.find(c.fields.Client) != nil || l.stage.views.now() <= n.stage.views.now() {
		t.Fatalf("N knows the client, or L has followed N: %s", w.text())
	}
	c.fields.Operation, body = randomBody(w.random)
	send(n) // the world fails if a client that keeps the rules is evicted
	w.run(second)
	w.quiet(false)
	w.heal()
}

// Goal: a header that a start found behind its checkpoint is no hook, because nothing proves of
// which view it is.
func TestHooksAreProven(t *testing.T) {
	w, primary, _, _ := calm(t, 52)
	w.quiet(false)
	w.until("there is a second checkpoint", func() bool { return primary.superblock.Checkpoint.Op > w.l.CheckpointIntervalOps() })
	w.quiet(true)
	w.until("all are equal", w.isEqual)
	op := primary.superblock.Checkpoint.Op - 1
	if primary.stage.proven(op) != op {
		t.Fatalf("op %d was executed here, and is not proven: %s", op, w.text())
	}
	primary.crash()
	primary.start()
	if base := primary.stage.log.base(); primary.stage.proven(base) == base || primary.stage.proven(base-1) == base-1 {
		t.Fatalf("op %d counts as proven behind the checkpoint %d: %s", base-1, base, w.text())
	}
	w.quiet(false)
	w.heal()
}
