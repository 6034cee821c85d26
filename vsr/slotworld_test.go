package vsr

import (
	"fmt"
	"strings"
	"testing"
)

// listing is what the durable headers say of the op under test
type listing uint8

const (
	listEndsBelow listing = iota // the list's head is the op before: a view's prepares follow
	listHas                      // its head is the op, with the prepare that wanted names
	listEndsAbove                // its tail is the op behind: the op is committed
)

// replica is one of several, seen at one slot. It is a value, so that all that can become of it can
// be walked through.
type replica struct {
	place   place
	running bool
	crashes uint8

	// In the superblock.
	logView, list, listed uint8 // listed: the prepare that listHas is of
	isCommitKnown         bool
	// In memory. They are those of the superblock when the replica has started, and ahead of it
	// while a write of it is under way.
	view, viewList, wanted uint8
	isClean                bool  // the slot may be written to at once
	held                   uint8 // the prepare that the log is taken to have

	truth truth
}

// truth is what nobody but the oracle knows.
type truth struct {
	owed        uint8    // bits of the prepares that may have been acknowledged, and that no later view has left out
	once        uint8    // bits of all that were ever acknowledged
	committed   uint8    // the one that every later view has
	chosen      [3]uint8 // by view: the prepare that it has, 0 if nothing depends on it yet
	isOldRotten bool     // a copy of the lap before went bad
	isRotten    bool     // a copy of the op went bad
}

// slotWorld is a configuration: which prepares there are.
type slotWorld struct {
	t     *testing.T
	all   entries
	op    int
	views int // 1 to views may write, each one prepare: number 1 to views
	old   int // number of the lap before; 0: reserved
	in    Input
	ring  []Slot

	breaks     string // a rule that this replica does not keep
	isEager    bool   // it writes before log_view is durable
	isRagged   bool   // a sector that was being written when the power failed may be bad
	crashesMax uint8
	seen       map[replica]struct{}
	unread     map[unreadCase]bool
	stack      []replica
	rows       map[string]int
	slots      []Slot
	decisions  []Decision
	failed     bool
	found      map[string]int // what the oracle said of a replica that breaks a rule
}

const ringSlots = 4

// newSlotWorld: sizes are those of the prepares of views 1, 2, ...; oldSectors that of the lap
// before, 0 for reserved.
func newSlotWorld(t *testing.T, sizes []int, oldSectors int, isSameBody bool) *slotWorld {
	w := &slotWorld{t: t, views: len(sizes), crashesMax: 2, seen: map[replica]struct{}{}, rows: map[string]int{}}
	w.unread = map[unreadCase]bool{}
	w.op = 1
	checkpoint := 0
	if oldSectors > 0 {
		w.op, checkpoint = 5, 3
	}
	w.all = entries{{}}
	for i, sectors := range sizes {
		body := 1
		if !isSameBody {
			body = i + 1
		}
		w.all = append(w.all, entry{op: w.op, view: i + 1, body: body, sectors: sectors})
	}
	before := len(w.all) // the ops around, of view 1
	w.all = append(w.all, entry{op: w.op - 1, view: 1, body: 7, sectors: 1}, entry{op: w.op + 1, view: 1, body: 7, sectors: 1})
	if oldSectors > 0 {
		w.old = len(w.all)
		w.all = append(w.all, entry{op: w.op - ringSlots, view: 1, body: 8, sectors: oldSectors})
	}
	w.in = Input{Replicas: 3, CheckpointOp: uint64(checkpoint), CheckpointChecksum: w.all.checksum(9)}
	w.in.PrepareMax = uint64(checkpoint + ringSlots - 1)
	w.ring = make([]Slot, ringSlots)
	w.decisions = make([]Decision, ringSlots)
	w.slots = make([]Slot, ringSlots)
	for i := range w.ring {
		w.ring[i] = Slot{P: Copy{Kind: KindReserved}, T: Copy{Kind: KindReserved}}
		if checkpoint > 0 { // behind it
			c := Copy{Kind: KindWhole, View: 1, Op: uint64(i)}
			w.ring[i] = Slot{P: c, T: c}
		}
	}
	c := Copy{Kind: KindWhole, View: 1, Op: uint64(w.op - 1), Checksum: w.all.checksum(before)}
	w.ring[(w.op-1)%ringSlots] = Slot{P: c, T: c}
	return w
}

func (w *slotWorld) start() replica {
	r := replica{place: reservedPlace(), running: true, isClean: true, logView: 1, view: 1}
	r.truth.chosen[0] = 1
	if w.old > 0 {
		p, t := w.all.sectorsOf(w.old)
		w.all.put(&r.place, w.old, p, t)
	}
	return r
}

// walk goes through all that can become of a replica.
func (w *slotWorld) walk() {
	w.push(w.start())
	for len(w.stack) > 0 && !w.failed {
		r := w.stack[len(w.stack)-1]
		w.stack = w.stack[:len(w.stack)-1]
		if r.running {
			w.run(r)
		} else {
			w.restart(r)
		}
		w.decay(r)
	}
}

func (w *slotWorld) push(r replica) {
	if r.running {
		w.acknowledge(&r)
	}
	if _, ok := w.seen[r]; !ok {
		w.seen[r] = struct{}{}
		w.stack = append(w.stack, r)
	}
}

// acknowledge: the replica acknowledges what it takes to be written, when the view for which it
// does so is durable.
func (w *slotWorld) acknowledge(r *replica) {
	isDurable := r.view == r.logView || w.breaks == "acknowledges before log_view is durable"
	if r.wanted != 0 && r.held == r.wanted && r.isClean && isDurable {
		r.truth.owed |= 1 << r.held
		r.truth.once |= 1 << r.held
	}
}

// run is every step of a replica that runs.
func (w *slotWorld) run(r replica) {
	w.crash(r)
	if r.view > r.logView { // the superblock becomes durable
		next := r
		next.logView, next.list, next.listed = r.view, r.viewList, r.wanted
		next.isCommitKnown = r.isCommitKnown || listing(r.viewList) == listEndsAbove
		w.push(next)
	}
	if r.wanted == 0 && int(r.view) <= w.views { // the primary's prepare of this view comes
		next := r
		next.wanted = r.view
		w.push(next)
	}
	if r.held != 0 && !w.all.hasAll(r.place, int(r.held)) && r.isClean { // a read finds the damage
		next := r
		next.isClean = false
		w.push(next)
	}
	isEager := w.isEager || w.breaks == "writes before log_view is durable"
	if r.wanted != 0 && (r.held != r.wanted || !r.isClean) && (isEager || r.view == r.logView) {
		w.write(r)
	}
	if int(r.view) < w.views && r.view == r.logView { // the start of a view comes
		w.startView(r)
	}
}

// startView takes every view that may begin next, with every list that it may have. What it leaves
// out was not committed, by the choice of the log. A view has one prepare of the op: its own, or
// that of a view before.
func (w *slotWorld) startView(r replica) {
	for view := int(r.view) + 1; view <= w.views; view++ {
		for number := 1; number <= view; number++ {
			if r.truth.committed != 0 && number != int(r.truth.committed) ||
				r.truth.chosen[view-1] != 0 && int(r.truth.chosen[view-1]) != number ||
				r.truth.chosen[number-1] != 0 && int(r.truth.chosen[number-1]) != number {
				continue
			}
			next := r
			next.view = uint8(view)
			next.truth.chosen[view-1], next.truth.chosen[number-1] = uint8(number), uint8(number)
			next.truth.owed &= 1 << number
			for _, list := range []listing{listEndsBelow, listHas, listEndsAbove} {
				next.viewList, next.wanted, next.truth.committed = uint8(list), uint8(number), r.truth.committed
				switch list {
				case listEndsBelow:
					if number < view {
						continue
					}
					next.wanted = 0
				case listEndsAbove:
					next.truth.committed = uint8(number)
				}
				if next.held = r.held; r.held != next.wanted {
					next.held = 0
				}
				w.push(next)
			}
		}
	}
}

// write of the wanted prepare: into a clean slot both copies of a small one at once; else, and of a
// large one, the twin behind the prepare, and a whole copy is left alone.
func (w *slotWorld) write(r replica) {
	number := int(r.wanted)
	hasPrepare := w.all.isWholeIn(r.place.p[:], number)
	hasTwin := w.all[number].isSmall() && w.all.isWholeIn(r.place.t[:], number)
	end := func(after place) {
		next := r
		next.place, next.held, next.isClean = after, r.wanted, true
		w.push(next)
	}
	tear := func(after place) {
		next := r
		next.place = after
		w.crash(next)
	}
	p, t := w.all.sectorsOf(number)
	whole := r.place
	switch isSmall := w.all[number].isSmall(); {
	case r.isClean && w.breaks == "writes the header of a large prepare beside it":
		w.all.eachOrder(r.place, number, true, w.isRagged, tear)
	case r.isClean || w.breaks == "mends both copies at once":
		w.all.eachOrder(r.place, number, isSmall, w.isRagged, tear)
	case hasTwin:
		t = 0
		w.all.eachWrite(r.place, number, p, 0, w.isRagged, tear)
	case hasPrepare:
		p = 0
		w.all.eachWrite(r.place, number, 0, t, w.isRagged, tear)
	default:
		w.all.eachOrder(r.place, number, false, w.isRagged, tear)
	}
	w.all.put(&whole, number, p, t)
	end(whole)
	// One copy was not written, although the disk says so.
	if !r.truth.isRotten {
		r.truth.isRotten = true
		lost := r.place
		w.all.put(&lost, number, p, 0)
		end(lost)
		lost = r.place
		w.all.put(&lost, number, 0, t)
		end(lost)
	}
}

// decay: a copy of an op goes bad, one in all of the op under test and one in all of the lap
// before.
func (w *slotWorld) decay(r replica) {
	isOld := true
	for _, s := range append(r.place.p[:], r.place.t[:]...) {
		for number := 1; number <= w.views; number++ {
			for i := range w.all[number].sectors {
				isOld = isOld && s != w.all[number].at(number, i)
			}
		}
	}
	switch {
	case isOld && r.truth.isOldRotten, !isOld && r.truth.isRotten:
		return
	case isOld:
		r.truth.isOldRotten = true
	default:
		r.truth.isRotten = true
	}
	r.place.rot(func(after place) {
		next := r
		next.place = after
		w.push(next)
	})
}

func (w *slotWorld) crash(r replica) {
	if r.crashes == w.crashesMax {
		return
	}
	r.crashes++
	r.running, r.isClean = false, false
	r.view, r.viewList, r.wanted, r.held = 0, 0, 0, 0
	w.push(r)
}

// restart recovers, has the oracle judge it, and writes what is to be fixed; the power may fail
// meanwhile.
func (w *slotWorld) restart(r replica) {
	in := w.in
	in.View, in.LogView = uint32(r.logView), uint32(r.logView)
	op := uint64(w.op)
	in.CommitMax = op - 1
	before := Header{Op: op - 1, Checksum: w.all.checksum(w.views + 1)}
	switch listing(r.list) {
	case listEndsBelow:
		in.Headers = []Header{before}
	case listHas:
		in.Headers = []Header{{Op: op, Checksum: w.all.checksum(int(r.listed))}, before}
	case listEndsAbove:
		in.Headers = []Header{{Op: op + 1, Checksum: w.all.checksum(w.views + 2)}}
	}
	if r.isCommitKnown {
		in.CommitMax = op
	}
	copy(w.slots, w.ring)
	slot := op % ringSlots
	w.slots[slot] = w.all.classify(&r.place, int(w.in.CheckpointOp))
	result, refusal := Recover(&in, w.slots, w.decisions)
	if refusal != nil {
		w.fail(r, "refused: "+refusal.Reason, nil)
		return
	}
	d := &result.Decisions[slot]
	w.rows[fmt.Sprintf("%c %v", d.Row, d.Verdict)]++
	if reason := w.judgeUnread(&r, &in); reason != "" {
		w.fail(r, reason, d)
		return
	}
	if result, refusal = Recover(&in, w.slots, w.decisions); refusal != nil {
		w.fail(r, "refused: "+refusal.Reason, nil)
		return
	}
	view := answers{head: int(result.OpHead), mayBeAbove: result.Uncertain.Has(op), nacks: result.Nack(op), isFaulty: d.Verdict == Faulty}
	for number := 1; number <= w.views; number++ {
		if result.Present(op, w.all.checksum(number)) {
			view.has |= 1 << number
			r.held = uint8(number)
		}
	}
	if reason := w.judge(&r, &view); reason != "" {
		w.fail(r, reason, d)
		return
	}
	r.running = true
	r.view, r.viewList, r.isClean = r.logView, r.list, d.Verdict != Faulty
	switch {
	case listing(r.list) != listEndsBelow:
		r.wanted = r.listed
	case w.all[r.held].view == int(r.view):
		r.wanted = r.held
	}
	if r.wanted != 0 && (r.held != r.wanted || !r.isClean) {
		w.rows[fmt.Sprintf("%c written", d.Row)]++ // the next step does it, see write
	}
	from, p, t := 0, uint(0), uint(0)
	for number := range w.all {
		if number == 0 {
			continue
		}
		switch {
		case d.Verdict == FixTwin && r.place.p[0] == w.all[number].at(number, 0):
			from = number
			_, t = w.all.sectorsOf(number)
			if uint64(w.all[number].op) <= w.in.CheckpointOp {
				t = 1
			}
		case d.Verdict == FixPrepare && r.place.t[0] == w.all[number].at(number, 0):
			from = number
			p, _ = w.all.sectorsOf(number)
		}
	}
	w.all.eachWrite(r.place, from, p, t, w.isRagged, func(after place) { // p or t is none
		next := r
		next.place = after
		w.crash(next)
	})
	if w.breaks != "acknowledges before the mend of recovery is durable" {
		w.all.put(&r.place, from, p, t)
	}
	w.push(r)
}

// judgeUnread judges what the replica would say if reads of one copy or of both failed: of their
// headers, or only of the twin's body. The disk is as it was, so this is no fault.
func (w *slotWorld) judgeUnread(r *replica, in *Input) string {
	s := &w.slots[w.op%ringSlots]
	whole := *s
	defer func() { *s = whole }()
	known := unreadCase{whole, r.truth.owed, r.logView, r.list, r.listed, r.isCommitKnown}
	if r.truth.owed == 0 || w.unread[known] {
		return ""
	}
	w.unread[known] = true
	bad := Copy{IsUnread: true}
	body := whole.T
	if body.Kind == KindWhole {
		body.Kind = KindTorn
	}
	body.IsUnread = true
	for _, t := range []Copy{whole.T, bad, body} {
		for _, p := range []Copy{whole.P, bad} {
			s.P, s.T = p, t
			result, refusal := Recover(in, w.slots, w.decisions)
			switch op := uint64(w.op); {
			case refusal != nil:
				return "refused: " + refusal.Reason
			case !p.IsUnread && !t.IsUnread:
			case result.Nack(op):
				return "an op that may have been acknowledged is nacked because a read failed"
			case result.OpHead < op && !result.Uncertain.Has(op):
				return "an op that may have been acknowledged is above a head that is said to be certain, because a read failed"
			}
		}
	}
	return ""
}

// unreadCase is all on which judgeUnread depends.
type unreadCase struct {
	slot                        Slot
	owed, logView, list, listed uint8
	isCommitKnown               bool
}

func (w *slotWorld) fail(r replica, reason string, d *Decision) {
	if w.breaks != "" {
		w.found[reason]++
		return
	}
	w.failed = true
	text := strings.Builder{}
	for i, e := range w.all {
		fmt.Fprintf(&text, "\n  %d: %+v", i, e)
	}
	w.t.Errorf("%s\n%+v\n%+v\nslot %+v%s", reason, r, d, w.slots[w.op%ringSlots], text.String())
}
