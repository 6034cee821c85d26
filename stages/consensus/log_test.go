package consensus

import (
	"testing"

	"ledger/internal/arena"
	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/prepare"
	"ledger/storage"
	"ledger/wire"
)

// logBench is a log, and a naive model of it.
type logBench struct {
	t      *testing.T
	log    log
	slots  uint64
	base   uint64
	head   uint64
	salt   uint64
	ops    map[uint64]modelOp // those that the log may know
	writes map[uint64]modelWrite
	rotten map[uint64]bool // by slot
}

type modelOp struct {
	header        prepare.Header
	dirty, faulty bool
}

// modelWrite is a write under way, by slot.
type modelWrite struct {
	op       uint64
	checksum wire.Checksum
}

func newLogBench(t *testing.T, base, head uint64) *logBench {
	memory := arena.New()
	t.Cleanup(memory.Close)
	l := testLimits()
	b := &logBench{t: t, log: newLog(&l, memory), slots: uint64(l.JournalSlotsCount), base: base, head: base, ops: map[uint64]modelOp{},
		writes: map[uint64]modelWrite{}, rotten: map[uint64]bool{}}
	headers := make([]byte, b.slots*limits.HeaderBytes)
	checkpoint := storage.Checkpoint{Op: base, PrepareChecksum: wire.Checksum{1, 2, 3}}
	b.log.baseChecksum = checkpoint.PrepareChecksum // for the parent of the first header
	b.log.opBase, b.log.opHead = base, base
	for op := base + 1; op <= head; op++ {
		header := b.build(op)
		copy(headers[op%b.slots*limits.HeaderBytes:], header)
		b.ops[op] = modelOp{header: header}
		b.head = op
	}
	b.log.open(&checkpoint, head, headers)
	return b
}

// build returns a header for op behind the model's head.
func (b *logBench) build(op uint64) prepare.Header {
	b.salt++
	parent := b.log.baseChecksum
	if before, ok := b.ops[op-1]; ok {
		parent = before.header.Checksum()
	}
	return prepare.Put(make([]byte, prepare.HeaderBytes), &prepare.Fields{Op: op, Parent: parent, Timestamp: op, Commit: b.salt,
		SizeBytes: prepare.HeaderBytes, RequestsCount: 1, Command: prepare.CommandPrepare}, prepare.Sum(nil))
}

func (b *logBench) append() prepare.Header {
	header := b.build(b.head + 1)
	b.log.append(header)
	b.head++
	b.ops[b.head] = modelOp{header: header, dirty: true}
	delete(b.ops, b.head-b.slots)
	return header
}

// check compares the log with the model.
func (b *logBench) check() {
	b.t.Helper()
	if b.log.head() != b.head {
		b.t.Fatalf("head %d, want %d", b.log.head(), b.head)
	}
	for op := b.base + 1; op <= b.head+2; op++ {
		want, has := b.ops[op]
		_, isWriting := b.writes[op%b.slots]
		if b.log.has(op) != has || b.log.isWriting(op) != isWriting || b.log.writesInTurn(op) != b.rotten[op%b.slots] {
			b.t.Fatalf("op %d: has %v, writing %v, in turn %v; want %v, %v, %v", op, b.log.has(op), b.log.isWriting(op), b.log.writesInTurn(op),
				has, isWriting, b.rotten[op%b.slots])
		}
		if b.log.isClean(op) != (has && !want.dirty) || b.log.isFaulty(op) != (has && want.faulty) {
			b.t.Fatalf("op %d: clean %v, faulty %v, want %+v", op, b.log.isClean(op), b.log.isFaulty(op), want)
		}
		if !has {
			continue
		}
		if b.log.checksum(op) != want.header.Checksum() || string(b.log.header(op)) != string(want.header) {
			b.t.Fatalf("op %d has another header", op)
		}
		if _, hasBefore := b.ops[op-1]; (hasBefore || op-1 == b.base) && !b.log.follows(op) {
			b.t.Fatalf("op %d does not follow op %d", op, op-1)
		}
	}
}

// Goal: under random appends, writes, truncations and damage, on many laps, the log knows what a
// map knows.
func TestLogModel(t *testing.T) {
	random := seeded.Rand(t)
	for _, base := range []uint64{0, 19, 59} {
		b := newLogBench(t, base, base+uint64(random.IntN(30)))
		b.check()
		for range 4000 {
			switch random.IntN(6) {
			case 0, 1:
				b.append()
			case 2: // begin a write
				for op := max(b.base+1, b.head-min(b.head, 10)); op <= b.head; op++ {
					_, isBusy := b.writes[op%b.slots]
					if e := b.ops[op]; e.dirty && !isBusy {
						b.log.beginWrite(op)
						b.writes[op%b.slots] = modelWrite{op, e.header.Checksum()}
						break
					}
				}
			case 3: // end one
				for slot := range b.slots {
					w, isBusy := b.writes[slot]
					if !isBusy || random.IntN(2) == 0 {
						continue
					}
					e, has := b.ops[w.op]
					want := has && e.header.Checksum() == w.checksum
					if got := b.log.endWrite(w.op, w.checksum); got != want {
						t.Fatalf("the end of the write of op %d counts: %v, want %v", w.op, got, want)
					}
					if want {
						e.dirty, e.faulty = false, false
						b.ops[w.op] = e
					}
					delete(b.writes, slot)
					delete(b.rotten, slot)
					break
				}
			case 4:
				if e, has := b.ops[b.head]; has {
					b.log.damaged(b.head, wire.Checksum{1}) // of another prepare that was there before
					if b.log.isFaulty(b.head) != e.faulty {
						t.Fatal("the damage of another prepare counts")
					}
					b.log.damaged(b.head, e.header.Checksum())
					e.dirty, e.faulty = true, true
					b.rotten[b.head%b.slots] = true
					b.ops[b.head] = e
				}
			case 5: // a view change
				for range random.IntN(4) {
					if _, has := b.ops[b.head-1]; b.head > b.base && (has || b.head-1 == b.base) {
						delete(b.ops, b.head)
						b.head--
					}
				}
				b.log.truncate(b.head)
			}
			b.check()
		}
	}
}

// Goal: the completion of a truncated op k does not count for the new op k, whose prepare is not on
// disk; and nothing is written into the slot before that completion.
func TestStaleWrite(t *testing.T) {
	b := newLogBench(t, 0, 5)
	first := b.append()
	b.log.beginWrite(6)
	b.log.truncate(5)
	delete(b.ops, 6)
	b.head = 5
	second := b.append()
	if first.Checksum() == second.Checksum() {
		t.Fatal("the two prepares of op 6 are the same")
	}
	if !b.log.isWriting(6) {
		t.Fatal("the slot is free while the truncated prepare is being written into it")
	}
	if b.log.endWrite(6, first.Checksum()) {
		t.Fatal("a stale completion counts")
	}
	if b.log.isClean(6) || b.log.isWriting(6) {
		t.Fatal("the new op 6 counts as written, or its slot is still busy")
	}
	b.log.beginWrite(6)
	if !b.log.endWrite(6, second.Checksum()) || !b.log.isClean(6) {
		t.Fatal("the new op 6 was written, and does not count")
	}
}

// Goal: an op that names another parent, or whose time does not go on, does not follow.
func TestLogFollows(t *testing.T) {
	for _, c := range []struct {
		name      string
		timestamp uint64
		parent    byte
		want      bool
	}{{"it follows", 6, 0, true}, {"another parent", 6, 1, false}, {"the same time", 5, 0, false}, {"an earlier time", 4, 0, false}} {
		b := newLogBench(t, 0, 5)
		parent := b.log.checksum(5)
		parent[0] ^= c.parent
		header := prepare.Put(make([]byte, prepare.HeaderBytes), &prepare.Fields{Op: 6, Parent: parent, Timestamp: c.timestamp,
			SizeBytes: prepare.HeaderBytes, RequestsCount: 1, Command: prepare.CommandPrepare}, prepare.Sum(nil))
		copy(b.log.headerAt(6), header)
		b.log.put(6, header.Checksum())
		if got := b.log.follows(6); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
