package vsr

import (
	"testing"

	"ledger/wire"
)

// A tale is one way in which a slot came to hold what it holds. The op of the slot is written with
// op 0, and the lap before with op -4.
type tale struct {
	what      string
	slot      Slot
	view      int  // of the prepare that was acknowledged; 0: none was
	isFaulted bool // a copy went bad
}

func tales(op uint64) []tale {
	old := Copy{Kind: KindWhole, View: 1, Op: op - ringSlots}
	at := func(kind Kind, view uint32) Copy {
		return Copy{Kind: kind, View: view, Op: op, Checksum: wire.Checksum{byte(view), byte(op)}}
	}
	bad := Copy{}
	var all []tale
	add := func(what string, p, t Copy, view int, isFaulted bool) {
		all = append(all, tale{what, Slot{p, t}, view, isFaulted})
	}
	add("nothing came", old, old, 0, false)
	for view := uint32(1); view <= 3; view++ {
		whole, header, torn := at(KindWhole, view), at(KindHeader, view), at(KindTorn, view)
		add("a small one, acknowledged", whole, whole, int(view), false)
		add("its prepare rotted", bad, whole, int(view), true)
		add("its twin rotted", whole, bad, int(view), true)
		add("its twin's body rotted", whole, torn, int(view), true)
		add("a large one, acknowledged", whole, header, int(view), false)
		add("its prepare rotted", bad, header, int(view), true)
		add("its prepare was lost", old, header, int(view), true)
		add("its twin was lost", whole, old, int(view), true)
		add("torn", bad, torn, 0, false)
		add("torn, no sector of the prepare landed", old, torn, 0, false)
		add("written, and not acknowledged", whole, old, 0, false)
	}
	add("torn before the twin", bad, old, 0, false)
	return all
}

// Goal: no op that may have been acknowledged lies above a head that is said to be certain, and
// crashes alone leave no head uncertain: all that can have come to three slots behind the
// checkpoint, under durable headers that end before, in or behind them, with views that are those
// of log_view, of before, or of one that never became durable.
func TestHeadExhaustive(t *testing.T) {
	const checkpoint = 7 // ops 8 to 10 in slots 0 to 2, and 11 in slot 3
	in := Input{Replicas: 3, CheckpointOp: checkpoint, PrepareMax: checkpoint + ringSlots, CommitMax: checkpoint, View: 2, LogView: 2}
	first, second, third := tales(8), tales(9), tales(10)
	decisions, slots := make([]Decision, ringSlots), make([]Slot, ringSlots)
	old := Copy{Kind: KindWhole, View: 1, Op: 7}
	slots[3] = Slot{old, old}
	certain, uncertain := 0, 0
	for listHead := uint64(7); listHead <= 11; listHead++ {
		in.Headers = nil
		for op := listHead; op >= 7; op-- { // of view 1 all, as this view found them
			in.Headers = append(in.Headers, Header{Op: op, Checksum: wire.Checksum{1, byte(op)}})
		}
		for i := range first {
			for j := range second {
				for k := range third {
					told := [3]*tale{&first[i], &second[j], &third[k]}
					for n, tale := range told {
						slots[n] = tale.slot
					}
					r, refusal := Recover(&in, slots, decisions)
					if refusal != nil {
						t.Fatalf("refused: %s", refusal.Reason)
					}
					isFaulted := false
					for n, tale := range told {
						op := uint64(8 + n)
						isKept := tale.view == 1 && op <= listHead || tale.view == 2 && op > listHead // by the view that is durable
						isFaulted = isFaulted || tale.isFaulted
						switch {
						case isKept && op > r.OpHead && !r.Uncertain.Has(op):
							t.Fatalf("op %d may have been acknowledged above head %d: %+v, list to %d", op, r.OpHead, told, listHead)
						case isKept && (r.Nack(op) || !r.Present(op, wire.Checksum{byte(tale.view), byte(op)}) && !tale.isFaulted):
							t.Fatalf("op %d may have been acknowledged and is not there: %+v, list to %d", op, told, listHead)
						case !isKept && !tale.isFaulted && !r.Nack(op) && r.Held(op) == nil:
							t.Fatalf("op %d was not acknowledged and may not be nacked: %+v, list to %d, %+v", op, told, listHead, decisions)
						case r.Uncertain.Has(op) && (op <= r.OpHead || !tale.isFaulted):
							t.Fatalf("op %d makes head %d uncertain: %+v, list to %d", op, r.OpHead, told, listHead)
						}
					}
					if !r.Certain() && !isFaulted {
						t.Fatalf("crashes alone leave head %d uncertain: %+v, list to %d", r.OpHead, told, listHead)
					}
					c := r.Held(r.OpHead)
					if r.OpHead > listHead && (c == nil || c.Checksum != r.HeadChecksum || c.View != 2) || r.OpHead < listHead {
						t.Fatalf("head %d, list to %d: %+v", r.OpHead, listHead, told)
					}
					if r.Certain() {
						certain++
					} else {
						uncertain++
					}
				}
			}
		}
	}
	if certain == 0 || uncertain == 0 {
		t.Errorf("%d heads certain, %d not", certain, uncertain)
	}
}

// In a view change the head is the list's, and what is uncertain is what was written beside it,
// whatever the log says now.
func TestHeadOfAViewChange(t *testing.T) {
	old, next := Copy{Kind: KindWhole, View: 1, Op: 7}, Copy{Kind: KindWhole, View: 2, Op: 10}
	in := Input{Replicas: 3, CheckpointOp: 7, PrepareMax: 11, View: 3, LogView: 2}
	in.Headers = []Header{{Op: 8, Checksum: wire.Checksum{8}}, {Op: 7, Blank: true}}
	in.Uncertain.Add(9)
	slots := []Slot{{old, old}, {Copy{}, Copy{}}, {Copy{}, Copy{}}, {old, old}}
	r, refusal := Recover(&in, slots, make([]Decision, ringSlots))
	if refusal != nil || r.OpHead != 8 || r.HeadChecksum != (wire.Checksum{8}) || r.Uncertain != in.Uncertain {
		t.Fatalf("%+v, %+v", r, refusal)
	}
	slots[2] = Slot{next, next}
	in.View = 2 // and when the view had begun, the log says it
	r, refusal = Recover(&in, slots, make([]Decision, ringSlots))
	if refusal != nil || r.OpHead != 10 || !r.Certain() {
		t.Fatalf("%+v, %+v", r, refusal)
	}
	slots[2] = Slot{Copy{}, Copy{Kind: KindHeader, View: 2, Op: 10}}
	r, refusal = Recover(&in, slots, make([]Decision, ringSlots))
	want := Set{}
	want.Add(9)
	want.Add(10)
	if refusal != nil || r.OpHead != 8 || r.Uncertain != want {
		t.Fatalf("%+v, %+v", r, refusal)
	}
}

// A suffix that a view change truncated says nothing of the slots before it. Of a power cut of all
// replicas, op 9 is torn on each and op 10, of the view before, lies behind it: if it counted,
// nobody could nack op 9, and no view would form.
func TestTruncatedSuffixIsDroppedFirst(t *testing.T) {
	whole := func(op uint64, view uint32) Copy {
		return Copy{Kind: KindWhole, View: view, Op: op, Checksum: wire.Checksum{byte(view), byte(op)}}
	}
	in := Input{Replicas: 3, CheckpointOp: 7, PrepareMax: 11, CommitMax: 8, View: 2, LogView: 2}
	in.Headers = []Header{{Op: 8, Checksum: wire.Checksum{1, 8}}}
	slots := []Slot{{whole(8, 1), whole(8, 1)}, {Copy{}, whole(5, 1)}, {whole(10, 1), whole(10, 1)}, {whole(7, 1), whole(7, 1)}}
	r, refusal := Recover(&in, slots, make([]Decision, ringSlots))
	if refusal != nil || r.OpHead != 8 || !r.Certain() || !r.Nack(9) || !r.Nack(10) {
		t.Fatalf("%+v, %+v", r, refusal)
	}
}

// What a prepare says of commits counts only if the prepare does. One of view 3 was written before
// its start_view was durable: its number vouches for the log of view 3, and here is that of view 2.
// The same holds for a suffix that view 2 left out, and for an op that it replaced.
func TestCommitsOfWhatIsDropped(t *testing.T) {
	whole := func(op, commit uint64, view uint32) Copy {
		return Copy{Kind: KindWhole, View: view, Op: op, Commit: commit, Checksum: wire.Checksum{byte(view), byte(op)}}
	}
	in := Input{Replicas: 3, CheckpointOp: 7, PrepareMax: 11, CommitMax: 7, View: 2, LogView: 2}
	in.Headers = []Header{{Op: 9, Checksum: wire.Checksum{1, 9}}, {Op: 8, Checksum: wire.Checksum{1, 8}}}
	for _, c := range []struct {
		what string
		last Copy
		want uint64
	}{
		{"it counts", whole(10, 9, 2), 9},
		{"of a view after log_view", whole(10, 9, 3), 8},
		{"of a suffix that was left out", whole(10, 9, 1), 8},
	} {
		for _, s := range []Slot{{c.last, whole(6, 5, 1)}, {whole(6, 5, 1), c.last}, {c.last, c.last}} {
			slots := []Slot{{whole(8, 7, 1), whole(8, 7, 1)}, {whole(9, 8, 1), whole(9, 8, 1)}, s, {whole(7, 6, 1), whole(7, 6, 1)}}
			r, refusal := Recover(&in, slots, make([]Decision, ringSlots))
			if refusal != nil || r.CommitMax != c.want {
				t.Errorf("%s: committed %d, want %d (%+v)", c.what, r.CommitMax, c.want, refusal)
			}
		}
	}
	replaced := whole(9, 8, 2)
	slots := []Slot{{whole(8, 7, 1), whole(8, 7, 1)}, {replaced, replaced}, {}, {whole(7, 6, 1), whole(7, 6, 1)}}
	if r, refusal := Recover(&in, slots, make([]Decision, ringSlots)); refusal != nil || r.CommitMax != 7 {
		t.Errorf("it was replaced: committed %d, want 7 (%+v)", r.CommitMax, refusal)
	}
}

// What lies above the last op that may have been prepared is cut. The op whose slot it took is
// behind a checkpoint of a quorum: it is not nacked.
func TestCut(t *testing.T) {
	whole := func(op uint64) Copy {
		return Copy{Kind: KindWhole, View: 1, Op: op, Checksum: wire.Checksum{byte(op)}}
	}
	in := Input{Replicas: 3, CheckpointOp: 7, PrepareMax: 10, CommitMax: 7, View: 1, LogView: 1, Headers: []Header{{Op: 7}}}
	slots := []Slot{{whole(12), whole(8)}, {whole(9), whole(13)}, {Copy{}, whole(14)}, {whole(11), whole(11)}}
	r, refusal := Recover(&in, slots, make([]Decision, ringSlots))
	if refusal != nil || r.OpHead != 7 || !r.Certain() {
		t.Fatalf("%+v, %+v", r, refusal)
	}
	for op := uint64(8); op <= 11; op++ {
		if d := r.Decisions[op%ringSlots]; d.Verdict != Cut || r.Nack(op) || r.Held(op) != nil {
			t.Errorf("op %d: %+v", op, d)
		}
	}
}

// After state sync the log may end before the checkpoint: the head is that of the durable headers.
func TestLogEndsBeforeTheCheckpoint(t *testing.T) {
	whole := func(op uint64) Copy {
		return Copy{Kind: KindWhole, View: 1, Op: op, Checksum: wire.Checksum{byte(op)}}
	}
	in := Input{Replicas: 3, CheckpointOp: 27, PrepareMax: 30, CommitMax: 28, View: 2, LogView: 2}
	in.Headers = []Header{{Op: 28, Checksum: wire.Checksum{28}}, {Op: 27, Checksum: wire.Checksum{27}}}
	slots := []Slot{{whole(4), whole(4)}, {whole(5), whole(5)}, {Copy{}, whole(2)}, {whole(3), whole(3)}}
	r, refusal := Recover(&in, slots, make([]Decision, ringSlots))
	if refusal != nil || r.OpHead != 28 || r.HeadChecksum != (wire.Checksum{28}) || !r.Certain() {
		t.Fatalf("%+v, %+v", r, refusal)
	}
	if r.Held(28) != nil || r.Nack(28) || !r.Nack(29) || !r.Nack(30) {
		t.Fatalf("%+v, %+v", r, refusal)
	}
}
