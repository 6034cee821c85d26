package apply

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"ledger/accounting/storetest"
	"ledger/internal/ports"
	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/forest/manifest"
)

// stockTable is a table of a checkpoint, as the model of a walk knows it.
type stockTable struct {
	ref    storage.Ref
	bornOp uint64
}

// stock is what an undamaged replica leaves: the log, every block that it wrote, and what each of
// its checkpoints names.
type stock struct {
	limits      limits.Limits
	library     *library
	messages    [][]byte
	checkpoints []storage.Checkpoint
	tables      map[uint64][]stockTable // by op of the checkpoint
}

// makeStock executes ops on an undamaged replica.
func makeStock(t *testing.T, random *rand.Rand, ops int) *stock {
	t.Helper()
	l := tiny()
	k := &stock{limits: l, library: newLibrary(l), tables: map[uint64][]stockTable{}}
	source := &log{traffic: storetest.New(random, 1_700_000_000_000_000_000), random: random}
	b, err := newBenchOver(t, l, rand.New(rand.NewPCG(random.Uint64(), 0)), &file{}, storage.Checkpoint{},
		func(d ports.Disk) ports.Disk { return listener{d, k.library} })
	if err != nil {
		t.Fatal(err)
	}
	b.onReady = func(ready *stages.ApplyToConsensus) {
		k.checkpoints = append(k.checkpoints, *ready.Checkpoint)
		k.tables[ready.Op] = k.named(t, b.file, ready.Checkpoint)
	}
	for range ops {
		message, _ := source.next()
		k.messages = append(k.messages, bytes.Clone(message))
		if b.commit(message, false); b.fault != nil {
			t.Fatal(b.fault)
		}
	}
	b.settle()
	b.stop()
	return k
}

// named reads the manifest of a checkpoint, which is on disk.
func (k *stock) named(t *testing.T, f *file, checkpoint *storage.Checkpoint) (tables []stockTable) {
	t.Helper()
	g := block.GeometryOf(k.limits)
	content := make([]byte, checkpoint.TrailerBytes[storage.TrailerManifest])
	fault := block.ReadTrailer(f, gridAt, &g, cluster, storage.TrailerManifest, checkpoint.Roots[storage.TrailerManifest], content,
		make([]byte, g.BlockBytes), nil)
	if fault != nil {
		t.Fatal(fault)
	}
	_, err := manifest.Walk(content, &k.limits, func(one *manifest.Table) { tables = append(tables, stockTable{one.Ref, one.BornOp}) })
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

// missing counts the tables of a checkpoint that were born in a range of ops and are not whole on a
// disk, in their header page or any other.
func (k *stock) missing(f *file, op, opMin, opMax uint64) (count int) {
	for _, one := range k.tables[op] {
		want := k.library.blocks[one.ref]
		at := gridAt + int(k.library.geometry.Offset(one.ref.Address, 0))
		isThere := at+len(want) <= len(f.data) && bytes.Equal(f.data[at:at+len(want)], want)
		if one.bornOp >= opMin && one.bornOp <= opMax && !isThere {
			count++
		}
	}
	return count
}

// slowWalks is a port on which reads of whole blocks take long now and then: those of a walk.
type slowWalks struct {
	*disk
	blockBytes int
	held       []heldRead
	holds      func() bool // all of them, as long as it says so; nil: no
	holdsPages bool        // all other reads
}

type heldRead struct {
	polls       int
	tag, offset uint64
	buffer      []byte
}

func (p *slowWalks) isHolding() bool { return p.holds != nil && p.holds() }

func (p *slowWalks) Read(tag, offset uint64, buffer []byte) {
	isPage := len(buffer) < p.blockBytes
	if isPage && !p.holdsPages || !isPage && !p.isHolding() && p.random.IntN(3) > 0 {
		p.disk.Read(tag, offset, buffer)
		return
	}
	p.held = append(p.held, heldRead{1 + p.random.IntN(200), tag, offset, buffer})
}

func (p *slowWalks) Poll(out []ports.DiskCompletion) (count int) {
	for i := len(p.held) - 1; i >= 0 && !p.isHolding(); i-- {
		one := &p.held[i]
		if p.holdsPages && len(one.buffer) < p.blockBytes {
			continue
		}
		if one.polls--; one.polls <= 0 {
			p.disk.Read(one.tag, one.offset, one.buffer)
			p.held = slices.Delete(p.held, i, i+1)
		}
	}
	return p.disk.Poll(out)
}

// walker is a replica that takes checkpoints of the undamaged one, and what has to hold for its
// walks.
type walker struct {
	*bench
	t            *testing.T
	stock        *stock
	disk         *slowWalks
	opMin, opMax uint64 // the range of its syncs; 0: there is none
	whole        []uint64
	ended        int // ranges that a checkpoint has ended
	walked       map[storage.Ref]bool
	isWalking    [walkReads]storage.Ref
}

func newWalker(t *testing.T, random *rand.Rand, k *stock) *walker {
	t.Helper()
	return newWalkerOver(t, random, k, func(d ports.Disk) ports.Disk { return d })
}

// newWalkerOver is a walker whose workers of compact have ports that are wrapped by over.
func newWalkerOver(t *testing.T, random *rand.Rand, k *stock, over func(ports.Disk) ports.Disk) *walker {
	t.Helper()
	l := k.limits
	l.ReplicasCount, l.CompactWorkers = 3, 1+random.Uint32N(2)
	w := &walker{t: t, stock: k, walked: map[storage.Ref]bool{}}
	h := newHealer(t, random, k.library)
	b, err := newBenchAmong(t, l, rand.New(rand.NewPCG(random.Uint64(), 0)), &file{}, storage.Checkpoint{}, func(d ports.Disk) ports.Disk {
		if w.disk != nil {
			return over(d) // of a worker of compact
		}
		w.disk = &slowWalks{disk: d.(*disk), blockBytes: int(l.BlockBytes)}
		return w.disk
	}, h)
	if err != nil {
		t.Fatal(err)
	}
	w.bench = b
	b.onTurn, b.onSynced, b.onReady = w.look, w.synced, w.ready
	return w
}

// look demands of each block that the walk begins to read: it is one of the newest checkpoint, was
// born in the range, and was not read to its end before.
func (w *walker) look() {
	walk := &w.apply.walk
	for i, ref := range walk.reads {
		before := w.isWalking[i]
		if w.isWalking[i] = ref; ref == before {
			continue
		}
		if !before.IsZero() && walk.verified[before.Address/64]>>(before.Address%64)&1 == 1 {
			w.walked[before] = true
		}
		if ref.IsZero() {
			continue
		}
		at := slices.IndexFunc(w.stock.tables[walk.op], func(one stockTable) bool { return one.ref == ref })
		if at < 0 {
			w.t.Fatalf("the walk reads block %d, which checkpoint %d does not name", ref.Address, walk.op)
		}
		if born := w.stock.tables[walk.op][at].bornOp; born < w.opMin || born > w.opMax {
			w.t.Fatalf("the walk reads block %d of op %d, and the range is %d to %d", ref.Address, born, w.opMin, w.opMax)
		}
		if w.walked[ref] {
			w.t.Fatalf("the walk reads block %d twice", ref.Address)
		}
	}
}

// synced demands that all blocks of the range are there when the walk says so.
func (w *walker) synced(op uint64) {
	if count := w.stock.missing(w.file, op, w.opMin, w.opMax); count > 0 {
		w.t.Fatalf("the walk through checkpoint %d has ended, and %d blocks that were born in ops %d to %d are missing", op, count, w.opMin,
			w.opMax)
	}
	w.whole = append(w.whole, op)
}

// ready demands the same of a checkpoint that ends the range. Then there is no range any more.
func (w *walker) ready(ready *stages.ApplyToConsensus) {
	if !ready.IsWhole {
		return
	}
	if count := w.stock.missing(w.file, ready.Op, w.opMin, w.opMax); count > 0 {
		w.t.Fatalf("checkpoint %d ends the range of ops %d to %d, and %d blocks are missing", ready.Op, w.opMin, w.opMax, count)
	}
	if w.opMax > 0 {
		w.ended++
	}
	w.opMin, w.opMax = 0, 0
	clear(w.walked)
}

// sync takes a checkpoint of the others, as consensus does: the range begins where the first of
// several syncs has begun.
func (w *walker) sync(to storage.Checkpoint) {
	w.t.Helper()
	if w.opMax == 0 {
		w.opMin = w.newest.Op + 1
	}
	w.opMax = to.Op
	w.halve(to.Op)
	clear(w.walked)
	w.isWalking = [walkReads]storage.Ref{}
	w.opening = true
	w.push(stages.ConsensusToApply{Kind: stages.ApplyOpen, Checkpoint: to, SyncOpMin: w.opMin, SyncOpMax: w.opMax})
	w.turnsUntil("the checkpoint is open", func() bool { return !w.opening })
	w.newest, w.op, w.waiting = to, to.Op, false
}

// halve leaves some of the blocks that will be missing without their last page, as a power cut in
// the middle of an earlier sync might.
func (w *walker) halve(op uint64) {
	for _, one := range w.stock.tables[op] {
		if one.bornOp < w.opMin || w.random.IntN(3) > 0 {
			continue
		}
		at, data := gridAt+int(w.stock.library.geometry.Offset(one.ref.Address, 0)), w.stock.library.blocks[one.ref]
		w.file.room(uint64(at + len(data)))
		copy(w.file.data[at:], data)
		w.file.data[at+len(data)-1] ^= 1
	}
}

func (w *walker) turnsUntil(what string, is func() bool) {
	w.t.Helper()
	for turns := 0; !is(); turns++ {
		if w.turn(); w.fault != nil {
			w.t.Fatal(w.fault)
		}
		if turns > 1_000_000 {
			w.t.Fatalf("it never comes to this: %s", what)
		}
	}
}

// execute executes the next op of the log.
func (w *walker) execute() {
	w.t.Helper()
	if w.commit(w.stock.messages[w.op], false); w.fault != nil {
		w.t.Fatal(w.fault)
	}
}

// Goal: a replica that takes checkpoints of others reads each block that they name and that was
// born in the range of its syncs, and no other. It says that all are there when they are, page by
// page, and a checkpoint ends the range only then. Reads take long, checkpoints are captured and
// newer ones come while a walk is under way, and of some blocks all but a page is there. The model
// is what an undamaged replica has written.
func TestWalk(t *testing.T) {
	random := seeded.Rand(t)
	k := makeStock(t, random, 420)
	rounds, wholes, ended, again := 6, 0, 0, 0
	if testing.Short() {
		rounds = 2
	}
	isShown := func() bool { return testing.Short() || wholes >= rounds && ended > 0 && again > 0 }
	for round := 0; round < rounds || !isShown() && round < 10*rounds; round++ {
		w := newWalker(t, random, k)
		for first := 1 + random.IntN(80); w.op < uint64(first); {
			w.execute()
		}
		for w.op < uint64(len(k.messages)) {
			later := slices.IndexFunc(k.checkpoints, func(c storage.Checkpoint) bool { return c.Op > w.newest.Op })
			mayCome := later >= 0 && w.op < uint64(len(k.messages)*2/3) // behind that the last range has time to end
			if mayCome && random.IntN(60) == 0 || w.opMin == 0 && w.ended == 0 {
				if w.opMax > 0 {
					again++
				}
				w.sync(k.checkpoints[min(later+random.IntN(3), len(k.checkpoints)-1)])
			}
			for range random.IntN(60) { // without any, ops are executed and bars end while the walk reads
				w.turn()
			}
			if tables := k.tables[w.newest.Op]; len(tables) > 0 { // as if it had just been repaired
				w.apply.wants.repaired.put(tables[random.IntN(len(tables))].ref)
			}
			if w.op < uint64(len(k.messages)) {
				w.execute()
			}
		}
		w.settle()
		w.turnsUntil("the walk has ended", func() bool { return w.opMax == 0 || w.apply.walk.state == walkWhole })
		wholes, ended = wholes+len(w.whole), ended+w.ended
		w.stop()
	}
	t.Logf("%d walks came to their end, %d ranges ended, %d checkpoints came while blocks were missing", wholes, ended, again)
	if !isShown() {
		t.Error("the test shows little")
	}
}

// Goal: a checkpoint that is captured while the disk has not answered a read of the walk through
// the one before does not count as walked through. Its range would end while blocks are missing.
func TestWalkBehindReadsUnderWay(t *testing.T) {
	random := seeded.Rand(t)
	k := makeStock(t, random, 420)
	w := newWalker(t, random, k)
	w.disk.holds = func() bool { return w.apply.walk.state == walkReading }
	w.sync(k.checkpoints[2])
	w.turnsUntil("all reads of the walk are under way", func() bool { return len(w.disk.held) == walkReads })
	synced := w.newest.Op
	for w.newest.Op == synced {
		w.execute()
	}
	for range 2_000 {
		w.turn()
	}
	if state := w.apply.walk.state; state != walkReading || len(w.whole) > 0 {
		t.Fatalf("state %d, walks at their end %v: want one that reads", state, w.whole)
	}
	w.disk.holds = nil
	w.turnsUntil("the walk has ended", func() bool { return len(w.whole) > 0 })
	if !slices.Equal(w.whole, []uint64{w.newest.Op}) {
		t.Errorf("walks at their end %v, want that of checkpoint %d", w.whole, w.newest.Op)
	}
	for w.ended == 0 && w.op < uint64(len(k.messages)) { // not with a checkpoint while a repair is being written
		w.execute()
	}
	w.turnsUntil("the range has ended", func() bool { return w.apply.walk.opMax == 0 && w.apply.walk.state == walkNone })
	if slices.ContainsFunc(w.apply.walk.verified, func(word uint64) bool { return word != 0 }) {
		t.Error("behind the range, blocks count as verified")
	}
}

// Goal: a walk that waits for blocks of others asks for no step while ops wait as well. Otherwise
// the thread has something to do for as long as nobody brings the blocks. The walk goes on when
// they come.
func TestWalkWaitsWithTheOps(t *testing.T) {
	random := seeded.Rand(t)
	k := makeStock(t, random, 420)
	w := newWalker(t, random, k)
	w.healer.isNamed = true
	w.sync(k.checkpoints[2])
	w.healer.isMute = true
	var slots []stages.Slot
	push := func() {
		slot := w.slots.Get(stages.SlotPrepare)
		slots = append(slots, slot)
		copy(w.slots.Bytes(slot), k.messages[w.op])
		w.op++
		w.push(stages.ConsensusToApply{Kind: stages.ApplyCommit, Slot: slot, ReplySlot: stages.SlotNone, Op: w.op})
	}
	turns := func(count int) {
		for range count {
			if w.turn(); w.fault != nil {
				t.Fatal(w.fault)
			}
		}
	}
	for w.apply.Op() == w.op { // until one waits for a block
		for _, slot := range slots {
			w.slots.Put(slot)
		}
		slots = slots[:0]
		push()
		turns(2_000)
	}
	push()
	turns(5_000)
	if walk := &w.apply.walk; walk.state != walkReading || w.apply.commitsCount == 0 || w.apply.readsInFlight() > 0 {
		t.Fatalf("state %d, %d ops and %d reads wait: want a walk and an op that wait for blocks", walk.state, w.apply.commitsCount,
			w.apply.readsInFlight())
	}
	busy := 0
	for range 100 {
		if w.drivers[0].Turn(w.nowNs, 0) {
			busy++
		}
	}
	if busy > 0 {
		t.Errorf("%d of 100 turns of apply say that it could go on, and nothing has happened", busy)
	}
	w.healer.isMute = false
	w.turnsUntil("the ops are executed and the walk is at its end", func() bool { return w.apply.Op() == w.op && len(w.whole) > 0 })
	for _, slot := range slots {
		w.slots.Put(slot)
	}
	w.stop()
}

// Goal: a single replica has no walk, nor memory for one; neither has one of several that took no
// checkpoint of others.
func TestWalkNeedsARange(t *testing.T) {
	random := seeded.Rand(t)
	k := makeStock(t, random, 120)
	for _, replicas := range []uint32{1, 3} {
		l := k.limits
		l.ReplicasCount = replicas
		b, err := newBench(t, l, random, &file{}, storage.Checkpoint{})
		if err != nil {
			t.Fatal(err)
		}
		b.onReady = func(ready *stages.ApplyToConsensus) {
			if ready.IsWhole {
				t.Errorf("checkpoint %d ends a range that there is not", ready.Op)
			}
		}
		b.onSynced = func(op uint64) { t.Errorf("a walk through checkpoint %d has ended", op) }
		for _, message := range k.messages {
			b.commit(message, false)
		}
		if b.newest.Op == 0 || b.apply.walk.state != walkNone || len(b.apply.walk.verified) > 0 != (replicas > 1) {
			t.Errorf("%d replicas: checkpoint %d, state %d, room for %d words", replicas, b.newest.Op, b.apply.walk.state,
				len(b.apply.walk.verified))
		}
		b.stop()
	}
}

// syncsHeld is a port whose syncs wait until they may go.
type syncsHeld struct {
	*disk
	mayGo *bool
	held  []uint64
}

func (p *syncsHeld) Sync(tag uint64) { p.held = append(p.held, tag) }

func (p *syncsHeld) Poll(out []ports.DiskCompletion) int {
	if *p.mayGo {
		for _, tag := range p.held {
			p.disk.Sync(tag)
		}
		p.held = p.held[:0]
	}
	return p.disk.Poll(out)
}

// Goal: a walk whose last block was verified is at its end when a sync behind it has ended, and a
// checkpoint that is captured meanwhile is walked through by itself.
func TestWalkAwaitsItsSync(t *testing.T) {
	random := seeded.Rand(t)
	k := makeStock(t, random, 420)
	mayGo := true
	w := newWalkerOver(t, random, k, func(d ports.Disk) ports.Disk {
		return &syncsHeld{disk: d.(*disk), mayGo: &mayGo}
	})
	w.healer.isNamed = true // no repairs but those that the walk or an op waits for
	w.sync(k.checkpoints[2])
	w.turnsUntil("nothing is being repaired and the walk reads", func() bool { return w.apply.walk.state == walkReading })
	for w.apply.walk.state == walkReading { // repairs wait for syncs, too; so the syncs are held when the last block was read
		mayGo = w.apply.wants.count > 0
		if w.turn(); w.fault != nil {
			t.Fatal(w.fault)
		}
	}
	mayGo = false
	for range 500 {
		w.turn()
	}
	if len(w.whole) > 0 {
		t.Fatal("the walk has ended before its sync")
	}
	mayGo = true
	w.turnsUntil("the walk has ended", func() bool { return len(w.whole) > 0 })
	if !slices.Equal(w.whole, []uint64{w.newest.Op}) {
		t.Errorf("walks at their end %v, want that of checkpoint %d", w.whole, w.newest.Op)
	}
}

// endsHeld is a port on which a write that reaches the disk at once ends late: the one that is
// held. Syncs that begin meanwhile do not cover it.
type endsHeld struct {
	*disk
	w         *walker
	mayEnd    bool
	tag       uint64
	bytes     int
	ref       storage.Ref // the block whose header page is held
	uncovered bool        // no sync has begun since the write has ended
}

func (p *endsHeld) Write(tag, offset uint64, data []byte, flags ports.WriteFlags) {
	if p.ref.IsZero() && p.w.apply.walk.state == walkReading {
		for _, one := range p.w.apply.wants.all {
			if one.state != wantWriting || offset != gridAt+p.w.stock.library.geometry.Offset(one.ref.Address, 0) {
				continue
			}
			if p.stays(one.ref) {
				p.file.WriteAt(data, offset)
				p.ref, p.tag, p.bytes, p.uncovered = one.ref, tag, len(data), true
				return
			}
		}
	}
	p.disk.Write(tag, offset, data, flags)
}

// stays tells whether the next checkpoint names a block, too.
func (p *endsHeld) stays(ref storage.Ref) bool {
	k := p.w.stock
	next := slices.IndexFunc(k.checkpoints, func(c storage.Checkpoint) bool { return c.Op > p.w.newest.Op })
	return slices.ContainsFunc(k.tables[k.checkpoints[next].Op], func(one stockTable) bool { return one.ref == ref })
}

func (p *endsHeld) Sync(tag uint64) {
	p.uncovered = p.uncovered && !p.hasEnded()
	p.disk.Sync(tag)
}

func (p *endsHeld) hasEnded() bool { return !p.ref.IsZero() && p.bytes == 0 }

func (p *endsHeld) Poll(out []ports.DiskCompletion) int {
	if p.mayEnd && p.bytes > 0 {
		out[0] = ports.DiskCompletion{Tag: p.tag, Result: int32(p.bytes)}
		p.bytes = 0
		return 1
	}
	return p.disk.Poll(out)
}

// newWalkBesideAWrite is a walker whose walk through a checkpoint has verified everything but a
// block whose header page is still being written; or has ended in error.
func newWalkBesideAWrite(t *testing.T) (w *walker, port *endsHeld) {
	t.Helper()
	random := seeded.Rand(t)
	k := makeStock(t, random, 420)
	w = newWalkerOver(t, random, k, func(d ports.Disk) ports.Disk {
		if port != nil {
			return d // of another worker
		}
		port = &endsHeld{disk: d.(*disk)}
		return port
	})
	port.w = w
	w.healer.isNamed = true // no repairs but those that the walk or an op waits for
	w.sync(k.checkpoints[2])
	w.turnsUntil("a header page is being written", func() bool { return !port.ref.IsZero() })
	for synced := w.newest.Op; w.newest.Op == synced; { // the walk through the next checkpoint reads the block again
		w.execute()
	}
	w.turnsUntil("the walk waits for the write alone, or has ended", func() bool {
		rest, left := w.apply.walk, walkTablesMax
		_, more := rest.next(&left)
		isBusy := slices.ContainsFunc(rest.reads[:], func(ref storage.Ref) bool { return !ref.IsZero() && ref != port.ref })
		return rest.state == walkReading && !more && !isBusy || len(w.whole) > 0
	})
	for range 2_000 {
		w.turn()
	}
	return w, port
}

// Goal: a walk that reads a block while the header page of its repair is being written finds it
// whole, and is not at its end before a sync that covers that write. Otherwise consensus hears that
// all blocks are there, and a power cut takes one of them.
func TestWalkReadsWhatIsBeingWritten(t *testing.T) {
	w, port := newWalkBesideAWrite(t)
	if len(w.whole) > 0 {
		t.Fatal("the walk has ended while a repair of its last block is being written")
	}
	port.mayEnd = true
	w.turnsUntil("the walk has ended", func() bool { return len(w.whole) > 0 })
	if !slices.Equal(w.whole, []uint64{w.newest.Op}) || port.uncovered {
		t.Errorf("walks at their end %v, want that of checkpoint %d; the write is not covered by a sync: %v", w.whole, w.newest.Op,
			port.uncovered)
	}
	w.stop()
}

// Goal: a walk that waits for the end of a write goes on when it has come, also while an op waits
// for the disk and nothing else happens.
func TestWalkIsWokenByAWrite(t *testing.T) {
	w, port := newWalkBesideAWrite(t)
	w.disk.holdsPages = true
	var slots []stages.Slot
	push := func() {
		slot := w.slots.Get(stages.SlotPrepare)
		slots = append(slots, slot)
		copy(w.slots.Bytes(slot), w.stock.messages[w.op])
		w.op++
		w.push(stages.ConsensusToApply{Kind: stages.ApplyCommit, Slot: slot, ReplySlot: stages.SlotNone, Op: w.op})
	}
	free := func() {
		for _, slot := range slots {
			w.slots.Put(slot)
		}
		slots = slots[:0]
	}
	for w.apply.Op() == w.op { // until one waits for a page
		free()
		push()
		for range 500 {
			w.turn()
		}
	}
	push()
	turn := func(drivers []stages.Driver) (busy bool) {
		for _, driver := range drivers {
			busy = driver.Turn(w.nowNs, 0) || busy
		}
		return busy
	}
	for turns := 0; turn(w.drivers); turns++ {
		if turns > 10_000 {
			t.Fatal("the threads never rest")
		}
	}
	if walk := &w.apply.walk; walk.state != walkReading || !walk.waits || w.apply.commitsCount == 0 {
		t.Fatalf("state %d, %d ops wait: want a walk that waits for a write, and an op that waits for a page", walk.state, w.apply.commitsCount)
	}
	port.mayEnd = true
	for range 500 {
		turn(w.drivers[1:])
	}
	w.apply.walk.steps = 0 // the next step is not the one in coverEvery that looks in any case
	for turn(w.drivers[:1]) {
	}
	if state := w.apply.walk.state; state != walkSyncing {
		t.Fatalf("state %d: the walk is not woken", state)
	}
	w.disk.holdsPages = false
	w.turnsUntil("the ops are executed and the walk is at its end", func() bool { return w.apply.Op() == w.op && len(w.whole) > 0 })
	free()
	w.stop()
}
