package metrics

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

const ms = 1_000_000

// ended returns the record of an op that arrived at beganNs and was answered at endNs.
func ended(number, beganNs, endNs uint64) *Op {
	o := &Op{Number: number}
	o.Marks[MarkArriving], o.Marks[MarkAnswered] = beganNs, endNs
	return o
}

// Goal: a span adds up what was under way, the part that is not over included, and repeated calls
// change nothing.
func TestSpan(t *testing.T) {
	var s Span
	check := func(nowNs, want uint64) {
		t.Helper()
		if got := s.SumNs(nowNs); got != want {
			t.Fatalf("sum at %d is %d, want %d", nowNs, got, want)
		}
	}
	check(5, 0)
	s.Set(1000, false)
	s.Set(1000, true)
	check(1000, 0)
	check(1300, 300)
	s.Set(1400, true)
	check(1500, 500)
	s.Set(1500, false)
	s.Set(1700, false)
	check(2000, 500)
	s.Set(1<<62-1, true)
	check(1<<62+9, 510)
}

// Goal: the slowest of each recent interval and those since the start are kept in order, for any
// durations in any order.
func TestSlowestKeeps(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	r := NewSlowest(new(Board), 1, nil)
	nowNs, number := uint64(IntervalNs), uint64(0)
	byInterval := map[uint64][]uint64{}
	var all []uint64
	for nowNs < 12*IntervalNs {
		nowNs += random.Uint64N(IntervalNs / 50)
		r.Turn(nowNs)
		for range random.IntN(2 * waitingMax) { // also more at once than wait for the next turn
			number++
			total := random.Uint64N(90 * ms)
			r.Ended(nowNs, ended(number, nowNs-total, nowNs))
			byInterval[nowNs/IntervalNs] = append(byInterval[nowNs/IntervalNs], total)
			all = append(all, total)
		}
		r.Turn(nowNs + 1)
	}
	var f SlowestFigures
	r.Figures(&f)
	check := func(name string, in *Interval, totals []uint64) {
		t.Helper()
		slices.Sort(totals)
		slices.Reverse(totals)
		if in.Count != min(len(totals), SlowestCount) {
			t.Fatalf("%s: %d ops, want the slowest of %d", name, in.Count, len(totals))
		}
		for i := range in.Count {
			if in.Ops[i].TotalNs() != totals[i] {
				t.Fatalf("%s: place %d took %d, want %d", name, i, in.Ops[i].TotalNs(), totals[i])
			}
		}
	}
	for back := range f.Recent {
		check("interval", &f.Recent[back], byInterval[r.intervalAt-uint64(back)])
	}
	check("ever", &f.Ever, all)
	// A pause of many intervals leaves none of them.
	r.Ended(nowNs+20*IntervalNs, ended(number+1, nowNs, nowNs+20*IntervalNs))
	r.Turn(nowNs + 20*IntervalNs + 1)
	r.Figures(&f)
	if f.Recent[0].Count != 1 || f.Recent[1].Count != 0 || f.RecentSlowest().Number != number+1 || f.SlowCount != 1 {
		t.Fatal("after a pause the intervals before are still there")
	}
}

// Goal: a thread that waited for a core, one that was in a long call, and a sync of compact are
// told apart, each with what it took of the op's time alone.
func TestSlowestConditions(t *testing.T) {
	board := new(Board)
	var reported []SlowOp
	r := NewSlowest(board, 3, func(o *SlowOp) { reported = append(reported, *o) })
	board.Threads[0].WaitNs.Store(7 * ms)
	board.Threads[1].KernelNs.Store(9 * ms)
	board.Threads[2].Turned(50 * ms) // long before the op
	board.Workers[1].Sync.Set(900*ms, true)
	r.Turn(1000 * ms)
	r.Turn(1010 * ms)
	board.Threads[0].WaitNs.Store(127 * ms)
	board.Threads[0].Turned(125 * ms)
	board.Threads[1].Called(40 * ms)
	board.Threads[1].Called(KernelNsMin - 1) // not worth a store
	board.Workers[0].WrittenBytes.Store(512)
	board.Workers[1].Sync.Set(1050*ms, false)
	r.Ended(1130*ms, ended(5, 1012*ms, 1130*ms))
	r.Turn(1130 * ms) // another round of the same turn: its length is not known yet
	if len(reported) != 0 {
		t.Fatal("an op is reported before the turn in which it ended is over")
	}
	board.Threads[2].Turned(3 * ms)
	r.Turn(1133 * ms)
	if len(reported) != 1 || reported[0].Number != 5 {
		t.Fatalf("%d ops are reported, want op 5", len(reported))
	}
	c := &reported[0].Conditions
	want := [3]ThreadConditions{{TurnNsMax: 125 * ms, WaitNs: 120 * ms}, {KernelNs: 40 * ms}, {TurnNsMax: 3 * ms}}
	if [3]ThreadConditions(c.Threads[:3]) != want {
		t.Fatalf("threads %v, want %v", c.Threads[:3], want)
	}
	if c.WindowNs != 123*ms || c.ActiveNs[ActivityGridSync] != 40*ms || c.WrittenBytes != 512 || c.ActiveNs[ActivityCheckpoint] != 0 {
		t.Fatalf("conditions %+v", c)
	}
	// An op that arrived before the oldest look is compared with the oldest.
	r.Ended(1200*ms, ended(6, 1*ms, 1200*ms))
	r.Turn(1201 * ms)
	if c := &reported[1].Conditions; c.WindowNs != 201*ms || c.Threads[2].TurnNsMax != 3*ms {
		t.Fatalf("conditions of a long op %+v", c)
	}
}

// Goal: the parts of an op are between its marks; those of the log and of apply run beside each
// other.
func TestParts(t *testing.T) {
	o := Op{}
	for mark := range o.Marks {
		o.Marks[mark] = uint64(1000 + mark*mark*ms)
	}
	want := [PartsCount]uint64{1, 3, 5, 7, 20, 13, 55, 17, 19, 21, 23}
	for part := range PartsCount {
		if got := o.PartNs(part); got != want[part]*ms {
			t.Errorf("%s is %d, want %d ms", PartNames[part], got, want[part])
		}
	}
	if o.TotalNs() != 121*ms {
		t.Errorf("the total is %d", o.TotalNs())
	}
	o.Marks[MarkSent] = 0 // not yet
	if o.PartNs(PartSend) != 0 {
		t.Errorf("what is not sent took %d", o.PartNs(PartSend))
	}
}

// Goal: the last reply's sending is noted in every copy, a reply of another slot is not.
func TestSlowestSent(t *testing.T) {
	r := NewSlowest(new(Board), 1, nil)
	o := ended(1, IntervalNs, IntervalNs+ms)
	o.ReplySlot, o.Replies = 9, 2
	r.Ended(IntervalNs+ms, o)
	r.Sent(IntervalNs+ms, 9)
	r.Turn(IntervalNs + 2*ms)
	r.Sent(IntervalNs+2*ms, 8)
	var f SlowestFigures
	if r.Figures(&f); f.Ever.Ops[0].Marks[MarkSent] != 0 {
		t.Fatal("sent with a reply outstanding")
	}
	r.Sent(IntervalNs+3*ms, 9)
	r.Sent(IntervalNs+4*ms, 9) // of the slot's next op
	r.Figures(&f)
	for _, kept := range []*SlowOp{&f.Ever.Ops[0], &f.Recent[0].Ops[0]} {
		if kept.PartNs(PartSend) != 2*ms {
			t.Fatalf("sending took %d", kept.PartNs(PartSend))
		}
	}
	if r.unsent {
		t.Fatal("replies are awaited for ever")
	}
}

// Goal: threads write to the board while the recorder reads it. Meant for -race.
func TestBoardConcurrent(t *testing.T) {
	board := new(Board)
	r := NewSlowest(board, 1, nil)
	var group sync.WaitGroup
	group.Go(func() {
		for i := range uint64(10_000) {
			board.Threads[0].Turned(TurnNsMin + i)
			board.Threads[0].Called(KernelNsMin)
			board.Workers[0].Writes.Set(i, i%2 == 0)
		}
	})
	for i := range uint64(1000) {
		r.Turn(i * lookNs)
		r.Ended(i*lookNs, ended(i, i, i*lookNs))
	}
	group.Wait()
}

// Goal: neither an op that is kept nor one that is not allocates.
func TestSlowestNoAllocation(t *testing.T) {
	r := NewSlowest(new(Board), ThreadsMax, func(*SlowOp) {})
	nowNs := uint64(IntervalNs)
	if allocs := testing.AllocsPerRun(1000, func() {
		nowNs += 7 * ms
		r.Turn(nowNs)
		r.Ended(nowNs, ended(1, nowNs-nowNs%(200*ms), nowNs))
		r.Sent(nowNs, 3)
	}); allocs != 0 {
		t.Fatalf("%.1f allocations, want 0", allocs)
	}
}

// BenchmarkSlowestOp is an op that is not kept, with its turn.
func BenchmarkSlowestOp(b *testing.B) {
	r := NewSlowest(new(Board), ThreadsMax, nil)
	nowNs := uint64(IntervalNs)
	for i := range uint64(SlowestCount) {
		r.Ended(nowNs, ended(i, nowNs-50*ms, nowNs))
	}
	r.Turn(nowNs + 1)
	o := ended(9, 0, 1000)
	for b.Loop() {
		nowNs += 10
		r.Turn(nowNs)
		r.Sent(nowNs, 1)
		r.Ended(IntervalNs, o)
	}
}

// BenchmarkLook is what a turn costs 200 times in a second.
func BenchmarkLook(b *testing.B) {
	r := NewSlowest(new(Board), ThreadsMax, nil)
	nowNs := uint64(IntervalNs)
	for b.Loop() {
		nowNs += lookNs
		r.Turn(nowNs)
	}
}

func BenchmarkSpanSet(b *testing.B) {
	var s Span
	nowNs := uint64(0)
	for b.Loop() {
		nowNs++
		s.Set(nowNs, nowNs&1 == 0)
	}
}
