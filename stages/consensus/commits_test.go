package consensus

import (
	"testing"

	"ledger/internal/seeded"
	"ledger/metrics"
	"ledger/prepare"
	"ledger/stages"
	"ledger/wire"
)

// Goal: ops go to apply in order, as soon as their prepare is in memory, and become complete in
// order, when they are executed and committed. commit_min and commit_max never fall. A plain list
// says what should be.
func TestCommitQueueModel(t *testing.T) {
	random := seeded.Rand(t)
	l := testLimits()
	type state struct{ loaded, sent, executed bool }
	for _, first := range []uint64{0, 47} {
		q := newCommitQueue(&l, first)
		var list []state // of the ops from lowest on
		lowest, committed := first+1, first
		for range 20_000 {
			switch random.IntN(6) {
			case 0:
				if len(list) == int(l.PipelineOpsMax) {
					break
				}
				e := inCommit{slot: stages.SlotOf(stages.SlotPrepare, 1), replySlot: stages.SlotNone, isLoaded: random.IntN(2) == 0}
				q.push(lowest+uint64(len(list)), e)
				list = append(list, state{loaded: e.isLoaded})
			case 1:
				if i := random.IntN(len(list) + 1); i < len(list) && !list[i].loaded {
					q.loaded(lowest + uint64(i))
					list[i].loaded = true
				}
			case 2:
				want := 0
				for want < len(list) && list[want].sent {
					want++
				}
				e := q.next()
				if isThere := want < len(list) && list[want].loaded; (e != nil) != isThere || isThere && e.op != lowest+uint64(want) {
					t.Fatalf("next to execute is %+v, want entry %d of %+v from op %d", e, want, list, lowest)
				}
				if e != nil && random.IntN(2) == 0 {
					q.sent()
					list[want].sent = true
				}
			case 3:
				for i := range list {
					if !list[i].executed {
						if list[i].sent {
							slot := q.executed(lowest+uint64(i), []stages.Reply{{Op: lowest + uint64(i)}}, &metrics.ApplyTimes{})
							if slot != stages.SlotOf(stages.SlotPrepare, 1) {
								t.Fatalf("the prepare's slot is %d", slot)
							}
							list[i].executed = true
						}
						break
					}
				}
			case 4:
				op := lowest + uint64(random.IntN(5)) - min(lowest, 2)
				q.raiseMax(op)
				committed = max(committed, op)
			case 5:
				isComplete := len(list) > 0 && list[0].executed && lowest <= committed
				e := q.pop()
				if (e != nil) != isComplete {
					t.Fatalf("op %d is complete: %v, want %v", lowest, e != nil, isComplete)
				}
				if e != nil {
					if e.op != lowest || len(e.replies) != 1 || e.replies[0].Op != lowest {
						t.Fatalf("op %d becomes complete as %+v", lowest, e)
					}
					list, lowest = list[1:], lowest+1
				}
			}
			loading := 0
			for _, s := range list {
				if !s.loaded {
					loading++
				}
			}
			if q.count() != len(list) || q.isFull() != (len(list) == int(l.PipelineOpsMax)) || q.min() != lowest-1 || q.max() != committed ||
				q.last() != lowest-1+uint64(len(list)) || q.loading() != loading {
				t.Fatalf("count %d, min %d, max %d, last %d, loading %d; want %+v from op %d, committed %d", q.count(), q.min(), q.max(), q.last(),
					q.loading(), list, lowest, committed)
			}
		}
	}
}

// Goal: what an answer may not say is found: an op that is not in the queue, or that was not asked
// for, or twice.
func TestCommitQueueAssertions(t *testing.T) {
	l := testLimits()
	fresh := func() *commitQueue {
		q := newCommitQueue(&l, 5)
		q.push(6, inCommit{isLoaded: true})
		q.push(7, inCommit{})
		return &q
	}
	times := &metrics.ApplyTimes{}
	for name, wrong := range map[string]func(q *commitQueue){
		"an op behind a gap":           func(q *commitQueue) { q.push(9, inCommit{}) },
		"read twice":                   func(q *commitQueue) { q.loaded(6) },
		"executed, not given to apply": func(q *commitQueue) { q.executed(6, nil, times) },
		"executed twice":               func(q *commitQueue) { q.next(); q.sent(); q.executed(6, nil, times); q.executed(6, nil, times) },
		"an op of the past":            func(q *commitQueue) { q.loaded(5) },
		"an op of the future":          func(q *commitQueue) { q.loaded(8) },
	} {
		if !panics(func() { wrong(fresh()) }) {
			t.Errorf("%s: nobody notices", name)
		}
	}
}

// Goal: an op leaves the pipeline when it and all ops before it are written; for a single replica,
// one is in it at a time.
func TestPipeline(t *testing.T) {
	l := testLimits()
	p := newPipeline(&l)
	checksum := func(op uint64) wire.Checksum { return wire.Checksum{byte(op)} }
	if !p.mayPush() || p.pop() != 0 {
		t.Fatal("an empty pipeline takes no op, or has one")
	}
	for lap := range uint64(10) {
		first := 3*lap + 1
		for op := first; op < first+3; op++ {
			p.push(op, checksum(op), prepare.Members{}, false)
			if p.mayPush() {
				t.Fatal("a single replica writes two prepares at a time")
			}
		}
		p.written(first+2, checksum(first+2))
		p.written(first+1, checksum(first+1))
		if op := p.pop(); op != 0 {
			t.Fatalf("op %d leaves before op %d is written", op, first)
		}
		p.written(first, checksum(first))
		for op := first; op < first+3; op++ {
			if got := p.pop(); got != op {
				t.Fatalf("op %d leaves, want %d", got, op)
			}
		}
		if p.pop() != 0 || !p.mayPush() {
			t.Fatal("the pipeline is not empty")
		}
	}
	p.push(31, checksum(31), prepare.Members{}, false)
	for name, wrong := range map[string]func(){
		"an op behind a gap": func() { p.push(33, checksum(33), prepare.Members{}, false) },
		"another prepare":    func() { p.written(31, checksum(30)) },
		"another op":         func() { p.written(30, checksum(30)) },
		"twice":              func() { p.written(31, checksum(31)); p.written(31, checksum(31)) },
	} {
		if !panics(wrong) {
			t.Errorf("%s: nobody notices", name)
		}
	}
}

// Goal: requests leave the queue in order of arrival, and none is lost when the ring wraps.
func TestRequestQueue(t *testing.T) {
	random := seeded.Rand(t)
	l := testLimits()
	q := newRequestQueue(&l)
	var list []request
	next := uint32(0)
	for range 10_000 {
		if random.IntN(2) == 0 && len(list) < int(queueMax(&l)) {
			next++
			q.push(request{bytes: next})
			list = append(list, request{bytes: next})
		} else if len(list) > 0 {
			if r := q.pop(); r != list[0] {
				t.Fatalf("request %d leaves, want %d", r.bytes, list[0].bytes)
			}
			list = list[1:]
		}
		if q.count() != len(list) || q.isFull() != (len(list) == int(queueMax(&l))) {
			t.Fatalf("%d requests wait, want %d", q.count(), len(list))
		}
		for i := range list {
			if *q.at(i) != list[i] {
				t.Fatalf("request %d of the queue is another one", i)
			}
		}
	}
}
