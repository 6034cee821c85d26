package pages

import (
	"testing"

	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/grid"
	"ledger/wire"
)

// file is a disk that completes a read when it is polled for the second time.
type file struct {
	data  []byte
	reads []ports.DiskCompletion
	polls int
}

func (f *file) Read(tag uint64, offset uint64, buffer []byte) {
	copy(buffer, f.data[offset:])
	f.reads = append(f.reads, ports.DiskCompletion{Tag: tag, Result: int32(len(buffer))})
}
func (f *file) Write(uint64, uint64, []byte, ports.WriteFlags) { panic("no writes") }
func (f *file) Sync(uint64)                                    { panic("no syncs") }
func (f *file) Allocate(uint64, uint64, uint64)                { panic("no allocations") }
func (f *file) Poll(out []ports.DiskCompletion) (count int) {
	if f.polls++; f.polls%2 == 0 {
		count = copy(out, f.reads)
		f.reads = f.reads[count:]
	}
	return count
}

// waiter polls, and ends the caller of Fail by a panic.
type waiter struct {
	grid    *grid.Grid
	reader  *Reader
	waits   int
	breaths int
}

func (w *waiter) Wait() {
	w.grid.Poll()
	w.waits++
	if fault := w.reader.Fault(); fault != nil {
		panic(fault)
	}
}
func (w *waiter) Breathe() { w.breaths++ }

// noted is what Missing was told.
type noted struct {
	refs  []storage.Ref
	pages []uint32
}

func (n *noted) PageMissing(ref storage.Ref, number uint32) {
	n.refs, n.pages = append(n.refs, ref), append(n.pages, number)
}

// newReader returns a reader of a disk with one block of two pages.
func newReader(t *testing.T) (*Reader, *waiter, storage.Ref, *file) {
	l := limits.Production()
	l.SectorBytes, l.PageBytes, l.BlockBytes, l.CacheGridBytes = 512, 512, 4096, 64<<10
	memory := arena.New()
	t.Cleanup(memory.Close)
	g := block.GeometryOf(l)
	data := make([]byte, 4*l.BlockBytes)
	header := block.Begin(&g, data)
	for i := range l.PageBytes {
		data[l.PageBytes+i] = byte(i)
	}
	header.PageSet(1, &storage.Key{1}, 0)
	ref := block.Seal(&g, data[:l.BlockBytes], &block.Fields{Address: 1, Kind: block.KindTable, Tree: storage.TreePending,
		Encoding: storage.EncodingPlain, PagesUsed: 2, Entries: 1})
	f := &file{data: data}
	w := &waiter{}
	w.grid = grid.New(l, memory, f, 0, wire.U128{}, arena.Options{})
	w.reader = New(w.grid, w)
	return w.reader, w, ref, f
}

// Goal: Page waits for a page once, tells Missing of it once, and returns its bytes; then it is
// there without a wait. Try and Warm never wait.
func TestPage(t *testing.T) {
	r, w, ref, f := newReader(t)
	if r.Lookup(ref, 1) != nil {
		t.Fatal("a page that nobody read is in memory")
	}
	if _, ok := r.Try(ref, 1); ok || w.waits != 0 || r.InFlight() == 0 {
		t.Fatalf("Try: %v, %d waits, %d reads", ok, w.waits, r.InFlight())
	}
	var n noted
	r.OnMissing(&n)
	page := r.Page(ref, 1)
	for i, b := range page {
		if b != f.data[512+i] {
			t.Fatalf("byte %d of the page is %d", i, b)
		}
	}
	if len(n.refs) != 1 || n.refs[0] != ref || n.pages[0] != 1 || r.Waits() != 1 || w.waits == 0 {
		t.Errorf("missing were %v %v, %d pages were waited for", n.refs, n.pages, r.Waits())
	}
	waits := w.waits
	r.Page(ref, 1)
	if again, ok := r.Try(ref, 1); !ok || again == nil || w.waits != waits || r.Waits() != 1 || len(n.refs) != 1 {
		t.Errorf("a page in memory: %v, %d waits, %d missing", ok, w.waits-waits, len(n.refs))
	}
	r.Waited()
	r.Breathe()
	if r.Waits() != 2 || w.breaths != 1 {
		t.Errorf("%d waits and %d breaths", r.Waits(), w.breaths)
	}
}

// Goal: a damaged page is a fault, and the caller of Page does not go on.
func TestDamagedPage(t *testing.T) {
	r, _, ref, f := newReader(t)
	f.data[600] ^= 1
	defer func() {
		if fault, ok := recover().(*storage.Fault); !ok || fault.Address != ref.Address || r.Fault() != fault || r.Failed() {
			t.Errorf("ended with %v, the fault is %v", fault, r.Fault())
		}
	}()
	r.Page(ref, 1)
	t.Error("a damaged page was returned")
}

// Goal: Fail keeps its fault before that of the grid, and never returns. Reset forgets it.
func TestFail(t *testing.T) {
	r, _, _, _ := newReader(t)
	want := &storage.Fault{What: storage.FaultStorageLimit, Reason: "a test"}
	func() {
		defer func() { recover() }()
		r.Fail(want)
		t.Error("Fail has returned")
	}()
	if r.Fault() != want || !r.Failed() {
		t.Errorf("the fault is %v", r.Fault())
	}
	if r.Reset(); r.Fault() != nil || r.Failed() {
		t.Errorf("after a reset the fault is %v", r.Fault())
	}
	func() {
		defer func() { recover() }()
		r.FailFull()
	}()
	if fault := r.Fault(); fault == nil || fault.What != storage.FaultStorageLimit {
		t.Errorf("a full file is the fault %v", fault)
	}
}
