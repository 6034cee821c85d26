package consensus

import (
	"bytes"

	"ledger/peer"
	"ledger/prepare"
	"ledger/stages"
	"ledger/wire"
)

// oracle decides what is committed, from acknowledgements alone: an op is committed when q_r
// machines have acknowledged it in one view, and the op before it, which it names, is committed.
type oracle struct {
	w         *several
	headers   map[wire.Checksum]prepare.Header
	acks      map[ackKey]uint8
	committed map[uint64]wire.Checksum
	highest   uint64
	quorate   map[uint64][]wire.Checksum
	ballots   map[ballotKey][]byte
	sessions  map[uint64][]byte
	requests  map[wire.Checksum]uint64 // the op of each request that was executed
	releases  releaseOracle
	copies    map[int]uint64 // the newest checkpoint that was whole on the disk of each machine
}

type ackKey struct {
	view     uint32
	checksum wire.Checksum
}

type ballotKey struct {
	machine int
	file    uint64 // another file says other things
	logView uint32
}

func newOracle(w *several) oracle {
	return oracle{
		w: w, headers: map[wire.Checksum]prepare.Header{}, acks: map[ackKey]uint8{}, committed: map[uint64]wire.Checksum{},
		quorate: map[uint64][]wire.Checksum{}, ballots: map[ballotKey][]byte{}, sessions: map[uint64][]byte{},
		requests: map[wire.Checksum]uint64{}, copies: map[int]uint64{}, releases: newReleaseOracle(),
	}
}

func (o *oracle) prepared(h prepare.Header) { o.headers[h.Checksum()] = bytes.Clone(h) }

// has tells whether the disk of a machine has a prepare.
func (m *machine) has(op uint64, checksum wire.Checksum) bool {
	d := &m.disk[op%uint64(len(m.disk))]
	return len(d.p) > 0 && prepare.Header(d.p[:256]).Checksum() == checksum
}

// acked: a machine has told the primary that it has a prepare.
func (o *oracle) acked(m *machine, view uint32, op uint64, checksum wire.Checksum) {
	if !m.has(op, checksum) {
		o.w.t.Fatalf("seed %d: machine %d acknowledges op %d, which is not on its disk", o.w.seed, m.index, op)
	}
	if m.superblock.LogView != view {
		o.w.t.Fatalf("seed %d: machine %d acknowledges op %d in view %d, its durable log view is %d", o.w.seed, m.index, op, view,
			m.superblock.LogView)
	}
	l := &o.w.l
	if c := m.superblock.Checkpoint.Op; op > l.CheckpointTrigger(l.CheckpointAfter(c))+uint64(l.SlackOps) {
		o.w.t.Fatalf("seed %d: machine %d acknowledges op %d, its checkpoint is %d", o.w.seed, m.index, op, c)
	}
	o.halfSynced(m, op)
	if members := o.headers[checksum].Members(); !members.Counts(m.index, m.superblock.Incarnation) {
		return
	}
	o.count(m.index, view, op, checksum)
}

// wrote: a primary that has written its own prepare needs no message for its acknowledgement.
func (o *oracle) wrote(m *machine, op uint64, checksum wire.Checksum) {
	if view := m.superblock.LogView; o.w.quorums.PrimaryOf(view) == m.index {
		o.count(m.index, view, op, checksum)
	}
}

func (o *oracle) count(machine int, view uint32, op uint64, checksum wire.Checksum) {
	key := ackKey{view, checksum}
	primary := o.w.quorums.PrimaryOf(view)
	if machine != primary {
		o.acks[key] |= 1 << machine
	}
	acks, members := 0, o.headers[checksum].Members()
	for i, m := range o.w.machines {
		switch {
		case i == primary:
			if m.superblock.LogView == view && m.has(op, checksum) && members.Counts(i, m.superblock.Incarnation) {
				acks++
			}
		case o.acks[key]>>i&1 != 0:
			acks++
		}
	}
	if acks < o.w.quorums.Replication {
		return
	}
	o.quorate[op] = append(o.quorate[op], checksum)
	for op := min(op, o.highest+1); op <= o.highest+1; op++ {
		for _, checksum := range o.quorate[op] {
			if op > 1 && o.headers[checksum].Parent() != o.committed[op-1] {
				continue // an op below has no quorum, so this one is not committed
			}
			if known, ok := o.committed[op]; ok && known != checksum {
				o.w.t.Fatalf("seed %d: op %d is committed twice, with different contents: views %d and %d; acknowledged in view %d by %b%s",
					o.w.seed, op, o.headers[known].View(), o.headers[checksum].View(), view, o.acks[key], o.w.text())
			}
			o.committed[op], o.highest = checksum, max(o.highest, op)
		}
	}
}

// recovered: what a start whose log is that of its view takes to be committed is committed. It
// executes these ops without asking anybody.
func (o *oracle) recovered(m *machine, r *Recovered) {
	s := &r.Superblock
	if s.LogView < s.View || !r.Uncertain.Empty() {
		return
	}
	at := func(op uint64) prepare.Header {
		return prepare.Header(r.Headers[op%uint64(len(m.disk))*prepare.HeaderBytes:][:prepare.HeaderBytes])
	}
	for op := r.OpHead; op > s.Checkpoint.Op; op-- {
		h := at(op)
		if h.Command() != prepare.CommandPrepare || h.Op() != op || op < r.OpHead && at(op+1).Parent() != h.Checksum() {
			return // the chain ends
		}
		if checksum, ok := o.committed[op]; op <= r.CommitMax && (!ok || checksum != h.Checksum()) {
			o.w.t.Fatalf("seed %d: machine %d starts in view %d and takes op %d of view %d for committed, which is not (%v)", o.w.seed, m.index,
				s.View, op, h.View(), ok)
		}
	}
}

// executed: only what is committed may be.
func (o *oracle) executed(m *machine, op uint64, h prepare.Header) {
	if checksum, ok := o.committed[op]; !ok || checksum != h.Checksum() {
		o.w.t.Fatalf("seed %d: machine %d executes op %d (view %d), which is not what is committed (%v)", o.w.seed, m.index, op, h.View(), ok)
	}
}

// voted: the list of a ballot is the same in all ballots of a log view.
func (o *oracle) voted(m *machine, view uint32, message []byte) {
	var d peer.DoViewChange
	e := peer.Envelope{Command: peer.CommandDoViewChange, View: view, BodyBytes: uint32(len(message) - 256), Incarnation: 1}
	d.Decode(message[:256], &e, &o.w.bounds)
	list := append(bytes.Clone(d.Uncertain[:]), message[256:]...)
	key := ballotKey{m.index, m.superblock.Incarnation, d.LogView}
	if before, ok := o.ballots[key]; ok && !bytes.Equal(before, list) {
		o.w.t.Fatalf("seed %d: machine %d says two things of log view %d", o.w.seed, m.index, d.LogView)
	}
	o.ballots[key] = list
	if m.superblock.LogView != d.LogView {
		o.w.t.Fatalf("seed %d: machine %d votes with log view %d, durable is %d", o.w.seed, m.index, d.LogView, m.superblock.LogView)
	}
	o.w.count["ballot"]++
}

// snapshot: the sessions as of a trigger are the same everywhere.
func (o *oracle) snapshot(op uint64, trailer []byte) {
	if before, ok := o.sessions[op]; ok && !bytes.Equal(before, trailer) {
		o.w.t.Fatalf("seed %d: the sessions as of op %d differ", o.w.seed, op)
	}
	o.sessions[op] = bytes.Clone(trailer)
}

// severalClient registers and sends requests, one after the other, to any machine.
type severalClient struct {
	w       *several
	fields  wire.RequestFields
	body    []byte
	sentNs  uint64
	isIdle  bool
	isQuiet bool
	replied int
}

func (w *several) addClients(count int) {
	for i := range count {
		w.clients = append(w.clients, &severalClient{w: w, isIdle: true,
			fields: wire.RequestFields{Client: wire.U128{Lo: uint64(10 + i)}, Operation: wire.OperationRegister}})
	}
}

// isSpread: a machine would soon be more than a log behind. What it misses then is in no log, and
// only a checkpoint of another machine would help it.
func (w *several) isSpread() bool {
	for _, m := range w.machines {
		if w.oracle.highest+3*uint64(w.l.PipelineOpsMax) > m.superblock.Checkpoint.Op+uint64(w.l.JournalSlotsCount) {
			return true
		}
	}
	return false
}

func (c *severalClient) act() {
	w := c.w
	if c.isQuiet || !w.maySpread && w.isSpread() {
		return
	}
	if c.isIdle {
		c.isIdle, c.sentNs = false, 0
		if c.fields.Session == 0 {
			c.body = make([]byte, 256)
		} else {
			c.fields.Operation, c.body = randomBody(w.random)
			if w.isSmallOps {
				c.fields.Operation, c.body = wire.OperationCreateTransfersUnbatched, make([]byte, max(w.opBytes, 1280))
			}
			if len(c.body) > 64<<10 && w.random.IntN(60) > 0 {
				c.body = c.body[:128]
			}
		}
	}
	if w.nowNs < c.sentNs {
		return
	}
	c.sentNs = w.nowNs + uint64(50_000_000+w.random.IntN(300_000_000))
	m := w.machines[w.random.IntN(len(w.machines))]
	if w.isSmallOps {
		m = w.machines[max(w.server(), 0)]
	}
	if !m.isUp {
		return
	}
	c.send(m)
}

// ask sends a request of a story to the primary.
func (c *severalClient) ask(isRegister bool) {
	c.fields.Operation, c.body, c.isIdle = wire.OperationCreateTransfersUnbatched, make([]byte, 128), false
	if isRegister {
		c.fields.Operation, c.body = wire.OperationRegister, make([]byte, 256)
	}
	c.send(c.w.machines[max(c.w.server(), 0)])
}

// send the request to a machine.
func (c *severalClient) send(m *machine) {
	slot := m.slots.Get(stages.SlotClient)
	if slot == stages.SlotNone {
		return
	}
	b := frame(c.fields, c.body)
	copy(m.slots.Bytes(slot), b)
	m.netEvents = append(m.netEvents, clientMessage(slot, uint32(len(b))))
}

func (c *severalClient) onReply(h *wire.Header) {
	if known, ok := c.w.oracle.requests[h.ReplyRequestChecksum()]; ok && known != h.ReplyOp() {
		c.w.t.Fatalf("seed %d: a request was executed as op %d and as op %d", c.w.seed, known, h.ReplyOp())
	}
	c.w.oracle.requests[h.ReplyRequestChecksum()] = h.ReplyOp()
	if c.w.oracle.committed[h.ReplyOp()].IsZero() {
		c.w.t.Fatalf("seed %d: the reply of op %d leaves, which is not committed", c.w.seed, h.ReplyOp())
	}
	c.fields.View = max(c.fields.View, h.View()) // so a primary that does not know of this view drops its requests
	c.w.tell("the client has the reply of op %d", h.ReplyOp())
	if h.ReplyRequestNumber() != c.fields.Number || c.isIdle {
		return
	}
	if c.fields.Session == 0 {
		c.fields.Session = h.ReplyCommit()
	}
	c.fields.Number, c.fields.Parent, c.isIdle = c.fields.Number+1, h.ReplyContext(), true
	c.replied++
}
