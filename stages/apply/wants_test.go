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
)

// library keeps every block that was ever written by an undamaged machine.
type library struct {
	geometry block.Geometry
	blocks   map[storage.Ref][]byte
	refs     []storage.Ref
}

func newLibrary(l limits.Limits) *library {
	return &library{geometry: block.GeometryOf(l), blocks: map[storage.Ref][]byte{}}
}

// listener is a port of the undamaged machine.
type listener struct {
	ports.Disk
	library *library
}

func (p listener) Write(tag, offset uint64, data []byte, flags ports.WriteFlags) {
	header := block.HeaderPage(data)
	ref := storage.Ref{Address: header.Address(), Checksum: header.Checksum()}
	if _, reason := block.VerifyPages(&p.library.geometry, data, ref, cluster); reason != "" {
		panic(reason)
	}
	if p.library.blocks[ref] == nil {
		p.library.blocks[ref] = bytes.Clone(data)
		p.library.refs = append(p.library.refs, ref)
	}
	p.Disk.Write(tag, offset, data, flags)
}

// slowRepairs is a port on which repairs take long now and then: the writes that do not begin with
// a header page. The header page that follows them must be that of the last block which a job or a
// checkpoint has written there.
type slowRepairs struct {
	*disk
	t        testing.TB
	geometry block.Geometry
	current  map[uint64]storage.Ref // by address
	held     []heldWrite
}

type heldWrite struct {
	polls       int
	tag, offset uint64
	data        []byte
}

func (p *slowRepairs) Write(tag, offset uint64, data []byte, flags ports.WriteFlags) {
	isHeader := (offset-gridAt)%uint64(p.geometry.BlockBytes) == 0
	if isHeader {
		header := block.HeaderPage(data)
		ref := storage.Ref{Address: header.Address(), Checksum: header.Checksum()}
		if isRepair := len(data) == int(p.geometry.PageBytes); !isRepair {
			p.current[ref.Address] = ref
		} else if p.current[ref.Address] != ref {
			p.t.Fatalf("a repair of block %d hits another block", ref.Address)
		}
	}
	if isHeader || p.random.IntN(2) > 0 {
		p.disk.Write(tag, offset, data, flags)
		return
	}
	p.held = append(p.held, heldWrite{1 + p.random.IntN(60), tag, offset, data})
}

func (p *slowRepairs) Poll(out []ports.DiskCompletion) (count int) {
	for i := len(p.held) - 1; i >= 0; i-- {
		w := &p.held[i]
		if w.polls--; w.polls == 0 {
			p.disk.Write(w.tag, w.offset, w.data, 0)
			p.held = slices.Delete(p.held, i, i+1)
		}
	}
	return p.disk.Poll(out)
}

// healer is consensus and the other replicas, as far as the repair of blocks needs them. It serves
// blocks from the library, late, wrongly, or when they are not wanted any more.
type healer struct {
	t       testing.TB
	random  *rand.Rand
	library *library
	slow    map[storage.Ref]bool // what others answer late
	isNamed bool                 // others have only what a checkpoint names
	unnamed bool                 // another block is wanted
	isMute  bool                 // others answer nothing, and ask for nothing
	wants   []storage.Ref        // that apply has told
	lost    []storage.Ref        // that are not wanted any more
	arrived map[stages.Slot]storage.Ref
	serving map[stages.Slot]storage.Ref
	counts  [stages.RepairWrong + 1]int
	served  map[stages.JournalReadResult]int
	most    int // wants at a time
	reused  int // addresses that were freed while a repair was written
	freed   map[storage.Ref]bool
	slots   *stages.Slots
}

func newHealer(t testing.TB, random *rand.Rand, library *library) *healer {
	return &healer{t: t, random: random, library: library,
		arrived: map[stages.Slot]storage.Ref{}, serving: map[stages.Slot]storage.Ref{},
		slow: map[storage.Ref]bool{}, freed: map[storage.Ref]bool{}, served: map[stages.JournalReadResult]int{}}
}

// take tells whether an answer of apply is about blocks.
func (h *healer) take(answer *stages.ApplyToConsensus) bool {
	switch answer.Kind {
	case stages.ApplyBlockWanted:
		if slices.Contains(h.wants, answer.Ref) {
			h.t.Fatalf("block %d is wanted twice", answer.Ref.Address)
		}
		for _, other := range h.wants {
			if other.Address == answer.Ref.Address {
				h.t.Fatalf("two blocks are wanted at address %d", other.Address)
			}
		}
		if h.library.blocks[answer.Ref] == nil {
			h.t.Fatalf("a block is wanted that never was: %+v", answer.Ref)
		}
		if h.isNamed {
			h.slow[answer.Ref] = !answer.Named
			h.unnamed = h.unnamed || !answer.Named
		}
		h.wants = append(h.wants, answer.Ref)
		if h.most = max(h.most, len(h.wants)); h.most > stages.BlocksWantedMax {
			h.t.Fatalf("%d blocks are wanted", h.most)
		}
	case stages.ApplyBlockUnwanted:
		h.lost = append(h.lost, answer.Ref)
		h.end(answer.Ref)
	case stages.ApplyBlockRepaired:
		if h.arrived[answer.Slot] != answer.Ref {
			h.t.Fatalf("a slot comes back that was not lent: %+v", answer)
		}
		delete(h.arrived, answer.Slot)
		if h.counts[answer.Repair]++; answer.Repair == stages.RepairWritten {
			h.end(answer.Ref)
		}
		h.slots.Put(answer.Slot)
	case stages.ApplyBlockServed:
		if h.serving[answer.Slot] != answer.Ref {
			h.t.Fatalf("a slot comes back that was not lent: %+v", answer)
		}
		delete(h.serving, answer.Slot)
		h.served[answer.Read]++
		data := h.slots.Bytes(answer.Slot)[stages.BlockOffsetBytes:][:answer.Bytes]
		if answer.Read == stages.ReadOK && !bytes.Equal(data, h.library.blocks[answer.Ref]) {
			h.t.Fatalf("block %d is served with other bytes", answer.Ref.Address)
		}
		h.slots.Put(answer.Slot)
	default:
		return false
	}
	return true
}

func (h *healer) end(ref storage.Ref) {
	at := slices.Index(h.wants, ref)
	if at < 0 {
		h.t.Fatalf("block %d ends to be wanted, and is not", ref.Address)
	}
	h.wants = slices.Delete(h.wants, at, at+1)
}

// turn sends apply a block or a request now and then.
func (h *healer) turn(b *bench) {
	h.slots = b.slots
	for i := range b.apply.wants.all {
		one := &b.apply.wants.all[i]
		isReused := b.apply.IsOpen() && one.state == wantWriting && !b.apply.forest.IsInUse(one.ref.Address)
		if isReused && !h.freed[one.ref] {
			h.reused++
			h.freed[one.ref] = true
		}
	}
	if h.isMute {
		return
	}
	if h.random.IntN(40) == 0 && len(h.library.refs) > 0 {
		if slot := b.slots.Get(stages.SlotSmall); slot != stages.SlotNone { // a class of which the test has slots to spare
			ref := h.library.refs[h.random.IntN(len(h.library.refs))]
			h.serving[slot] = ref
			b.push(stages.ConsensusToApply{Kind: stages.ApplyBlockServe, Slot: slot, Ref: ref})
		}
	}
	if !h.isNamed {
		h.scrub(b)
	}
	from := h.wants
	if h.random.IntN(8) == 0 {
		from = h.lost
	}
	if len(from) == 0 || h.random.IntN(3) > 0 {
		return
	}
	ref := from[h.random.IntN(len(from))]
	if b.apply.Ending() {
		for _, other := range h.wants { // one that the end of the bar frees
			if f := b.apply.forest; !f.IsNamed(other.Address) && f.TreeOf(other) == "" {
				ref = other
				break
			}
		}
	}
	if h.slow[ref] && h.isNamed {
		return
	}
	if h.slow[ref] && !b.apply.Ending() && h.random.IntN(100) > 0 {
		return // it comes when addresses are about to be freed
	}
	slot := b.slots.Get(stages.SlotRepair)
	if slot == stages.SlotNone {
		return
	}
	data := h.library.blocks[ref]
	copy(b.slots.Bytes(slot)[stages.BlockOffsetBytes:], data)
	size := uint32(len(data))
	if h.random.IntN(6) == 0 { // a peer that is broken
		switch h.random.IntN(3) {
		case 0:
			b.slots.Bytes(slot)[stages.BlockOffsetBytes+h.random.IntN(len(data))] ^= 4
		case 1:
			size -= h.library.geometry.PageBytes
		case 2:
			size = h.library.geometry.PageBytes * h.random.Uint32N(h.library.geometry.PagesMax+1)
			copy(b.slots.Bytes(slot)[stages.BlockOffsetBytes:], h.library.blocks[h.library.refs[h.random.IntN(len(h.library.refs))]])
		}
	}
	h.arrived[slot] = ref
	b.push(stages.ConsensusToApply{Kind: stages.ApplyBlockArrived, Slot: slot, Ref: ref, Bytes: size})
}

// scrub makes apply want blocks that no read waits for. So some are still wanted, or are being
// repaired, when their addresses are freed.
func (h *healer) scrub(b *bench) {
	if !b.apply.IsOpen() || h.random.IntN(4) > 0 {
		return
	}
	want := func(ref storage.Ref) {
		h.slow[ref] = true
		b.apply.wantScrubbed(ref)
	}
	if generation := b.apply.dealer.generation; generation != nil && h.random.IntN(4) > 0 {
		job := &generation.Jobs[h.random.IntN(len(generation.Jobs))]
		for _, tables := range job.Runs { // their addresses are freed soon
			if len(tables) > 0 && h.random.IntN(4) == 0 {
				want(tables[h.random.IntN(len(tables))].Ref)
			}
		}
		return
	}
	if h.random.IntN(10) == 0 {
		if ref := h.library.refs[h.random.IntN(len(h.library.refs))]; b.apply.forest.IsInUse(ref.Address) && b.apply.forest.TreeOf(ref) != "" {
			want(ref)
			return
		}
	}
}

// harm is damage of a file, which can be taken back where nothing has repaired it.
type harm struct {
	file  *file
	marks []mark
}

type mark struct {
	at     int
	before []byte
	after  []byte
}

// sectors overwrites some places of the grid with noise.
func (h *harm) sectors(random *rand.Rand, count, bytesEach int) {
	for range count {
		if len(h.file.data) <= gridAt+bytesEach {
			return
		}
		at := gridAt + random.IntN((len(h.file.data)-gridAt)/bytesEach)*bytesEach
		m := mark{at: at, before: bytes.Clone(h.file.data[at : at+bytesEach]), after: make([]byte, bytesEach)}
		for i := range m.after {
			m.after[i] = byte(random.Uint32())
		}
		copy(h.file.data[at:], m.after)
		h.marks = append(h.marks, m)
	}
}

// undo takes back what nothing has overwritten, sector by sector, the last damage first.
func (h *harm) undo() {
	const sector = 512
	for i := len(h.marks) - 1; i >= 0; i-- {
		m := h.marks[i]
		for at := 0; at < len(m.after); at += sector {
			if bytes.Equal(h.file.data[m.at+at:][:sector], m.after[at:][:sector]) {
				copy(h.file.data[m.at+at:][:sector], m.before[at:])
			}
		}
	}
}

// Goal: a replica of several whose file is damaged again and again, in any block, whose reads fail,
// and that goes back to its newest checkpoint now and then gives the replies of an undamaged one,
// gives out the same addresses, and ends with its bytes, page by page. Blocks come from others
// late, wrongly, twice, or when they are not wanted any more.
func TestDamageLeavesNoTrace(t *testing.T) {
	random := seeded.Rand(t)
	reused, rounds := 0, 0
	for ; reused < 12 && rounds < 5; rounds++ {
		if reused += damageRound(t, random); testing.Short() {
			return
		}
	}
	if reused == 0 {
		t.Error("no address was freed while a repair of it was written: the test shows little")
	}
	t.Logf("%d addresses were freed while repairs of them were written, in %d rounds", reused, rounds)
}

// damageRound returns how many addresses were freed while a repair of their blocks was being
// written.
func damageRound(t *testing.T, random *rand.Rand) (reused int) {
	ops := 400
	if testing.Short() {
		ops = 200
	}
	source := &log{traffic: storetest.New(random, 1_700_000_000_000_000_000), random: random}
	l := tiny()
	l.CompactWorkers = 2 + random.Uint32N(2)
	books := newLibrary(l)
	sound, err := newBenchOver(t, l, rand.New(rand.NewPCG(random.Uint64(), 0)), &file{}, storage.Checkpoint{},
		func(d ports.Disk) ports.Disk { return listener{d, books} })
	if err != nil {
		t.Fatal(err)
	}
	var messages, want [][]byte
	for range ops {
		message, _ := source.next()
		messages = append(messages, bytes.Clone(message))
		want = append(want, sound.frames(message))
	}
	sound.settle()
	l.ReplicasCount = 3
	h := newHealer(t, random, books)
	wear, current := harm{file: &file{}}, map[uint64]storage.Ref{}
	fails := 0
	makeBench := func(checkpoint storage.Checkpoint) *bench {
		b, err := newBenchAmong(t, l, rand.New(rand.NewPCG(random.Uint64(), 0)), wear.file, checkpoint, func(d ports.Disk) ports.Disk {
			d.(*disk).fails = fails
			return &slowRepairs{disk: d.(*disk), t: t, geometry: books.geometry, current: current}
		}, h)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := makeBench(storage.Checkpoint{})
	reopened, restarted := 0, 0
	for b.op < uint64(ops) {
		if got := b.frames(messages[b.op]); !bytes.Equal(got, want[b.op-1]) {
			t.Fatalf("op %d: the replies differ", b.op)
		}
		others := []int{1, 1, 8}[random.IntN(3)] // repairs, which the first worker writes, may take long
		for i := range b.weights {
			if b.weights[i] = others; i == 1 {
				b.weights[i] = 1
			}
		}
		what := random.IntN(200)
		if b.newest.Op > 0 && reopened*restarted == 0 && b.op > uint64(ops/2) { // these happen in every run
			what = 11 + min(reopened, 1)
		}
		switch what {
		case 0:
			wear.sectors(random, 2, 8*int(l.BlockBytes))
		case 11:
			if b.newest.Op > 0 && b.op < uint64(ops) {
				b.reopen(b.newest)
				reopened++
			}
		case 12: // a start
			if b.newest.Op == 0 || b.op == uint64(ops) {
				break
			}
			checkpoint := b.newest
			b.stop()
			wear.sectors(random, random.IntN(20), 512)
			fails = []int{0, 20, 200}[random.IntN(3)]
			h.restart()
			b = makeBench(checkpoint)
			restarted++
		default:
			if random.IntN(4) > 0 {
				break
			}
			wear.sectors(random, 1+random.IntN(10), 512)
		}
	}
	b.settle()
	wear.undo()
	if sound.newest != b.newest {
		t.Errorf("the newest checkpoints are of ops %d and %d, or differ", sound.newest.Op, b.newest.Op)
	}
	if at := differsAt(sound.file.data[gridAt:], wear.file.data[gridAt:]); at >= 0 {
		t.Errorf("the grid differs at block %d", 1+at/int(l.BlockBytes))
	}
	if !testing.Short() && (h.counts[stages.RepairWritten] < 50 || h.counts[stages.RepairUnwanted] == 0 || h.counts[stages.RepairWrong] == 0 ||
		reopened == 0 || restarted == 0) {
		t.Errorf("repairs %v, reopened %d times, restarted %d times: the test shows little", h.counts, reopened, restarted)
	}
	t.Logf("repairs %v, at most %d at a time, served %v, reopened %d times, restarted %d times",
		h.counts, h.most, h.served, reopened, restarted)
	b.stop()
	sound.stop()
	return h.reused
}

// Goal: a damaged block that no checkpoint names, and that nobody gives, is written anew when the
// replica goes back to its newest checkpoint and executes the ops behind it again. The file ends as
// without damage.
func TestReopenRebuildsWhatNoCheckpointNames(t *testing.T) {
	random := seeded.Rand(t)
	source := &log{traffic: storetest.New(random, 1_700_000_000_000_000_000), random: random}
	l := tiny()
	books := newLibrary(l)
	sound, err := newBenchOver(t, l, rand.New(rand.NewPCG(random.Uint64(), 0)), &file{}, storage.Checkpoint{},
		func(d ports.Disk) ports.Disk { return listener{d, books} })
	if err != nil {
		t.Fatal(err)
	}
	var messages [][]byte
	for range 400 {
		message, _ := source.next()
		messages = append(messages, bytes.Clone(message))
		sound.commit(message, true)
	}
	sound.settle()
	l.ReplicasCount = 3
	h := newHealer(t, random, books)
	h.isNamed = true
	wear := harm{file: &file{}}
	b, err := newBenchAmong(t, l, rand.New(rand.NewPCG(random.Uint64(), 0)), wear.file, storage.Checkpoint{},
		func(d ports.Disk) ports.Disk { return d }, h)
	if err != nil {
		t.Fatal(err)
	}
	// With more damage than an op mends, the same ops would be executed again and again.
	const reopensMax = 200
	reopened := 0
	for turns := 0; b.op < uint64(len(messages)) || b.apply.Ending() || !b.apply.Settled(); turns++ {
		if turns > 1_000_000 {
			t.Fatalf("op %d is never executed", b.op)
		}
		slot, replySlot := stages.SlotNone, stages.SlotNone
		if b.op < uint64(len(messages)) {
			slot, replySlot = b.slots.Get(stages.SlotPrepare), b.slots.Get(stages.SlotReply)
			copy(b.slots.Bytes(slot), messages[b.op])
			b.op++
			b.push(stages.ConsensusToApply{Kind: stages.ApplyCommit, Slot: slot, ReplySlot: replySlot, Op: b.op})
			b.waiting = true
		}
		for more := true; more && !h.unnamed; more = b.waiting {
			if b.turn(); b.fault != nil {
				t.Fatal(b.fault)
			}
		}
		if h.unnamed {
			b.reopen(b.newest)
			h.unnamed = false
			reopened++
		}
		if slot != stages.SlotNone {
			b.slots.Put(slot)
			b.slots.Put(replySlot)
			if reopened < reopensMax {
				wear.sectors(random, 60, 512)
			}
		}
	}
	wear.undo()
	if at := differsAt(sound.file.data[gridAt:], wear.file.data[gridAt:]); at >= 0 {
		t.Errorf("the grid differs at block %d", 1+at/int(l.BlockBytes))
	}
	if sound.newest != b.newest || reopened == 0 {
		t.Errorf("the newest checkpoints are of ops %d and %d, reopened %d times", sound.newest.Op, b.newest.Op, reopened)
	}
	t.Logf("repairs %v, reopened %d times", h.counts, reopened)
}

// Goal: a block that is wanted anew while the end of its last want waits for room is told as a new
// want, behind that end: consensus must not go on counting from what it knows of the last one.
func TestWantBehindItsEnd(t *testing.T) {
	ref := storage.Ref{Address: 5}
	out := NewActions(1)
	s := &Stage{several: true, closing: true, out: &out}
	told := func(newsMax int) (kinds []stages.ApplyToConsensusKind) {
		out.Reset()
		out.NewsMax = newsMax
		s.wantsStep()
		s.wants.add(ref, false) // whoever waits asks again in each step
		for _, news := range out.Consensus {
			kinds = append(kinds, news.Kind)
		}
		return kinds
	}
	s.wants.add(ref, false)
	for i, c := range []struct {
		isDropped bool
		newsMax   int
		want      []stages.ApplyToConsensusKind
	}{
		{false, 9, []stages.ApplyToConsensusKind{stages.ApplyBlockWanted}},
		{true, 0, nil},
		{false, 9, []stages.ApplyToConsensusKind{stages.ApplyBlockUnwanted}},
		{false, 9, []stages.ApplyToConsensusKind{stages.ApplyBlockWanted}},
	} {
		if c.isDropped {
			s.wantsDrop()
		}
		if got := told(c.newsMax); !slices.Equal(got, c.want) {
			t.Fatalf("step %d: apply tells %v, want %v", i, got, c.want)
		}
	}
}

// Goal: a worker whose read was under way while its block was repaired may say behind the repair
// that the block is damaged. It reads once more, and nobody is asked for the block. If it still is
// damaged then, others are asked.
func TestWantBehindARepair(t *testing.T) {
	random := seeded.Rand(t)
	k := makeStock(t, random, 240)
	w := newWalker(t, random, k)
	w.healer.isMute = true // it wants blocks of its own accord
	for len(k.tables[w.newest.Op]) < 2 {
		w.execute()
	}
	w.settle()
	ref := k.tables[w.newest.Op][0].ref
	apply := w.drivers[0].(*Driver)
	worker := random.IntN(len(apply.workers))
	isTold := func() bool { // what the worker says about the block, whatever it really does
		apply.workers[worker].From.PushOne(stages.CompactToApply{Kind: stages.CompactBlockWanted, Ref: ref})
		for range 100 {
			w.turn()
		}
		return slices.Contains(w.healer.wants, ref)
	}
	w.apply.wants.repaired.put(ref)
	if isTold() || !w.apply.wants.workers[worker].IsZero() {
		t.Fatal("others are asked for a block that was just repaired, or the worker is not told to read it again")
	}
	if !isTold() {
		t.Fatal("nobody is asked for a block that is damaged behind its repair")
	}
	w.apply.wants.repaired.put(ref) // others are asked for it already, because of the scrubber or another reader
	if isTold(); !w.apply.wants.workers[worker].IsZero() {
		t.Fatal("the worker waits for others, and does not read a block again that was just repaired")
	}
	out := NewActions(len(apply.workers))
	other := k.tables[w.newest.Op][1].ref
	w.apply.wants.repaired.put(other)
	if w.apply.wantScrubbed(other); w.apply.wants.find(other) != nil {
		t.Error("others are asked for a block because of the scrubber, and it was just repaired")
	}
	w.apply.wants.repaired.put(other)
	w.apply.out, w.apply.more, w.apply.late.more = &out, false, false
	if w.apply.want(other); !w.apply.more || !w.apply.late.more {
		t.Error("an op or a query that waits for a page of the block is not woken")
	}
	w.apply.out = nil
	w.stop()
}

// restart forgets what the replica had asked for and been lent.
func (h *healer) restart() {
	h.wants, h.lost = nil, nil
	clear(h.slow)
	clear(h.arrived)
	clear(h.serving)
}

// settle lets compact end what it has.
func (b *bench) settle() {
	b.t.Helper()
	for turns := 0; b.apply.Ending() || !b.apply.Settled(); turns++ {
		if b.turn(); b.fault != nil {
			b.t.Fatal(b.fault)
		}
		if turns > 1_000_000 {
			b.t.Fatal("it never settles")
		}
	}
}
