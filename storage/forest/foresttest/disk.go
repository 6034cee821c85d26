// Package foresttest gives the tests of the forest's parts a disk in memory, and a compaction that
// runs inline.
//
// Only tests import this package.
package foresttest

import (
	"math/rand/v2"
	"testing"

	"ledger/internal/arena"
	"ledger/internal/hashing"
	"ledger/internal/ports"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/datafile"
	"ledger/storage/forest/pages"
	"ledger/storage/freeset"
	"ledger/storage/grid"
	compaction "ledger/storage/merge"
	"ledger/wire"
)

const (
	gridOffset = 8192
	waitsMax   = 1000
)

var cluster = wire.U128{Lo: 7, Hi: 9}

// Limits make flushes, merges and checkpoints happen all the time.
func Limits() limits.Limits {
	l := limits.Production()
	l.SectorBytes, l.PageBytes, l.BlockBytes = 512, 512, 4096
	l.JournalSlotsCount, l.BarOps, l.SlackOps, l.PipelineOpsMax = 32, 4, 4, 2
	l.MemtableRowsSeal = 32
	l.CacheGridBytes, l.CacheAccountsMax = 64<<10, 16
	l.StorageBytesMax = datafile.NewLayout(&l).GridAt + 32<<20
	return l
}

// disk is a data file in memory: its reads complete when it is polled, or a few polls later.
type disk struct {
	data   []byte
	reads  []read
	random *rand.Rand
}

type read struct {
	tag    uint64
	offset uint64
	buffer []byte
}

func (d *disk) grow(end uint64) {
	if end > uint64(len(d.data)) {
		d.data = append(d.data, make([]byte, end-uint64(len(d.data)))...)
	}
}

func (d *disk) Read(tag uint64, offset uint64, buffer []byte) {
	d.reads = append(d.reads, read{tag, offset, buffer})
}
func (d *disk) Write(uint64, uint64, []byte, ports.WriteFlags) { panic("apply does not write") }
func (d *disk) Sync(uint64)                                    { panic("apply does not sync") }
func (d *disk) Allocate(uint64, uint64, uint64)                { panic("apply does not allocate") }
func (d *disk) Poll(out []ports.DiskCompletion) (count int) {
	for i := 0; i < len(d.reads) && count < len(out); {
		if d.random.IntN(3) == 0 {
			i++
			continue
		}
		r := d.reads[i]
		d.reads = append(d.reads[:i], d.reads[i+1:]...)
		d.grow(r.offset + uint64(len(r.buffer)))
		copy(r.buffer, d.data[r.offset:])
		out[count] = ports.DiskCompletion{Tag: r.tag, Result: int32(len(r.buffer))}
		count++
	}
	return count
}

// Ground is what a part of the forest stands on.
type Ground struct {
	Limits limits.Limits
	Memory *arena.Arena
	Key    hashing.Key // of hash tables
	Grid   *grid.Grid
	Pages  *pages.Reader
	Free   *freeset.Set

	t        testing.TB
	geometry block.Geometry
	disk     *disk
	merger   *compaction.Merger
	waits    int

	OnBreath   func() // what happens while the caller takes a breath; may be nil
	OnProgress func() // what follows when pages have arrived; may be nil
}

// New returns a ground with an empty data file.
func New(t testing.TB, l limits.Limits, random *rand.Rand) *Ground {
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	g := &Ground{t: t, Limits: l, Memory: arena.New(), Key: hashing.NewKey(random.Uint64()), geometry: block.GeometryOf(l),
		disk: &disk{random: random}}
	t.Cleanup(g.Memory.Close)
	g.Grid = grid.New(l, g.Memory, g.disk, gridOffset, cluster, arena.Options{})
	g.Pages = pages.New(g.Grid, g)
	g.Free = freeset.New(g.Memory, freeset.AddressesMax(l))
	g.merger = compaction.New(l, g.Memory, cluster, g, g)
	return g
}

// Again returns a ground on the same data file, with nothing in memory.
func (g *Ground) Again() *Ground {
	again := New(g.t, g.Limits, g.disk.random)
	again.disk.data = append(again.disk.data, g.disk.data...)
	return again
}

// Wait implements storage.Waiter. A fault panics.
func (g *Ground) Wait() {
	if g.Grid.Poll() {
		g.waits = 0
		if g.OnProgress != nil {
			g.OnProgress()
		}
	}
	if fault := g.Pages.Fault(); fault != nil {
		panic(fault)
	}
	g.waits++
	if g.waits > waitsMax {
		g.t.Fatal("waits for nothing")
	}
}

// Breathe implements storage.Waiter.
func (g *Ground) Breathe() {
	if g.OnBreath != nil {
		g.OnBreath()
	}
}

// ReadStart gives compaction the disk, without delay.
func (g *Ground) ReadStart(_ int, address uint64, page uint32, buffer []byte) {
	offset := gridOffset + g.geometry.Offset(address, page)
	g.disk.grow(offset + uint64(len(buffer)))
	copy(buffer, g.disk.data[offset:])
}

// Missing tells that nobody repairs a block.
func (g *Ground) Missing(storage.Ref, storage.Waiter) bool { return false }

// ReadDone tells that a read is done.
func (g *Ground) ReadDone(int) (bool, int32) { return true, 0 }

// WriteStart writes to the disk.
func (g *Ground) WriteStart(_ int, address uint64, data []byte) {
	offset := gridOffset + g.geometry.Offset(address, 0)
	g.disk.grow(offset + uint64(len(data)))
	copy(g.disk.data[offset:], data)
}

// WriteDone tells that a write is done.
func (g *Ground) WriteDone(int) (bool, int32) { return true, 0 }

// Compact runs the jobs of a generation.
func (g *Ground) Compact(generation *storage.Generation) {
	if generation == nil {
		return
	}
	for i := range generation.Jobs {
		g.merger.Run(&generation.Jobs[i], g)
	}
	if fault := g.merger.Drain(g); fault != nil {
		g.t.Fatal(fault)
	}
}

// Damage changes a byte of a block's header page.
func (g *Ground) Damage(address uint64) {
	g.disk.data[gridOffset+g.geometry.Offset(address, 0)+20] ^= 1
}

// DamageAny changes a byte of a page of a block that is in use, and returns the block's address.
// The byte may be one that nobody reads.
func (g *Ground) DamageAny(random *rand.Rand) (address uint64) {
	for address = 1 + random.Uint64N(g.Free.High()); !g.Free.IsAcquired(address); {
		address = 1 + random.Uint64N(g.Free.High())
	}
	page := random.Uint32N(g.Limits.BlockBytes / g.Limits.PageBytes)
	at := gridOffset + g.geometry.Offset(address, page) + random.Uint64N(uint64(g.Limits.PageBytes))
	g.disk.grow(at + 1)
	g.disk.data[at] ^= 1 << random.UintN(8)
	return address
}

// Fault runs f and returns the fault with which it ends, or nil.
func Fault(f func()) (fault *storage.Fault) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *storage.Fault:
			fault = r
		default:
			panic(r)
		}
	}()
	f()
	return nil
}

// MeetsDamage runs rounds until so many of them met damage, or fewer in a short run. A round builds
// something, damages a block, asks for answers, and returns the block's address and the fault with
// which the answers ended, or nil. Every fault has to name the block.
func MeetsDamage(t *testing.T, wanted int, round func() (address uint64, fault *storage.Fault)) {
	t.Helper()
	if testing.Short() {
		wanted = 2
	}
	faults, rounds := 0, 0
	for ; faults < wanted && rounds < 300; rounds++ { // most damage is where nothing is read
		address, fault := round()
		if fault == nil {
			continue
		}
		if faults++; fault.What != storage.FaultBlock || fault.Address != address {
			t.Fatalf("block %d is damaged, and an answer ends with %v", address, fault)
		}
	}
	if faults < wanted {
		t.Errorf("%d of %d rounds met the damage: the test shows little", faults, rounds)
	}
}

// Panics tells whether f panics.
func Panics(f func()) (panics bool) {
	defer func() { panics = recover() != nil }()
	f()
	return false
}
