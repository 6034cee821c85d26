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

// healer is consensus and the other replicas, as far as the repair of blocks needs them. It serves
// blocks from the library, late, wrongly, or when they are not wanted any more.
type healer struct {
	t       testing.TB
	random  *rand.Rand
	library *library
	silent  bool          // no answer comes
	wants   []storage.Ref // that apply has told
	lost    []storage.Ref // that are not wanted any more
	arrived map[stages.Slot]storage.Ref
	serving map[stages.Slot]storage.Ref
	counts  [stages.RepairWrong + 1]int
	served  map[stages.JournalReadResult]int
	most    int // wants at a time
	slots   *stages.Slots
}

func newHealer(t testing.TB, random *rand.Rand, library *library) *healer {
	return &healer{t: t, random: random, library: library, arrived: map[stages.Slot]storage.Ref{}, serving: map[stages.Slot]storage.Ref{},
		served: map[stages.JournalReadResult]int{}}
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
	if h.random.IntN(40) == 0 && len(h.library.refs) > 0 {
		if slot := b.slots.Get(stages.SlotSmall); slot != stages.SlotNone { // a class of which the test has slots to spare
			ref := h.library.refs[h.random.IntN(len(h.library.refs))]
			h.serving[slot] = ref
			b.push(stages.ConsensusToApply{Kind: stages.ApplyBlockServe, Slot: slot, Ref: ref})
		}
	}
	from := h.wants
	if h.random.IntN(8) == 0 {
		from = h.lost
	}
	if h.silent || len(from) == 0 || h.random.IntN(3) > 0 {
		return
	}
	slot := b.slots.Get(stages.SlotRepair)
	if slot == stages.SlotNone {
		return
	}
	ref := from[h.random.IntN(len(from))]
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
	ops := 500
	if testing.Short() {
		ops = 200
	}
	random := seeded.Rand(t)
	source := &log{traffic: storetest.New(random, 1_700_000_000_000_000_000), random: random}
	l := tiny()
	l.CompactWorkers = 1 + random.Uint32N(3)
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
	wear := harm{file: &file{}}
	fails := 0
	makeBench := func(checkpoint storage.Checkpoint) *bench {
		b, err := newBenchAmong(t, l, rand.New(rand.NewPCG(random.Uint64(), 0)), wear.file, checkpoint, func(d ports.Disk) ports.Disk {
			d.(*disk).fails = fails
			return d
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
		switch random.IntN(40) {
		case 0:
			wear.sectors(random, 2, 8*int(l.BlockBytes))
		case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10:
			wear.sectors(random, 1+random.IntN(10), 512)
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
}

// restart forgets what the replica had asked for and been lent.
func (h *healer) restart() {
	h.wants, h.lost = nil, nil
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
