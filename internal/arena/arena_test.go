package arena

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// Goal: reservations are zeroed, aligned, writable to the last byte and separate from each other.
func TestBytes(t *testing.T) { testBytes(t, New()) }

// Goal: the same holds for reservations that begin in a region, fill it, and go on outside.
func TestRegion(t *testing.T) {
	for _, regionBytes := range []uint64{PageBytes, 2 << 20, 64 << 20} {
		a, err := NewRegion(regionBytes)
		if err != nil {
			t.Fatal(err)
		}
		testBytes(t, a)
	}
	if _, err := NewRegion(1 << 60); err == nil {
		t.Error("a region that no address space has room for is not refused")
	}
}

func testBytes(t *testing.T, a *Arena) {
	defer a.Close()
	cases := []struct {
		name       string
		size, want uint64 // want: counted bytes
		align      uint64
		options    Options
	}{
		{"nothing", 0, 0, 1, Options{}},
		{"one byte", 1, PageBytes, 1, Options{Class: Table}},
		{"a page", PageBytes, PageBytes, PageBytes, Options{}},
		{"wide alignment", 3 * PageBytes, 3 * PageBytes, 1 << 20, Options{Class: Slot, Touch: true}},
		{"huge", 4 << 20, 4 << 20, PageBytes, Bulk(Cache, true)},
		{"small and touched", 64 << 10, 64 << 10, 8, Options{Class: Index, Touch: true}},
	}
	for i, c := range cases {
		data := a.BytesWith(c.size, c.align, c.name, c.options)
		if uint64(len(data)) != c.size || cap(data) != len(data) {
			t.Errorf("%s: len %d cap %d, want %d", c.name, len(data), cap(data), c.size)
		}
		if c.size == 0 {
			continue
		}
		if address := uint64(uintptr(unsafe.Pointer(&data[0]))); address%max(c.align, PageBytes) != 0 {
			t.Errorf("%s: address %#x is not aligned to %d", c.name, address, c.align)
		}
		for j, b := range data {
			if b != 0 {
				t.Fatalf("%s: byte %d is %d, want 0", c.name, j, b)
			}
		}
		for j := range data {
			data[j] = byte(i + 1)
		}
		if got := a.Entries()[i]; got.Bytes != c.want || got.Name != c.name || got.Class != c.options.Class {
			t.Errorf("%s: counted %+v, want %d bytes of class %v", c.name, got, c.want, c.options.Class)
		}
	}
}

// Goal: the class of a reservation is what its options say, whatever its name; a pool is of slots;
// one name has one class.
func TestClass(t *testing.T) {
	a := New()
	defer a.Close()
	a.Bytes(1, 1, "client slots, cache, table")
	SliceWith[uint64](a, 1, "memtables", Bulk(Table, true))
	NewPool(a, 2, PageBytes, "messages")
	NewPoolHuge(a, 2, 2<<20, "large messages", 2<<20)
	SliceWith[uint64](a, 0, "nothing", Options{Class: Index})
	want := []Class{Buffer, Table, Slot, Slot, Index}
	for i, e := range a.Entries() {
		if e.Class != want[i] {
			t.Errorf("%s is of class %v, want %v", e.Name, e.Class, want[i])
		}
		if spare := map[string]uint64{"memtables": hugePageBytes - PageBytes}[e.Name]; e.SpareBytes != spare {
			t.Errorf("%s has %d bytes that huge pages may cover as well, want %d", e.Name, e.SpareBytes, spare)
		}
	}
	var visited []Class
	a.Regions(func(class Class, _ []byte) { visited = append(visited, class) })
	if want := []Class{Buffer, Table, Slot, Slot, Slot, Slot, Slot, Slot}; !slices.Equal(visited, want) {
		t.Errorf("regions of classes %v, want %v", visited, want)
	}
	defer func() {
		if recover() == nil {
			t.Error("a name got a second class")
		}
	}()
	a.BytesWith(1, 1, "memtables", Options{Class: Cache})
}

// Goal: an impossible reservation ends start-up with a sentence, not with a crash somewhere else.
func TestBytesRefused(t *testing.T) {
	a := New()
	defer a.Close()
	defer func() {
		err, _ := recover().(error)
		var refused *Error
		if !errors.As(err, &refused) || refused.Name != "the moon" {
			t.Errorf("panic %v, want an *Error for the moon", err)
		}
	}()
	a.Bytes(1<<46-1, 1<<45, "the moon")
	a.Bytes(1<<46-1, 1<<45, "the moon") // a 47-bit address space holds one of them at most
	t.Error("a reservation beyond the address space succeeded")
}

// Goal: typed slices work for records, and types with pointers are refused wherever the pointer
// hides.
func TestSlice(t *testing.T) {
	a := New()
	defer a.Close()
	type record struct {
		ID    [16]byte
		Count uint64
		Flags struct{ Bits [3]uint16 }
	}
	records := Slice[record](a, 1000, "records")
	records[999].Count = 7
	if len(records) != 1000 || records[999].Count != 7 || records[0].Count != 0 {
		t.Error("a slice of records does not hold what was written")
	}
	if len(Slice[record](a, 0, "none")) != 0 {
		t.Error("an empty slice has records")
	}
	refused := map[string]func(){
		"pointer":   func() { Slice[*int](a, 1, "x") },
		"string":    func() { Slice[string](a, 1, "x") },
		"nested":    func() { Slice[struct{ a [2]struct{ b []byte } }](a, 1, "x") },
		"interface": func() { Slice[any](a, 1, "x") },
		"function":  func() { Slice[struct{ f func() }](a, 1, "x") },
	}
	for name, reserve := range refused {
		if !panics(reserve) {
			t.Errorf("%s: a type with pointers was accepted", name)
		}
	}
}

// Goal: the huge pages of a pool are whole ones at its start: the kernel is asked for huge pages
// there, and for none behind. The slots are as separate as in another pool, and Populate counts
// what it will touch.
func TestPoolHuge(t *testing.T) {
	const slotsCount, slotBytes = 7, 1 << 20
	for hugeBytes, want := range map[uint64]uint64{0: 0, 4096: 0, 2 << 20: 2 << 20, 5 << 20: 4 << 20, 1 << 30: 6 << 20} {
		a := New()
		p := NewPoolHuge(a, slotsCount, slotBytes, "slots", hugeBytes)
		at := uintptr(unsafe.Pointer(unsafe.SliceData(p.Bytes(0))))
		if hugeBytes > 0 && at%hugePageBytes != 0 {
			t.Errorf("%d bytes: the first slot is at %#x", hugeBytes, at)
		}
		toTouch := 0
		for _, memory := range a.toTouch {
			toTouch += len(memory)
		}
		if uint64(toTouch) != want {
			t.Errorf("%d bytes: %d are to be touched, want %d", hugeBytes, toTouch, want)
		}
		// In the Go heap, where a build with -race has it, memory is the runtime's to advise.
		if advised, known := advisedHuge(t, at, slotsCount*slotBytes); known && !inGoHeap(1) && advised != want {
			t.Errorf("%d bytes: the kernel is asked for %d bytes in huge pages, want %d", hugeBytes, advised, want)
		}
		for i := range uint32(slotsCount) {
			slot, ok := p.Get()
			bytes := p.Bytes(slot)
			if !ok || slot != i || len(bytes) != slotBytes {
				t.Fatalf("%d bytes: slot %d has %d bytes (%v), want slot %d", hugeBytes, slot, len(bytes), ok, i)
			}
			bytes[0], bytes[len(bytes)-1] = byte(i)+1, byte(i)+101
		}
		for i := range uint32(slotsCount) {
			if bytes := p.Bytes(i); bytes[0] != byte(i)+1 || bytes[len(bytes)-1] != byte(i)+101 {
				t.Errorf("%d bytes: slot %d shares memory with another", hugeBytes, i)
			}
		}
		a.Close()
	}
}

// advisedHuge counts the bytes of [at, at+size) for which the kernel was asked for huge pages; a
// kernel without them does not know. Only the first of them count: behind one without, no more may
// come.
func advisedHuge(t *testing.T, at uintptr, size uint64) (advised uint64, known bool) {
	t.Helper()
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		return 0, false
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	var first, last uintptr
	isBehind := false
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		if _, err := fmt.Sscanf(line, "%x-%x ", &from, &to); err == nil {
			first, last = max(from, at), min(to, at+uintptr(size))
			continue
		}
		flags, ok := strings.CutPrefix(line, "VmFlags:")
		if !ok || first >= last {
			continue
		}
		if !strings.Contains(flags+" ", " hg ") {
			isBehind = true
			continue
		}
		if isBehind {
			t.Errorf("huge pages at %#x, behind memory without", first)
		}
		advised += uint64(last - first)
	}
	return advised, true
}

// Goal: the pool gives out every slot once, the last one put first, and refuses what was not given
// out.
func TestPool(t *testing.T) {
	a := New()
	defer a.Close()
	p := NewPool(a, 4, PageBytes, "slots")
	var handles []uint32
	for {
		handle, ok := p.Get()
		if !ok {
			break
		}
		p.Bytes(handle)[PageBytes-1] = byte(handle + 1)
		handles = append(handles, handle)
	}
	if len(handles) != 4 || handles[0] != 0 || handles[3] != 3 || p.FreeCount() != 0 {
		t.Fatalf("handles %v, free %d", handles, p.FreeCount())
	}
	for _, handle := range handles {
		if p.Bytes(handle)[PageBytes-1] != byte(handle+1) {
			t.Errorf("slot %d overlaps another", handle)
		}
	}
	p.Put(2)
	p.Put(1)
	if handle, _ := p.Get(); handle != 1 {
		t.Errorf("got slot %d, want the one put last, 1", handle)
	}
	if !panics(func() { p.Put(2) }) {
		t.Error("a slot was put twice")
	}
	if !panics(func() { p.Put(4) }) || !panics(func() { p.Bytes(4) }) {
		t.Error("a handle of nobody was accepted")
	}
}

// Goal: against a set as a model, any order of gets and puts keeps the books; and nothing is
// allocated.
func TestPoolModel(t *testing.T) {
	const seed, slots = 1, 37
	random := rand.New(rand.NewPCG(seed, 0))
	a := New()
	defer a.Close()
	p := NewPool(a, slots, PageBytes, "slots")
	held := map[uint32]bool{}
	var order []uint32
	for range 10_000 {
		if random.IntN(2) == 0 {
			handle, ok := p.Get()
			if ok != (len(held) < slots) || (ok && held[handle]) {
				t.Fatalf("get: handle %d ok %v while %d are held", handle, ok, len(held))
			}
			if ok {
				held[handle], order = true, append(order, handle)
			}
		} else if len(order) > 0 {
			i := random.IntN(len(order))
			p.Put(order[i])
			delete(held, order[i])
			order[i] = order[len(order)-1]
			order = order[:len(order)-1]
		}
		if int(p.FreeCount()) != slots-len(held) {
			t.Fatalf("free %d, want %d", p.FreeCount(), slots-len(held))
		}
	}
	for _, handle := range order {
		p.Put(handle)
	}
	if allocs := testing.AllocsPerRun(1000, func() { h, _ := p.Get(); p.Bytes(h)[0]++; p.Put(h) }); allocs != 0 {
		t.Errorf("the pool allocates %.1f times per use, want 0", allocs)
	}
}

func panics(f func()) (panicked bool) {
	defer func() { panicked = recover() != nil }()
	f()
	return false
}

func BenchmarkPool(b *testing.B) {
	a := New()
	defer a.Close()
	p := NewPool(a, 64, PageBytes, "slots")
	b.ReportAllocs()
	for b.Loop() {
		h, _ := p.Get()
		p.Put(h)
	}
}

// Goal: nothing is touched at its reservation; Populate touches what asked for it, and keeps what
// was written before.
func TestPopulate(t *testing.T) {
	if inGoHeap(0) {
		t.Skip("the race detector keeps records beside all memory of the Go heap, which count as resident")
	}
	a := New()
	defer a.Close()
	const size = 64 << 20
	before := residentBytes(t)
	asked := a.BytesWith(size, PageBytes, "asked", Options{Touch: true})
	spared := a.Bytes(size, PageBytes, "spared")
	a.BytesWith(size, PageBytes, "first", Options{TouchFirst: true})
	asked[size/2] = 7
	if grown := residentBytes(t) - before; grown > size/2 {
		t.Errorf("%d bytes are resident after reserving", grown)
	}
	a.Populate()
	if grown := residentBytes(t) - before; grown < size*9/10 || grown > size*3/2 {
		t.Errorf("%d bytes are resident after touching %d", grown, size)
	}
	if asked[size/2] != 7 || asked[0] != 0 || spared[0] != 0 {
		t.Error("touching changed what is there")
	}
	resident := make([]uint64, 3)
	if a.Resident(resident); resident[0] < size || resident[0] > size+PageBytes || resident[1] > PageBytes || resident[2] != hugePageBytes {
		t.Errorf("%d bytes are resident by name, want %d, next to none, and 2 MiB", resident, size)
	}
	for _, e := range a.Entries() {
		if want := map[string]uint64{"asked": size, "first": hugePageBytes}[e.Name]; e.TouchBytes != want {
			t.Errorf("%s: %d bytes to touch, want %d", e.Name, e.TouchBytes, want)
		}
	}
}

// residentBytes of this process.
func residentBytes(t *testing.T) int {
	t.Helper()
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	var size, resident int
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * os.Getpagesize()
}

// Goal: Populate touches what is wanted soon first, from its end on, and what is wanted late last,
// each whole and once. What was written before stays.
func TestTouchSoonAndLate(t *testing.T) {
	a := New()
	defer a.Close()
	a.BytesWith(PageBytes, PageBytes, "touched", Options{Class: Cache, Touch: true})
	index := a.BytesWith(5*pieceBytes, PageBytes, "index", Options{Class: Index})
	soon, late := index[:2*pieceBytes+PageBytes], index[3*pieceBytes:][:pieceBytes+1]
	for i := range index {
		if i%PageBytes == 7 {
			index[i] = byte(i >> 12)
		}
	}
	a.TouchLate(late)
	a.TouchSoon(soon)
	var sizes []int
	for _, data := range a.toTouch {
		sizes = append(sizes, len(data))
	}
	if want := []int{PageBytes, pieceBytes, pieceBytes, PageBytes, pieceBytes, 1}; !slices.Equal(sizes, want) {
		t.Fatalf("pieces of %v bytes, want %v", sizes, want)
	}
	for i, want := range []*byte{&soon[2*pieceBytes], &soon[pieceBytes], &soon[0], nil, &late[0], &late[pieceBytes]} {
		if want != nil && &a.toTouch[i][0] != want {
			t.Errorf("piece %d begins elsewhere", i)
		}
	}
	a.TouchSoon(nil)
	a.TouchLate(nil)
	a.Populate()
	for i := range index {
		if i%PageBytes == 7 && index[i] != byte(i>>12) {
			t.Fatalf("byte %d is %d", i, index[i])
		}
	}
}
