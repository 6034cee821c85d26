package vsr

import (
	"math/rand/v2"

	"ledger/wire"
)

// write begins the write of an op's prepare, or waits for the one that is under way.
func (n *node) write(op uint64) {
	e := &n.entries[op]
	n.written[op], e.IsHeld = false, true
	if n.writes[op] != 0 {
		if n.target[op] != e.Header {
			n.w.marks["write waited for an old one"]++
		}
		return
	}
	n.atOnce[op] = (!n.isRotten[op] || n.w.breaks == "repair through the append path") && !n.w.isLarge(&e.Header)
	n.writes[op], n.target[op] = 1, e.Header
}

// finish a step of a write. What is written may be a truncated prepare. It lands all the same, and
// does not count for the one that has taken its place.
func (n *node) finish(op uint64) {
	if !n.up || n.writes[op] == 0 {
		return
	}
	h := &n.target[op]
	if n.writes[op] == 1 || n.atOnce[op] {
		n.slots[op].P = wholeCopy(h)
	}
	if n.writes[op] == 1 && !n.atOnce[op] {
		n.writes[op] = 2
		return
	}
	n.slots[op].T = n.w.twinCopy(h)
	n.writes[op], n.isRotten[op] = 0, false
	e := &n.entries[op]
	if e.IsHeld && e.Header == *h {
		n.written[op], e.IsFaulty = true, false
		return
	}
	if n.w.marks["old write landed"]++; e.IsHeld {
		n.write(op)
	}
}

// notice that the prepare of op does not read back right.
func (n *node) notice(op int) {
	e := &n.entries[op]
	e.IsHeld, e.IsFaulty, n.written[op], n.isRotten[op] = false, true, false, true
}

// crash: the power fails. Of what was being written, any of the copies may be old, torn or new.
func (n *node) crash(random *rand.Rand) {
	for op := range n.writes {
		if n.writes[op] == 0 {
			continue
		}
		h := &n.target[op]
		tear := func(to *Copy, torn, written Copy) {
			switch random.IntN(3) {
			case 1:
				*to = torn
			case 2:
				*to = written
			}
		}
		if n.writes[op] == 1 || n.atOnce[op] {
			tear(&n.slots[op].P, Copy{}, wholeCopy(h))
		}
		if n.writes[op] == 2 || n.atOnce[op] {
			tear(&n.slots[op].T, n.tornTwin(random, op), n.w.twinCopy(h))
		}
	}
	if random.IntN(2) == 0 {
		n.disk.commitMax = 0 // it is a hint
	}
	n.w.log("%d crashes; its slots: %s", n.id, lazy(n.slotsText))
	*n = node{w: n.w, id: n.id, slots: n.slots, disk: n.disk, rotted: n.rotted}
}

// tornTwin is what a crash leaves of a twin that was being written. Its first sector, with the
// header, is the new or the old one. The twin of a large prepare has no other.
func (n *node) tornTwin(random *rand.Rand, op int) Copy {
	torn := n.slots[op].T
	switch {
	case n.w.isLarge(&n.target[op]):
	case random.IntN(2) == 0:
		torn = wholeCopy(&n.target[op])
		torn.Kind = KindTorn
	case torn.Kind == KindWhole:
		torn.Kind = KindTorn
	}
	return torn
}

// restart recovers.
func (n *node) restart(random *rand.Rand) {
	if n.up {
		return
	}
	in := Input{Replicas: n.w.q.Replicas, PrepareMax: worldOps, CheckpointChecksum: wire.Checksum{1},
		View: n.disk.view, LogView: n.disk.logView, CommitMax: n.disk.commitMax,
		Headers: n.disk.list.Headers[:n.disk.list.Count], Uncertain: n.disk.list.Uncertain}
	r, refusal := Recover(&in, n.slots[:], make([]Decision, machineSlots))
	if refusal != nil {
		return // each slot is damaged
	}
	n.up, n.super = true, n.disk
	n.logView, n.head, n.uncertain = in.LogView, r.OpHead, r.Uncertain
	if n.w.breaks == "a restart forgets what it has not" {
		n.uncertain = Set{}
	}
	n.list.Uncertain = n.uncertain
	m := recoveredLog{&machine{list: n.list}, r}
	for op := range uint64(machineSlots) {
		n.entries[op] = m.Entry(op)
		n.isRotten[op] = n.entries[op].IsFaulty
		if n.written[op] = n.entries[op].IsHeld; n.written[op] && op > 0 { // what is to be mended is mended
			n.slots[op] = Slot{wholeCopy(&n.entries[op].Header), n.w.twinCopy(&n.entries[op].Header)}
		}
	}
	for i := range n.nonce {
		n.nonce[i] = byte(random.Uint32())
	}
	switch {
	case n.logView < n.view:
		n.status, n.ballots = statusChange, make([]*Ballot, n.w.q.Replicas)
	case !r.Certain():
		n.status = statusHead
	case n.w.q.PrimaryOf(n.view) == n.id && n.view < worldViews:
		n.enter(n.view + 1)
	}
	n.w.log("%d starts: %s, uncertain: %s", n.id, lazy(n.text), lazy(n.uncertain.text))
}

func wholeCopy(h *Header) Copy {
	return Copy{Kind: KindWhole, View: h.View, Op: h.Op, Commit: h.Commit, Checksum: h.Checksum, Parent: h.Parent}
}

// isLarge tells whether a prepare's twin is only its header. Two prepares of one op may differ.
func (w *world) isLarge(h *Header) bool { return w.isMixed && (h.Op+uint64(h.View))%3 == 0 }

func (w *world) twinCopy(h *Header) Copy {
	c := wholeCopy(h)
	if w.isLarge(h) {
		c.Kind = KindHeader
	}
	return c
}
