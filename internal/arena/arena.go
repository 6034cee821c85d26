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

// Class tells how load uses a reservation, and so how much of it comes to be resident.
type Class uint8

const (
	Buffer Class = iota // load uses all of it: buffers, small fixed tables
	Cache               // it fills under load and stays full
	// Slot: slots of messages, used last-in first-out. Load touches few; many clients with large
	// messages touch all.
	Slot
	Table // it holds the work of the newest ops, and is full only in the worst case
	Index // it grows with what the data file stores
	ClassesCount
)

func (c Class) String() string {
	return [ClassesCount]string{"buffer", "cache", "slot", "table", "index"}[c]
}

// Options of one reservation. The zero value is a Buffer in small pages that load touches.
type Options struct {
	Class     Class
	Touch     bool // Populate faults all pages in, so that none is missing when load comes
	HugePages bool // pages of 2 MiB: right for large tables that are used all over, wrong for slots
	// TouchFirst lets Populate fault in the first 2 MiB: for what is used from its beginning on and
	// seldom far. The kernel takes up to 5 ms to find a huge page, while the op that needs it waits.
	TouchFirst bool
}

// touchBytes is how much of a reservation of size bytes Populate touches.
func (o Options) touchBytes(size uint64) uint64 {
	switch {
	case o.Touch:
		return size
	case o.TouchFirst:
		return min(size, hugePageBytes)
	}
	return 0
}

// Bulk is for large tables and caches: where they are expected full, in huge pages and touched;
// else as small as load leaves them.
func Bulk(class Class, full bool) Options {
	return Options{Class: class, Touch: full, HugePages: full}
}

// Entry is one line of what was reserved: all reservations of one name, which are of one class.
type Entry struct {
	Name       string
	Class      Class
	Bytes      uint64 // reserved; touched pages may be fewer
	TouchBytes uint64 // of them, those that Populate touches
	SpareBytes uint64 // mapped beside them for the alignment of huge pages; a huge page may cover some of it
	Count      uint32 // reservations of this name
}

// Error says which reservation the kernel refused.
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
}

type mapping struct {
	address unsafe.Pointer
	bytes   uintptr
	class   Class
	entry   int // of its name
}

// New returns an arena without memory.
func New() *Arena { return &Arena{} }

// Bytes reserves size bytes for name, zeroed, at a multiple of alignBytes (a power of two; at least
// a page is given).
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
	if options.HugePages {
		alignBytes = max(alignBytes, hugePageBytes)
	}
	if alignBytes > PageBytes {
		spare = alignBytes - PageBytes // so that an aligned address is certain to lie inside
	}
	start, err := mapMemory(uintptr(rounded + spare))
	if err != nil {
		panic(&Error{Name: name, Bytes: size, Err: err})
	}
	entry := a.count(name, rounded, spare, options)
	a.mappings = append(a.mappings, mapping{start, uintptr(rounded + spare), options.Class, entry})

	skip := -uintptr(start) & uintptr(alignBytes-1)
	data := unsafe.Slice((*byte)(unsafe.Add(start, skip)), rounded)
	if !inGoHeap(uintptr(rounded + spare)) { // advice would outlive the arena in memory that is used again
		a.advise(data, options)
	}
	if touched := options.touchBytes(rounded); touched > 0 {
		a.toTouch = append(a.toTouch, data[:touched])
	}
	return data[:size:size]
}

// bytesHuge is Bytes with the first hugeBytes, as far as there are so many, in huge pages that
// Populate faults in: to find one, the kernel may have to move others' pages away.
func (a *Arena) bytesHuge(size uint64, name string, options Options, hugeBytes uint64) []byte {
	if hugeBytes == 0 {
		return a.BytesWith(size, PageBytes, name, options)
	}
	data := a.BytesWith(size, hugePageBytes, name, options)
	huge := data[:min(hugeBytes, size)&^(hugePageBytes-1)]
	if !inGoHeap(a.mappings[len(a.mappings)-1].bytes) {
		_ = unix.Madvise(huge, unix.MADV_HUGEPAGE)
	}
	a.toTouch = append(a.toTouch, huge)
	a.entries[a.mappings[len(a.mappings)-1].entry].TouchBytes += uint64(len(huge))
	return data
}

// advise tells the kernel how data will be used. Nothing here is needed for correctness.
func (a *Arena) advise(data []byte, options Options) {
	advice := unix.MADV_NOHUGEPAGE
	if options.HugePages {
		advice = unix.MADV_HUGEPAGE
	}
	_ = unix.Madvise(data, advice)             // EINVAL: a kernel without huge pages
	_ = unix.Madvise(data, unix.MADV_DONTFORK) // a child would copy what the kernel is writing to
}

// Populate faults in what was reserved with Touch. That is a step of its own, so that it can be
// compared with what the machine has, and bound to a NUMA node, before it is there. What has been
// written since the reservation stays.
//
// Clearing pages is most of the work, so several threads share it: a start is the sooner done.
func (a *Arena) Populate() {
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(populatorsMax, runtime.NumCPU(), len(a.toTouch)) {
		running.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(a.toTouch)); i = next.Add(1) - 1 {
				populate(a.toTouch[i])
			}
		})
	}
	running.Wait()
	a.toTouch = nil
}

const populatorsMax = 8 // more wait for the kernel's locks

func populate(data []byte) {
	if unix.Madvise(data, unix.MADV_POPULATE_WRITE) == nil {
		return
	}
	for i := 0; i < len(data); i += PageBytes { // a kernel before 5.14
		atomic.OrUint32((*uint32)(unsafe.Pointer(&data[i])), 0) // a write that changes nothing and is not optimised away
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

// Entries returns what was reserved, by name, in the order of first use.
func (a *Arena) Entries() []Entry { return append([]Entry(nil), a.entries...) }

// Regions calls visit with every mapping and its class: for binding to a NUMA node, and for
// locking.
func (a *Arena) Regions(visit func(class Class, data []byte)) {
	for _, m := range a.mappings {
		visit(m.class, unsafe.Slice((*byte)(m.address), m.bytes))
	}
}

// Resident fills out, parallel to Entries, with how many bytes of each name are in memory. It looks
// at every page's state and makes some MiB of garbage: for whoever asks now and then, on a thread
// of its own, while the arena is not closed.
func (a *Arena) Resident(out []uint64) {
	clear(out)
	states := make([]byte, residentPages)
	for i := range a.mappings {
		m := &a.mappings[i]
		for at := uintptr(0); at < m.bytes; at += residentPages * PageBytes {
			size := min(m.bytes-at, residentPages*PageBytes)
			if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(m.address)+at, size,
				uintptr(unsafe.Pointer(unsafe.SliceData(states)))); errno != 0 {
				return // it says nothing here
			}
			for _, state := range states[:size/PageBytes] {
				out[m.entry] += uint64(state&1) * PageBytes
			}
		}
	}
}

const residentPages = 64 << 10 // looked at in one call

// Close gives everything back. No slice of this arena may be used after it, by us or by the kernel.
func (a *Arena) Close() {
	for _, m := range a.mappings {
		unmapMemory(m.address, m.bytes)
	}
	*a = Arena{}
}

// Slice reserves count records of T for name, zeroed. T holds no Go pointers: the collector does
// not look here.
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
