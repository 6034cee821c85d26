package forest

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"ledger/accounting"
	"ledger/accounting/memory"
	"ledger/accounting/storetest"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/storage/forest/manifest"
)

// filled runs traffic until a checkpoint is there and a merge is under way.
func filled(t testing.TB, ops int) *world {
	random := seeded.Rand(t)
	w := newWorld(t, tiny(), &memoryDisk{}, storage.Checkpoint{})
	pair := storetest.NewPair(t, w.limits, w.forest, random)
	source := newTraffic(random)
	for range ops {
		request := source.next()
		pair.Execute(&request)
		w.ended()
	}
	if w.newest.Op == 0 {
		t.Fatal("no checkpoint was taken")
	}
	return w
}

// Goal: a checkpoint one of whose blocks is damaged is refused with that block's address; an intact
// one is not.
func TestOpenRefusesDamage(t *testing.T) {
	w := filled(t, 300)
	g := &w.forest.geometry
	opened, err := tryWorld(t, w.limits, &memoryDisk{data: bytes.Clone(w.disk.data)}, w.newest)
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]uint64{
		"manifest": w.newest.Roots[storage.TrailerManifest].Address,
		"free set": w.newest.Roots[storage.TrailerFreeSet].Address,
		"ids":      opened.forest.levels.Tree(storage.TreeTransferID).Runs()[0].Table(0).Address, // a header page, for its filter
	}
	for _, table := range tablesOf(opened.forest) {
		if table.Partial {
			cases["carried rows"] = table.Address
		}
	}
	for name, address := range cases {
		disk := &memoryDisk{data: bytes.Clone(w.disk.data)}
		disk.data[testGridOffset+g.Offset(address, 0)+20] ^= 1
		_, err := tryWorld(t, w.limits, disk, w.newest)
		fault, ok := err.(*storage.Fault)
		if !ok || fault.Address != address || fault.Reason == "" {
			t.Errorf("%s: error %v, want a fault of block %d", name, err, address)
		}
	}
	wrong := w.newest
	wrong.TransfersCount++
	if _, err := tryWorld(t, w.limits, w.disk, wrong); err == nil || !strings.Contains(err.Error(), "the superblock") {
		t.Errorf("a manifest that contradicts the superblock: error %v", err)
	}
}

// Goal: a full data file is a fault with a way out, not a crash.
func TestFullFile(t *testing.T) {
	defer func() {
		fault, ok := recover().(*storage.Fault)
		if !ok || fault.What != storage.FaultStorageLimit || !strings.Contains(fault.Reason, "--limit-storage") {
			t.Errorf("stopped with %v, want the storage limit's fault", fault)
		}
	}()
	random := seeded.Rand(t)
	l := tiny()
	l.StorageBytesMax = datafile.NewLayout(&l).GridAt + 128*uint64(l.BlockBytes)
	w := newWorld(t, l, &memoryDisk{}, storage.Checkpoint{})
	pair := storetest.NewPair(t, l, w.forest, random)
	source := newTraffic(random)
	for range 5000 {
		request := source.next()
		pair.Execute(&request)
		w.ended()
	}
	t.Error("the file is never full")
}

// tablesOf lists the tables of a forest in the order of its manifest.
func tablesOf(f *Forest) (list []manifest.Table) {
	encoded := f.manifestEncode(make([]byte, f.manifestBytes(f.checkpoint.trailersCount)))
	if _, err := manifest.Walk(encoded, &f.limits, func(t *manifest.Table) { list = append(list, *t) }); err != nil {
		panic(err)
	}
	return list
}

// Goal: no manifest makes the decoder panic, and what it accepts encodes to the same bytes. The
// walk without a forest neither panics, and visits what the forest would have.
func FuzzManifest(f *testing.F) {
	w := filled(f, 300)
	encoded := w.forest.manifestEncode(make([]byte, w.forest.manifestBytes(w.forest.checkpoint.trailersCount)))
	f.Add(encoded, uint16(0), uint8(0))
	for i := range 64 {
		f.Add(encoded, uint16(i*37), uint8(1<<(i%8)))
	}
	f.Fuzz(func(t *testing.T, in []byte, at uint16, flip uint8) {
		if len(in) > 1<<20 {
			return
		}
		in = bytes.Clone(in)
		if len(in) > 0 {
			in[int(at)%len(in)] ^= flip
		}
		l := tiny()
		l.StorageBytesMax, l.CacheGridBytes = datafile.NewLayout(&l).GridAt+(1<<20), 16<<10
		again := newWorld(t, l, &memoryDisk{}, storage.Checkpoint{})
		defer again.close()
		var walked []manifest.Table
		trailers, walkErr := manifest.Walk(in, &l, func(t *manifest.Table) { walked = append(walked, *t) })
		if again.forest.manifestDecode(in, math.MaxUint64) != nil {
			return
		}
		if walkErr != nil {
			t.Fatal("the walk refuses what the forest accepts")
		}
		if want := tablesOf(again.forest); !slices.Equal(walked, want) ||
			!slices.Equal(trailers, again.forest.checkpoint.trailers[:again.forest.checkpoint.trailersCount]) {
			t.Fatalf("the walk visits %d tables, the forest has %d, or others", len(walked), len(want))
		}
		out := again.forest.manifestEncode(make([]byte, again.forest.manifestBytes(again.forest.checkpoint.trailersCount)))
		if !bytes.Equal(in, out) {
			t.Fatal("an accepted manifest encodes to other bytes")
		}
	})
}

// Goal: what is new by its id alone is so after a restart too: the highest id counts those in the
// trees, dead ones included.
func TestOpenKnowsHighestID(t *testing.T) {
	w := newWorld(t, tiny(), &memoryDisk{}, storage.Checkpoint{})
	random := seeded.Rand(t)
	p := &twins{t: t, w: w, plain: memory.New(64, 4096), random: random, clock: 1000}
	for range 8 {
		p.account()
	}
	dead := accounting.U128{}
	for w.newest.Op == 0 {
		for range 20 {
			p.transfer()
		}
		if w.op == 3 { // early enough to be in a tree
			dead = accounting.U128{Lo: 1, Hi: ^uint64(0)}
			w.forest.TransferKill(dead)
		}
		w.ended()
	}
	again := newWorld(t, w.limits, &memoryDisk{data: bytes.Clone(w.disk.data)}, w.newest)
	if ordinal, state := again.forest.TransferFind(dead); state != accounting.TransferDead {
		t.Errorf("the dead id is %d at %d", state, ordinal)
	}
	for ordinal, id := range p.ids[:again.forest.TransfersCount()] {
		if got, state := again.forest.TransferFind(id); state != accounting.TransferExists || got != accounting.TransferOrdinal(ordinal) {
			t.Fatalf("transfer %d has state %d at %d", ordinal, state, got)
		}
	}
}
