package vsr

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	aloneOps   = 3 // the head at first, and two ops behind it
	startsMax  = 3
	aloneSlots = 4
)

// alone is a single replica, as a value.
type alone struct {
	places    [aloneSlots]place
	running   bool
	crashes   uint8 // each start has a view of its own
	head      uint8 // of the ops under test, counted from 0
	held      [aloneOps]uint8
	commitMax uint8 // in the superblock

	truth aloneTruth
}

// aloneTruth is what nobody but the oracle knows.
type aloneTruth struct {
	acknowledged [aloneOps]uint8 // the prepare of each op that was, 0: none
	rotten       uint8           // bits of the ops of which a copy went bad
	oldRotten    uint8           // of the laps before in the same slots
}

// aloneWorld is a configuration.
type aloneWorld struct {
	t       *testing.T
	all     entries
	first   int                                         // the op that is the head at first
	numbers [aloneOps][startsMax + 1][startsMax + 1]int // of op, in a view, on the op before of a view
	in      Input
	ring    []place

	breaks     string
	crashesMax uint8
	seen       map[alone]struct{}
	stack      []alone
	rows       map[string]int
	found      map[string]int
	slots      []Slot
	decisions  []Decision
	failed     bool
}

// newAloneWorld: sizes are those of the ops under test; oldSectors that of the lap before, 0 for
// reserved.
func newAloneWorld(t *testing.T, sizes [aloneOps]int, oldSectors int, isSameBody bool) *aloneWorld {
	w := &aloneWorld{t: t, first: 1, crashesMax: startsMax - 1, seen: map[alone]struct{}{}, rows: map[string]int{}, all: entries{{}}}
	w.slots, w.decisions = make([]Slot, aloneSlots), make([]Decision, aloneSlots)
	checkpoint := 0
	if oldSectors > 0 {
		w.first, checkpoint = 4, 3
	}
	for i := range aloneSlots {
		l := reservedPlace()
		if oldSectors > 0 || i == 0 {
			number := len(w.all)
			w.all = append(w.all, entry{op: i, body: 20 + i, sectors: max(1, oldSectors)})
			p, t := w.all.sectorsOf(number)
			w.all.put(&l, number, p, t)
		}
		w.ring = append(w.ring, l)
	}
	root := len(w.all) - 1 // the checkpoint's op
	w.in = Input{Replicas: 1, CheckpointOp: uint64(checkpoint), CheckpointChecksum: w.all.checksum(root)}
	w.in.PrepareMax = uint64(checkpoint + aloneSlots)
	if checkpoint == 0 {
		w.in.PrepareMax--
	}
	for i := range aloneOps {
		for view := 1; view <= startsMax; view++ {
			for before := 0; before <= view; before++ {
				e := entry{op: w.first + i, view: view, parent: root, body: 1 + i, sectors: sizes[i]}
				switch {
				case i == 0 && (view > 1 || before > 0), i > 0 && before == 0, i == 1 && before > 1:
					continue
				case i == 1:
					e.parent = w.numbers[0][1][0]
				case i == 2:
					e.parent = w.numbers[1][before][1]
				}
				if !isSameBody {
					e.body += 4 * view
				}
				w.numbers[i][view][before] = len(w.all)
				w.all = append(w.all, e)
			}
		}
	}
	return w
}

func (w *aloneWorld) slotOf(i int) int { return (w.first + i) % aloneSlots }

func (w *aloneWorld) walk() {
	r := alone{running: true, places: [aloneSlots]place(w.ring)}
	number := w.numbers[0][1][0]
	p, t := w.all.sectorsOf(number)
	w.all.put(&r.places[w.slotOf(0)], number, p, t)
	r.held[0], r.truth.acknowledged[0] = uint8(number), uint8(number)
	w.push(r)
	for len(w.stack) > 0 && !w.failed {
		r := w.stack[len(w.stack)-1]
		w.stack = w.stack[:len(w.stack)-1]
		if r.running {
			w.crash(r)
			w.append(r)
		} else {
			w.restart(r)
		}
		w.decay(r)
	}
}

func (w *aloneWorld) push(r alone) {
	if _, ok := w.seen[r]; !ok {
		w.seen[r] = struct{}{}
		w.stack = append(w.stack, r)
	}
}

func (w *aloneWorld) crash(r alone) {
	if r.crashes == w.crashesMax {
		return
	}
	r.crashes++
	r.running, r.head, r.held = false, 0, [aloneOps]uint8{}
	w.push(r)
}

// append writes the next op. It is acknowledged when both copies are durable.
func (w *aloneWorld) append(r alone) {
	i := int(r.head) + 1
	if i == aloneOps {
		return
	}
	number := w.numbers[i][r.crashes+1][w.all[r.held[r.head]].view]
	slot := w.slotOf(i)
	isSmall := w.all[number].isSmall()
	atOnce := isSmall || w.breaks == "writes the header of a large prepare beside it"
	w.all.eachOrder(r.places[slot], number, atOnce, false, func(after place) {
		next := r
		next.places[slot] = after
		if isSmall && w.breaks == "acknowledges with one copy" {
			if w.all.isWholeIn(after.p[:], number) || w.all.isWholeIn(after.t[:], number) {
				next.truth.acknowledged[i] = uint8(number)
			}
		}
		w.crash(next)
	})
	end := func(p, t uint, isRotten bool) {
		next := r
		next.head, next.held[i], next.truth.acknowledged[i] = uint8(i), uint8(number), uint8(number)
		if isRotten {
			next.truth.rotten |= 1 << i
		}
		w.all.put(&next.places[slot], number, p, t)
		w.push(next)
	}
	p, t := w.all.sectorsOf(number)
	end(p, t, false)
	end(p, 0, true) // the disk has lost a write
	end(0, t, true)
}

// decay: one copy of an op goes bad.
func (w *aloneWorld) decay(r alone) {
	for i := range aloneOps {
		slot := w.slotOf(i)
		next := r
		switch isOld := r.places[slot] == w.ring[slot]; {
		case isOld && r.truth.oldRotten == 0:
			next.truth.oldRotten |= 1 << i
		case !isOld && r.truth.rotten>>i&1 == 0 && r.truth.oldRotten>>i&1 == 0:
			next.truth.rotten |= 1 << i
		default:
			continue
		}
		r.places[slot].rot(func(after place) {
			next.places[slot] = after
			w.push(next)
		})
	}
}

// restart recovers, has the oracle judge it, and writes what is to be fixed, one slot after the
// other; the power may fail meanwhile.
func (w *aloneWorld) restart(r alone) {
	for i := range w.slots {
		w.slots[i] = w.all.classify(&r.places[i], int(w.in.CheckpointOp))
	}
	in := w.in
	in.CommitMax = uint64(w.first + int(r.commitMax))
	result, refusal := Recover(&in, w.slots, w.decisions)
	reason := ""
	if refusal != nil {
		w.rows[string(rune(max(refusal.Row, '-')))+" refuse"]++
		reason = w.judgeRefusal(&r)
	} else {
		for i := range w.decisions {
			w.rows[fmt.Sprintf("%c %v", w.decisions[i].Row, w.decisions[i].Verdict)]++
		}
		for i := range aloneOps {
			for number := range w.all {
				op := uint64(w.first + i)
				if w.all[number].op == int(op) && result.OpHead >= op && result.Present(op, w.all.checksum(number)) {
					r.head, r.held[i] = uint8(i), uint8(number)
				}
			}
		}
		reason = w.judge(&r, int(result.OpHead))
	}
	if reason != "" {
		if w.breaks != "" {
			w.found[reason]++
			return
		}
		w.failed = true
		text := strings.Builder{}
		for i, e := range w.all {
			fmt.Fprintf(&text, "\n  %d: %+v", i, e)
		}
		w.t.Errorf("%s\n%+v\n%+v, %+v\nslots %+v%s", reason, r, result, refusal, w.slots, text.String())
	}
	if reason != "" || refusal != nil {
		return
	}
	for i := range w.decisions {
		from, p, t := 0, uint(0), uint(0)
		for number := 1; number < len(w.all); number++ {
			switch {
			case w.decisions[i].Verdict == FixTwin && r.places[i].p[0] == w.all[number].at(number, 0):
				from = number
				_, t = w.all.sectorsOf(number)
				if w.all[number].op <= int(in.CheckpointOp) {
					t = 1
				}
			case w.decisions[i].Verdict == FixPrepare && r.places[i].t[0] == w.all[number].at(number, 0):
				from = number
				p, _ = w.all.sectorsOf(number)
			}
		}
		if w.decisions[i].Verdict == FixTwin && from == 0 {
			r.places[i].t[0] = sectorReserved
		}
		w.all.eachWrite(r.places[i], from, p, t, false, func(after place) {
			next := r
			next.places[i] = after
			w.crash(next)
		})
		w.all.put(&r.places[i], from, p, t)
	}
	r.running, r.commitMax = true, r.head
	for i := range r.truth.acknowledged {
		r.truth.acknowledged[i] = max(r.truth.acknowledged[i], r.held[i]) // a retry is answered
	}
	w.push(r)
}

// Goal: a single replica has every op that it may have acknowledged, or refuses to start, and it
// refuses nothing that crashes alone leave. All that can become of its log is walked through: two
// ops behind the head, small and large, over an empty slot or an older entry, prepared anew by each
// start; any sectors of what is being written or mended; two crashes; one copy of each op that goes
// bad, or is not written at all.
func TestLogOfOneExhaustive(t *testing.T) {
	shards := make([]map[string]int, 4)
	t.Run("shards", func(t *testing.T) {
		for oldSectors := range shards {
			t.Run(fmt.Sprintf("before-%d", oldSectors), func(t *testing.T) {
				t.Parallel()
				shards[oldSectors] = walkAloneShard(t, oldSectors)
			})
		}
	})
	for _, want := range strings.Split("A refuse,B torn,C refuse,C faulty,C torn,D fix the twin,E fix the twin,G fix the twin,K refuse,"+
		"L clean,M fix the twin,N refuse,P clean,Q fix the prepare,Q torn,R torn,S fix the twin,T fix the prepare,T fix the twin", ",") {
		count := 0
		for _, rows := range shards {
			count += rows[want]
		}
		if count == 0 {
			t.Errorf("never reached: %s", want)
		}
	}
	t.Log(shards)
}

func walkAloneShard(t *testing.T, oldSectors int) map[string]int {
	rows := map[string]int{}
	short := [4][][aloneOps]int{ // by the sectors of the lap before
		0: {{2, 1, 3}, {2, 2, 2}, {3, 3, 2}, {2, 3, 3}},
		2: {{2, 1, 3}, {3, 3, 2}},
		3: {{2, 2, 2}, {2, 3, 3}},
	}
	for i := range 27 {
		sizes := [aloneOps]int{1 + i/9, 1 + i/3%3, 1 + i%3}
		if !*longFlag && !slices.Contains(short[oldSectors], sizes) {
			continue
		}
		for _, isSameBody := range []bool{false, true} {
			w := newAloneWorld(t, sizes, oldSectors, isSameBody)
			w.rows = rows
			w.walk()
			if w.failed {
				t.Fatalf("sizes %v, before them %d, the same body: %v", sizes, oldSectors, isSameBody)
			}
		}
	}
	return rows
}

// The oracle finds single replicas that do not keep the rules on which the table rests.
func TestLogOfOneRests(t *testing.T) {
	for _, c := range []struct{ breaks, want string }{
		{"acknowledges with one copy", "a log is refused of which each op has a good copy"},
		{"writes the header of a large prepare beside it", "what crashes alone have left is refused"},
	} {
		w := newAloneWorld(t, [aloneOps]int{2, 2, 3}, 0, false)
		w.breaks, w.found = c.breaks, map[string]int{}
		w.walk()
		if w.found[c.want] == 0 {
			t.Errorf("a replica that %s is not found: %v", c.breaks, w.found)
		}
	}
}
