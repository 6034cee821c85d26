package vsr

import (
	"testing"

	"ledger/wire"
)

// machine is one of several replicas with a superblock and a log: what it says in a view change is
// what recovery makes of them.
type machine struct {
	t     *testing.T
	in    Input
	list  List // of the superblock
	slots []Slot
}

const machineSlots = 8

// header of an op that was prepared in a view on the log of a chain of views: chain[i] is the view
// of op i+1.
func chained(chain ...uint32) []Header {
	headers := []Header{{Checksum: wire.Checksum{1}}}
	for i, view := range chain {
		parent := headers[i].Checksum
		checksum := wire.Checksum{2, byte(i + 1), byte(view), parent[2], parent[3]}
		headers = append(headers, Header{Op: uint64(i + 1), View: view, Checksum: checksum, Parent: parent})
	}
	return headers
}

// newMachine: its log_view and its view are logView, which began with the first listed ops of log,
// and it has all of log.
func newMachine(t *testing.T, logView uint32, log []Header, listed int) *machine {
	m := &machine{t: t, slots: make([]Slot, machineSlots)}
	m.in = Input{Replicas: 3, PrepareMax: machineSlots - 1, CheckpointChecksum: wire.Checksum{1}, View: logView, LogView: logView}
	for i := range m.slots {
		m.slots[i] = Slot{P: Copy{Kind: KindReserved}, T: Copy{Kind: KindReserved}}
	}
	for i := range log {
		m.write(&log[i])
	}
	for op := listed; op >= 0; op-- {
		m.list.Headers[m.list.Count] = log[op]
		m.list.Count++
	}
	return m
}

func (m *machine) write(h *Header) {
	c := Copy{Kind: KindWhole, View: h.View, Op: h.Op, Commit: h.Commit, Checksum: h.Checksum, Parent: h.Parent}
	m.slots[h.Op%machineSlots] = Slot{c, c}
}

// rot: both copies go bad.
func (m *machine) rot(op int) { m.slots[op] = Slot{} }

// tear: the power fails while the first write of an op is under way.
func (m *machine) tear(op int) { m.slots[op] = Slot{Copy{}, Copy{Kind: KindReserved}} }

// start recovers.
func (m *machine) start() *Result {
	m.t.Helper()
	m.in.Headers, m.in.Uncertain = m.list.Headers[:m.list.Count], m.list.Uncertain
	r, refusal := Recover(&m.in, m.slots, make([]Decision, machineSlots))
	if refusal != nil {
		m.t.Fatal(refusal.Reason)
	}
	return r
}

// vote starts, leaves for view, and returns what it says there. The list is in the superblock
// then.
func (m *machine) vote(view uint32) *Ballot {
	m.t.Helper()
	r := m.start()
	log := recoveredLog{m, r}
	m.list.Uncertain = r.Uncertain
	if m.in.LogView == m.in.View {
		m.list = Freeze(log, &m.list, r.OpHead, m.in.CommitMax, &r.Uncertain)
	}
	m.in.View = view
	b := &Ballot{LogView: m.in.LogView, List: m.list}
	b.Present, b.Nack = b.List.Bits(log)
	if reason := b.Check(view, PipelineMax); reason != "" {
		m.t.Fatalf("%s: %+v", reason, b)
	}
	return b
}

// recoveredLog is the log right after recovery. Op 0 is always there.
type recoveredLog struct {
	m *machine
	r *Result
}

func (l recoveredLog) Entry(op uint64) Entry {
	if op == 0 {
		return Entry{Header: Header{Checksum: wire.Checksum{1}}, IsHeld: true}
	}
	return l.r.Entry(op, &l.m.list)
}

// expect compares a choice with the head that it has to have; -1 if it has to wait, -2 if it is to
// be stuck.
func expect(t *testing.T, what string, c Choice, log []Header, head int) {
	t.Helper()
	switch {
	case head == -1 && c.Outcome == OutcomeWait, head == -2 && c.Outcome == OutcomeStuck:
		return
	case head < 0 || c.Outcome != OutcomeChosen || c.OpHead != uint64(head):
		t.Fatalf("%s: %+v, want head %d", what, c, head)
	}
	for op := 1; op <= head; op++ {
		if c.Headers[op] != log[op] {
			t.Fatalf("%s: op %d is %+v", what, op, c.Headers[op])
		}
	}
}
