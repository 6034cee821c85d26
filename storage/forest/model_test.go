package forest

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ledger/accounting"
	"ledger/accounting/storetest"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/wire"
)

// traffic gives the requests of a run, pulses among them, each with its own copy of the body.
type traffic struct {
	source *storetest.Traffic
	random *rand.Rand
}

func newTraffic(random *rand.Rand) *traffic {
	return &traffic{storetest.New(random, 1_700_000_000_000_000_000), random}
}

func (r *traffic) next() accounting.Request {
	if r.random.IntN(4) == 0 {
		limit := uint32(4 << 10)
		if r.random.IntN(2) == 0 {
			limit = 1 << 20
		}
		return accounting.Request{Operation: wire.OperationPulse, Timestamp: r.source.Advance(8191), RequestBytesMax: limit}
	}
	request := r.source.Next()
	body := make([]uint64, len(request.Body)/8+1)
	request.Body = append(wordBytes(body)[:0], request.Body...)
	return request
}

// Goal: over tiny pages, blocks, bars and memtables, with crashes and restarts from the newest
// checkpoint at random ops, every reply is that of the plain store, and a restart leads to the same
// bytes at the same addresses.
func TestAgainstMemoryStore(t *testing.T) {
	random := seeded.Rand(t)
	ops := 4000
	if testing.Short() {
		ops = 600
	}
	for round := range 3 {
		l := tiny()
		if round == 1 {
			l.MemtableRowsSeal = 200
			l.CacheAccountsMax = 1 << 10
			l.RequestBytesMax = 32 << 10 // hash tables that grow
		}
		if round == 2 {
			l.PageBytes, l.BlockBytes = 1024, 16<<10
		}
		w := newWorld(t, l, &memoryDisk{random: random}, storage.Checkpoint{})
		shrink(w.forest)
		w.late = round == 1
		pair := storetest.NewPair(t, l, w.forest, random)
		source := newTraffic(random)
		var log []logged
		var old saved
		restarts, resets := 0, 0
		for range ops {
			request := source.next()
			log = append(log, logged{w.op + 1, request})
			if random.IntN(2) == 0 {
				accounting.Warm(request.Operation, request.Body, w.forest)
			}
			if random.IntN(4) > 0 && request.Operation == wire.OperationCreateTransfers {
				w.forest.Lookahead(request.Body)
			}
			if random.IntN(4) > 0 {
				switch request.Operation {
				case wire.OperationLookupTransfers:
					w.forest.LookupTransfers(request.Body)
				case wire.OperationLookupAccounts:
					w.forest.LookupAccounts(request.Body)
				}
			}
			pair.Execute(&request)
			w.forest.Lookahead(nil)
			w.forest.LookupTransfers(nil)
			w.ended()
			w.grid.Poll()
			w.forest.WarmStep()
			for len(log) > 0 && log[0].op <= w.newest.Op && log[0].op <= old.checkpoint.Op {
				log = log[1:]
			}
			switch {
			case random.IntN(150) == 0 && w.newest.Op > 0:
				w = restart(t, w, log)
				pair.Reopened(w.forest)
				restarts++
			case random.IntN(150) == 0 && old.checkpoint.Op > 0:
				reset(t, w, old, log)
				pair.Reopened(w.forest)
				resets++
				fallthrough
			case random.IntN(40) == 0 && w.newest.Op > 0:
				old = saved{w.newest, bytes.Clone(w.disk.data)}
			}
		}
		c := w.forest.Counters()
		t.Logf("round %d: %d transfers, %d accounts, %d runs, %d restarts, %d resets, %d checkpoints, %d blocks, %d page waits", round,
			w.forest.TransfersCount(), w.forest.AccountsCount(), runsCount(&c), restarts, resets, w.newest.Op/l.CheckpointIntervalOps(),
			c.BlocksAcquired, c.PageWaits)
	}
}

// shrink makes the expiry window small, so that it is refilled.
func shrink(f *Forest) { f.expiry.NarrowWindow(3) }

// restart opens a second forest on a copy of the disk and replays the log. It must end with the
// same state and disk.
func restart(t testing.TB, w *world, log []logged) *world {
	t.Helper()
	disk := &memoryDisk{data: bytes.Clone(w.disk.data), random: w.disk.random}
	again := newWorld(t, w.limits, disk, w.newest)
	again.late, again.covers = !w.late, int(w.op%3*4) // never, or sooner or later
	shrink(again.forest)
	again.replay(log)
	w.compact()
	again.compact()
	same(t, "after a restart", w, again)
	w.close()
	return again
}

// replay executes the ops of the log that come behind the checkpoint.
func (w *world) replay(log []logged) {
	w.t.Helper()
	machine := accounting.New(w.limits, w.forest)
	reply := wordBytes(make([]uint64, wire.BodyBytesMax/8))
	for i := range log {
		if log[i].op <= w.opened.Op {
			continue
		}
		if log[i].op != w.op+1 {
			w.t.Fatalf("op %d follows op %d", log[i].op, w.op)
		}
		machine.Execute(&log[i].request, reply)
		w.ended()
	}
}

// saved is a checkpoint, and a disk on which all of its blocks are.
type saved struct {
	checkpoint storage.Checkpoint
	data       []byte
}

// reset takes the forest of a world back to a saved checkpoint, in the middle of what it does, and
// replays the log. It must end with the state and the disk that it had.
func reset(t testing.TB, w *world, to saved, log []logged) {
	t.Helper()
	w.compact() // no job is out
	state, data, newest := w.state(), w.disk.data, w.newest
	w.disk.data = bytes.Clone(to.data)
	w.reopen(to.checkpoint)
	w.replay(log)
	w.compact()
	size := max(len(data), len(w.disk.data))
	w.disk.grow(uint64(size))
	data = append(data, make([]byte, size-len(data))...)
	if !bytes.Equal(w.state(), state) || !bytes.Equal(w.disk.data, data) || w.newest != newest {
		t.Fatalf("after a reset to checkpoint %d and a replay to op %d, the state or the disk is another one", to.checkpoint.Op, w.op)
	}
}

// reopen resets the forest and opens a checkpoint in it.
func (w *world) reopen(checkpoint storage.Checkpoint) {
	w.generation = nil
	w.forest.Reset()
	w.forest.Open(&checkpoint, idsAhead(&checkpoint))
	w.opened, w.newest, w.op, w.named, w.namedOp = checkpoint, checkpoint, checkpoint.Op, nil, 0
}

// Goal: the seed of the hash tables shows nowhere: equal replies, equal state and equal bytes of
// the file after every op, for several seeds.
func TestHashSeedDoesNotShow(t *testing.T) {
	random := seeded.Rand(t)
	const worldsCount, ops = 3, 300
	var worlds [worldsCount]*world
	var machines [worldsCount]*accounting.Machine
	var replies [worldsCount][]byte
	for i := range worlds {
		l := tiny()
		l.HashSeed = random.Uint64()
		worlds[i] = newWorld(t, l, &memoryDisk{}, storage.Checkpoint{})
		machines[i] = accounting.New(l, worlds[i].forest)
		replies[i] = wordBytes(make([]uint64, wire.BodyBytesMax/8))
	}
	source := newTraffic(random)
	for range ops {
		request := source.next()
		want := replies[0][:machines[0].Execute(&request, replies[0])]
		worlds[0].ended()
		for i := 1; i < worldsCount; i++ {
			if got := replies[i][:machines[i].Execute(&request, replies[i])]; !bytes.Equal(got, want) {
				t.Fatalf("%v: replies differ", request.Operation)
			}
			worlds[i].ended()
			same(t, "another hash seed", worlds[0], worlds[i])
		}
	}
	if worlds[0].merges == 0 || worlds[0].captures == 0 {
		t.Fatalf("%d merges and %d checkpoints: the test shows nothing", worlds[0].merges, worlds[0].captures)
	}
}

// Goal: when and how fast compaction runs shows nowhere: equal state and equal bytes after every
// op.
func TestTimingDoesNotShow(t *testing.T) {
	random := seeded.Rand(t)
	ops := 1500
	if testing.Short() {
		ops = 300
	}
	l := tiny()
	other := l
	other.CacheGridBytes, other.CacheAccountsMax = 1<<20, 1<<12
	other.HashSeed = random.Uint64()
	a := newWorld(t, l, &memoryDisk{}, storage.Checkpoint{})
	b := newWorld(t, other, &memoryDisk{random: random}, storage.Checkpoint{})
	b.late = true
	source := newTraffic(random)
	machines := [2]*accounting.Machine{accounting.New(l, a.forest), accounting.New(l, b.forest)}
	replies := [2][]byte{wordBytes(make([]uint64, wire.BodyBytesMax/8)), wordBytes(make([]uint64, wire.BodyBytesMax/8))}
	for range ops {
		request := source.next()
		got := replies[0][:machines[0].Execute(&request, replies[0])]
		want := replies[1][:machines[1].Execute(&request, replies[1])]
		if !bytes.Equal(got, want) {
			t.Fatalf("%v: replies differ", request.Operation)
		}
		a.ended()
		b.ended()
		if a.op%uint64(l.BarOps) == 2 { // in mid-bar, and both have compacted
			b.compact()
			same(t, "late compaction", a, b)
		}
	}
	if a.merges == 0 || a.captures == 0 {
		t.Fatalf("%d merges and %d checkpoints: the test shows nothing", a.merges, a.captures)
	}
}
