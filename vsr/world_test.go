package vsr

import (
	"ledger/limits"
	"ledger/wire"
)

// The world is a small cluster that keeps the rules of this package, and nothing else: a log of
// seven ops, no checkpoints, no bodies. Messages are kept for ever, and are delivered at any time
// later, in any order and number. The oracle counts acknowledgements as they are sent. It never
// asks a replica what is committed.

const worldOps = machineSlots - 1

// status of a node.
type status uint8

const (
	statusNormal status = iota
	statusChange
	statusHead // recovering_head
)

// super is what the superblock has.
type super struct {
	view, logView uint32
	list          List
	commitMax     uint64
}

// node is a replica.
type node struct {
	w  *world
	id int
	up bool

	slots  [machineSlots]Slot
	disk   super
	rotted [machineSlots]bool // one fault of an op's slot in its life

	super           // in memory; it is ahead of disk while it is being written
	status          status
	isChosen        bool // new primary: the log is chosen, and log_view = view
	head            uint64
	commitMin       uint64
	entries         [machineSlots]Entry
	writes          [machineSlots]int    // under way: 0 none, 1 both copies or the prepare, 2 the twin of a slot that was faulty
	atOnce, written [machineSlots]bool   // both copies are being written at once; the write is done
	target          [machineSlots]Header // what is being written into the slot
	isRotten        [machineSlots]bool   // the slot is damaged, as far as the node knows
	uncertain       Set
	nonce           [16]byte
	ballots         []*Ballot
	tallies         [machineSlots]Tally
}

func (n *node) Entry(op uint64) Entry {
	if op < machineSlots {
		return n.entries[op]
	}
	return Entry{Header: Header{Op: op, Blank: true}}
}

// persist makes the superblock durable as it is in memory.
func (n *node) persist() {
	before := n.disk
	if n.status == statusNormal && n.logView == n.view {
		n.list = RefreshList(n, &n.list, n.head, n.commitMax) // as a checkpoint does
		if n.w.breaks == "a checkpoint's list ends below the view's" {
			n.list, _ = StartList(n, 1, 0)
		}
	}
	if n.disk = n.super; n.w.breaks == "log_view in memory only" && before.logView > 0 {
		n.disk.logView, n.disk.list = before.logView, before.list
	}
}

func (n *node) isDurable() bool {
	if n.w.breaks == "log_view in memory only" || n.w.breaks == "ack before log_view is durable" && n.status == statusNormal {
		return true
	}
	return n.disk.view == n.view && n.disk.logView == n.logView
}

// enter a view change.
func (n *node) enter(view uint32) {
	if !n.up || view <= n.view {
		return
	}
	if n.logView == n.view || n.w.breaks == "list thawed" {
		n.list = Freeze(n, &n.list, n.head, n.commitMax, &n.uncertain)
	}
	n.view, n.status, n.isChosen, n.ballots = view, statusChange, false, make([]*Ballot, n.w.q.Replicas)
	n.w.log("%d enters view %d: log_view %d, list %s, uncertain: %s", n.id, view, n.logView, lazy(n.list.text), lazy(n.list.Uncertain.text))
}

// vote sends a ballot.
func (n *node) vote() {
	if !n.up || n.status != statusChange || n.isChosen || !n.isDurable() && n.w.breaks != "vote before log_view is durable" {
		return
	}
	b := &Ballot{LogView: n.logView, CommitMin: n.commitMin, List: n.list}
	b.Present, b.Nack = b.List.Bits(n)
	if reason := b.Check(n.view, PipelineMax); reason != "" {
		n.w.fail("a ballot is refused: %s: %+v", reason, b)
	}
	n.w.log("%d votes in view %d: %s", n.id, n.view, lazy(b.text))
	n.w.ballots[n.view] = append(n.w.ballots[n.view], sentBallot{n.id, b})
}

// choose the log as the new primary.
func (n *node) choose() {
	w := n.w
	if !n.up || n.status != statusChange || n.isChosen || w.q.PrimaryOf(n.view) != n.id || n.ballots[n.id] == nil {
		return
	}
	c := Choose(&w.q, PipelineMax, n.ballots)
	if c.Outcome == OutcomeWait || c.Outcome == OutcomeStuck {
		w.log("%d cannot begin view %d: %v, op %d", n.id, n.view, c.Outcome, c.Op)
	}
	w.marks[c.Outcome.String()]++
	switch {
	case c.Outcome == OutcomeBroken:
		w.fail("broken: %s", c.Reason)
		return
	case c.Outcome != OutcomeChosen:
		return
	case c.Truncated != 0:
		w.marks["truncated"]++
	}
	for _, b := range n.ballots {
		if b != nil && !b.List.Uncertain.Empty() {
			w.marks["uncertain head voted"]++
		}
	}
	w.log("%d chooses the log of view %d: that of log_view %d, with head %d; op %d is known to be committed", n.id, n.view, c.LogView,
		c.OpHead, c.CommitMax)
	if c.Truncated != 0 {
		w.log("op %d is nacked by a quorum", c.Truncated)
	}
	n.list = List{}
	for i := c.Count - 1; i >= 0; i-- {
		n.list.Headers[n.list.Count] = c.Headers[i]
		n.list.Count++
	}
	n.install(c.CommitMax)
	n.isChosen = true
	w.choose(n.view, &n.list)
}

// install the log of a view: the list is the superblock's. Truncation writes nothing.
func (n *node) install(commitMax uint64) {
	n.logView, n.head, n.uncertain = n.view, n.list.Head(), Set{}
	n.commitMax = max(n.commitMax, commitMax)
	n.tallies = [machineSlots]Tally{}
	for op := uint64(1); op <= worldOps; op++ {
		e := &n.entries[op]
		h := n.list.find(op)
		switch {
		case op > n.head:
			*e = Entry{Header: Header{Op: op, Blank: true}}
			n.written[op] = false
		case h != nil && (e.Header.Blank || e.Header.Checksum != h.Checksum):
			*e = Entry{Header: *h, IsFaulty: e.IsFaulty && e.Header.Blank}
			n.written[op] = false
		}
	}
}

// lead: the new primary says what the log is, and serves when it has every prepare.
func (n *node) lead() {
	if !n.up || !n.isChosen || n.status != statusChange || !n.isDurable() {
		return
	}
	n.sendStart([16]byte{})
	for op := n.commitMin + 1; op <= n.head; op++ {
		if !n.entries[op].IsHeld {
			return
		}
	}
	n.status = statusNormal
}

func (n *node) sendStart(nonce [16]byte) {
	commitMax := min(n.commitMax, n.head)
	l, ok := StartList(n, n.head, commitMax)
	if !ok {
		return
	}
	if reason := l.CheckStart(n.view, commitMax, PipelineMax); reason != "" {
		n.w.fail("a start_view is refused: %s", reason)
	}
	n.w.starts = append(n.w.starts, sentStart{n.view, n.id, l, commitMax, nonce})
}

// follow a start_view.
func (n *node) follow(s *sentStart) {
	start := Start{View: s.view, From: s.from, Op: s.list.Head(), CommitMax: s.commitMax, Nonce: s.nonce, Self: n.id,
		OwnView: n.view, OwnLogView: n.logView, OwnOp: n.head, PrepareMax: worldOps + 1,
		IsHeadUncertain: n.status == statusHead, OwnNonce: n.nonce}
	if n.w.breaks == "a stale start_view is followed" {
		start.IsHeadUncertain = false
	}
	if !n.up || start.Ignored(&n.w.q) != "" || n.isChosen && s.view == n.view {
		return
	}
	if n.status == statusHead {
		n.w.marks["uncertain head followed"]++
	}
	n.w.log("%d follows view %d with head %d", n.id, s.view, s.list.Head())
	n.view, n.list, n.status, n.isChosen = s.view, s.list, statusNormal, false
	n.install(s.commitMax)
}

// prepare a new op as the primary.
func (n *node) prepare() {
	if !n.up || n.status != statusNormal || !n.isChosen || n.head == worldOps || !n.isDurable() {
		return
	}
	n.w.log("%d prepares op %d.%d", n.id, n.head+1, n.view)
	op, by := n.head+1, n.entries[n.head].Header
	h := Header{Op: op, View: n.view, Commit: n.commitMax, Parent: by.Checksum}
	h.Checksum = wire.Checksum{2, byte(op), byte(n.view), by.Checksum[2], by.Checksum[3]}
	n.append(&h)
	n.w.prepares = append(n.w.prepares, sentPrepare{n.view, h})
}

// take a prepare of the view: the next ones, or one that is missing.
func (n *node) take(p *sentPrepare) {
	if !n.up || n.status != statusNormal || p.view != n.view || n.logView != n.view || !n.isDurable() {
		return
	}
	if p.header.Op > n.head {
		n.append(&p.header)
		n.commitMax = max(n.commitMax, p.header.Commit)
	}
}

func (n *node) append(h *Header) {
	for op := n.head + 1; op < h.Op; op++ {
		n.entries[op].Header = Header{Op: op, Blank: true}
	}
	n.head = h.Op
	n.entries[h.Op] = Entry{Header: *h, IsFaulty: n.entries[h.Op].IsFaulty}
	n.write(h.Op)
}

// acknowledge what may be acknowledged.
func (n *node) acknowledge(op uint64) {
	l := limits.Production()
	isInLog := op <= n.head && (n.entries[op].Header.View == n.view || op >= ChainFrom(n, n.head, 1))
	a := Ack{Op: op, To: n.w.q.PrimaryOf(n.view), IsInLog: isInLog, IsWritten: n.written[op], IsNormal: n.status == statusNormal,
		View: n.view, LogView: n.disk.logView}
	if n.w.breaks == "log_view in memory only" || n.w.breaks == "ack before log_view is durable" {
		a.LogView = n.logView
	}
	if !n.up || a.Breaks(&n.w.q, &l) != RuleNone {
		return
	}
	n.w.acknowledge(n.id, n.view, &n.entries[op].Header)
}

// repair asks another node for a header or a prepare that is missing.
func (n *node) repair(from *node) {
	if !n.up || !from.up || n.logView != n.view || n.status == statusHead || !n.isDurable() {
		return
	}
	if _, op := HeaderGap(n, n.head, 1); op >= 1 && op < n.head {
		h := from.entries[op].Header
		f := Fill{Header: h, View: n.view, Head: n.entries[n.head].Header, First: 1, CommitMin: n.commitMin, Known: n.entries[op].Header}
		f.ChainFrom = ChainFrom(n, n.head, 1)
		f.ChainParent = n.entries[f.ChainFrom].Header.Parent
		if f.Refused() == "" {
			n.entries[op] = Entry{Header: h, IsFaulty: n.entries[op].IsFaulty}
			n.written[op] = false
		}
	}
	for op := NextPrepare(n, 1, n.head); op <= n.head; op = NextPrepare(n, op+1, n.head) {
		e, theirs := &n.entries[op], &from.entries[op]
		if theirs.IsHeld && from.written[op] && theirs.Header.Checksum == e.Header.Checksum && n.writes[op] == 0 {
			n.write(op)
			return
		}
	}
}
