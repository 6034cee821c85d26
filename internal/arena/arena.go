package arena

import (
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"ledger/internal/assert"
)

// PageBytes is the alignment that every reservation has at least.
const PageBytes = 4096

// hugePageBytes is the size of a huge page.
const hugePageBytes = 2 << 20

// Class tells how load uses a reservation, and so how much of it becomes resident.
type Class uint8

const (
	Buffer Class = iota // load uses all of it: buffers, small fixed tables
	Cache               // it fills under load and stays full
	// Slot: slots of messages. The slot that was freed last is used first, so load touches few.
	// Many clients with large messages touch all.
	Slot
	Table // data of the newest ops; full only in the worst case
	Index // grows with the data file
	ClassesCount
)

func (c Class) String() string {
	return [ClassesCount]string{"buffer", "cache", "slot", "table", "index"}[c]
}

// Options of one reservation. The zero value is a Buffer in small pages that load touches.
type Options struct {
	Class     Class
	Touch     bool // Populate touches all pages, so that load causes no page fault
	HugePages bool // pages of 2 MiB: for large tables with random accesses, not for slots
	// TouchFirst makes Populate touch the first 2 MiB. It is for memory that is used from its
	// beginning on and seldom far. The kernel takes up to 5 ms to find a huge page, and the op that
	// needs it would wait.
	TouchFirst bool
}

// touchBytes is the number of bytes of a reservation that Populate touches.
func (o Options) touchBytes(size uint64) uint64 {
	switch {
	case o.Touch:
		return size
	case o.TouchFirst:
		return min(size, hugePageBytes)
	}
	return 0
}

// Bulk is for large tables and caches. If they will probably be full, they are touched and in huge
// pages. Otherwise they grow with the load.
func Bulk(class Class, full bool) Options {
	return Options{Class: class, Touch: full, HugePages: full}
}

// Entry is all reservations of one name, which have the same class.
type Entry struct {
	Name       string
	Class      Class
	Bytes      uint64 // reserved; touched pages may be fewer
	TouchBytes uint64 // the part that Populate touches
	SpareBytes uint64 // mapped in addition, for the alignment of huge pages; a huge page may cover some of it
	Count      uint32 // reservations of this name
}

// Error names a reservation that the kernel refused.
type Error struct {
	Name  string
	Bytes uint64
	Err   error
}

func (e *Error) Error() string {
	return fmt.Sprintf("cannot reserve %d bytes of memory for %s: %v", e.Bytes, e.Name, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Arena is the list of all reservations of one server (or of one test).
type Arena struct {
	mappings []mapping
	entries  []Entry
	toTouch  [][]byte

	region     mapping // of NewRegion
	regionUsed uintptr
}

type mapping struct {
	address    unsafe.Pointer
	bytes      uintptr
	class      Class
	entry      int  // of its name
	isInRegion bool // a part of the region's mapping
}

// New returns an arena without memory.
func New() *Arena { return &Arena{} }

// Bytes reserves size zeroed bytes for name, at a multiple of alignBytes. alignBytes is a power of
// two; the alignment is at least a page.
func (a *Arena) Bytes(size uint64, alignBytes uint64, name string) []byte {
	return a.BytesWith(size, alignBytes, name, Options{})
}

// BytesWith is Bytes with options.
func (a *Arena) BytesWith(size uint64, alignBytes uint64, name string, options Options) []byte {
	assert.That(alignBytes > 0 && alignBytes&(alignBytes-1) == 0, "an alignment is a power of two")
	assert.That(size < 1<<46, "a reservation fits the address space")
	if size == 0 {
		a.count(name, 0, 0, options)
		return nil
	}
	rounded := (size + PageBytes - 1) &^ (PageBytes - 1)
	spare := uint64(0)
	if options.HugePages && a.region.bytes == 0 {
		alignBytes = max(alignBytes, hugePageBytes)
	}
	if alignBytes > PageBytes {
		spare = alignBytes - PageBytes // makes sure that an aligned address lies inside
	}
	start, isInRegion := a.take(uintptr(rounded + spare))
	if !isInRegion {
		var err error
		if start, err = mapMemory(uintptr(rounded + spare)); err != nil {
			panic(&Error{Name: name, Bytes: size, Err: err})
		}
	}
	entry := a.count(name, rounded, spare, options)
	a.mappings = append(a.mappings, mapping{start, uintptr(rounded + spare), options.Class, entry, isInRegion})

	skip := -uintptr(start) & uintptr(alignBytes-1)
	data := unsafe.Slice((*byte)(unsafe.Add(start, skip)), rounded)
	if a.takesAdvice() {
		a.advise(data, options)
	}
	if touched := options.touchBytes(rounded); touched > 0 {
		a.toTouch = append(a.toTouch, data[:touched])
	}
	return data[:size:size]
}

// bytesHuge is Bytes with the first hugeBytes in huge pages that Populate touches. If load touched
// them first, it might have to wait while the kernel moves other pages to make room for a huge
// page.
func (a *Arena) bytesHuge(size uint64, name string, options Options, hugeBytes uint64) []byte {
	if hugeBytes == 0 {
		return a.BytesWith(size, PageBytes, name, options)
	}
	data := a.BytesWith(size, hugePageBytes, name, options)
	huge := data[:min(hugeBytes, size)&^(hugePageBytes-1)]
	if a.takesAdvice() {
		_ = unix.Madvise(huge, unix.MADV_HUGEPAGE)
	}
	a.toTouch = append(a.toTouch, huge)
	a.entries[a.mappings[len(a.mappings)-1].entry].TouchBytes += uint64(len(huge))
	return data
}

// takesAdvice tells whether the kernel is to be told how the last reservation will be used. In the
// Go heap, the advice would outlive the arena. A region has one advice for all.
func (a *Arena) takesAdvice() bool {
	last := &a.mappings[len(a.mappings)-1]
	return !last.isInRegion && !inGoHeap(last.bytes)
}

// advise tells the kernel how data will be used. Correctness does not depend on it.
func (a *Arena) advise(data []byte, options Options) {
	advice := unix.MADV_NOHUGEPAGE
	if options.HugePages {
		advice = unix.MADV_HUGEPAGE
	}
	_ = unix.Madvise(data, advice)             // EINVAL: a kernel without huge pages
	_ = unix.Madvise(data, unix.MADV_DONTFORK) // a child would copy pages into which the kernel is writing
}

// pieceBytes is how much of a reservation TouchSoon and TouchLate give one thread of Populate.
const pieceBytes = 16 << 20

// TouchSoon makes Populate touch data, a part of a reservation, before all others, from its end on:
// its owner begins to fill it from its beginning at the same time.
func (a *Arena) TouchSoon(data []byte) {
	pieces := slices.Collect(slices.Chunk(data, pieceBytes))
	slices.Reverse(pieces)
	a.toTouch = append(pieces, a.toTouch...)
}

// TouchLate makes Populate touch data, a part of a reservation, after all others.
func (a *Arena) TouchLate(data []byte) {
	a.toTouch = slices.AppendSeq(a.toTouch, slices.Chunk(data, pieceBytes))
}

// Populate touches all reservations with Touch. It is a separate step, so that before it the sum
// can be compared with the machine's memory, and the memory can be bound to a NUMA node. Content
// that was written before it stays.
//
// Clearing pages is most of the work. Several threads share it, so that the start is shorter. They
// leave a core to the thread that opens the checkpoint.
func (a *Arena) Populate() {
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(populatorsMax, max(1, runtime.NumCPU()-1), len(a.toTouch)) {
		running.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(a.toTouch)); i = next.Add(1) - 1 {
				populate(a.toTouch[i])
			}
		})
	}
	running.Wait()
	a.toTouch = nil
}

const populatorsMax = 8 // further threads would wait for locks of the kernel

func populate(data []byte) {
	if unix.Madvise(data, unix.MADV_POPULATE_WRITE) == nil {
		return
	}
	for i := 0; i < len(data); i += PageBytes { // a kernel before 5.14
		atomic.OrUint32((*uint32)(unsafe.Pointer(&data[i])), 0) // a write that changes nothing and that the compiler does not remove
	}
}

func (a *Arena) count(name string, size, spare uint64, options Options) (entry int) {
	i := slices.IndexFunc(a.entries, func(e Entry) bool { return e.Name == name })
	if i < 0 {
		i = len(a.entries)
		a.entries = append(a.entries, Entry{Name: name, Class: options.Class})
	}
	assert.Equal(a.entries[i].Class, options.Class, "class of the reservations of one name")
	a.entries[i].Bytes += size
	a.entries[i].Count++
	a.entries[i].TouchBytes += options.touchBytes(size)
	if options.HugePages {
		a.entries[i].SpareBytes += spare
	}
	return i
}

// Entries returns all reservations, by name, in the order of first use.
func (a *Arena) Entries() []Entry { return append([]Entry(nil), a.entries...) }

// Regions calls visit with every mapping and its class, for binding to a NUMA node and for locking.
func (a *Arena) Regions(visit func(class Class, data []byte)) {
	for _, m := range a.mappings {
		visit(m.class, unsafe.Slice((*byte)(m.address), m.bytes))
	}
}

// Resident fills out, parallel to Entries, with the number of resident bytes of each name. It reads
// the state of every page and makes some MiB of garbage. So it is called only now and then, on a
// thread off the data path, while the arena is open.
func (a *Arena) Resident(out []uint64) {
	clear(out)
	states := make([]byte, residentPages)
	for i := range a.mappings {
		m := &a.mappings[i]
		for at := uintptr(0); at < m.bytes; at += residentPages * PageBytes {
			size := min(m.bytes-at, residentPages*PageBytes)
			if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(m.address)+at, size,
				uintptr(unsafe.Pointer(unsafe.SliceData(states)))); errno != 0 {
				return // unknown
			}
			for _, state := range states[:size/PageBytes] {
				out[m.entry] += uint64(state&1) * PageBytes
			}
		}
	}
}

const residentPages = 64 << 10 // pages in one call

// Close frees all memory. After it, neither this program nor the kernel may use a slice of this
// arena.
func (a *Arena) Close() {
	for _, m := range a.mappings {
		if !m.isInRegion {
			unmapMemory(m.address, m.bytes)
		}
	}
	if a.region.bytes > 0 {
		unmapMemory(a.region.address, a.region.bytes)
	}
	*a = Arena{}
}

// Slice reserves count zeroed records of T for name. T must not contain Go pointers, because the
// collector does not look into this memory.
func Slice[T any](a *Arena, count uint64, name string) []T {
	return SliceWith[T](a, count, name, Options{})
}

// SliceWith is Slice with options.
func SliceWith[T any](a *Arena, count uint64, name string, options Options) []T {
	recordType := reflect.TypeFor[T]()
	if hasPointers(recordType) {
		panic("broken assertion: a record in an arena has no pointers: " + recordType.String())
	}
	size := uint64(recordType.Size())
	if count == 0 || size == 0 {
		a.count(name, 0, 0, options)
		return make([]T, count)
	}
	assert.That(count <= 1<<46/size, "a reservation fits the address space")
	data := a.BytesWith(count*size, PageBytes, name, options)
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(data))), count)
}

// hasPointers tells whether the collector would have to look into a value of t.
func hasPointers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return false
	case reflect.Array:
		return t.Len() > 0 && hasPointers(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if hasPointers(t.Field(i).Type) {
				return true
			}
		}
		return false
	default:
		return true
	}
}
