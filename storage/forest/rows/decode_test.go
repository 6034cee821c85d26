package rows

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/forest/foresttest"
	"ledger/storage/forest/manifest"
)

// pieces is what the rows' part of a manifest says.
type pieces struct {
	head    manifest.Head
	blocks  []storage.Table
	partial storage.Table
}

func (w *world) pieces() (p pieces) {
	w.keeper.Head(&p.head)
	p.blocks = append(p.blocks, w.keeper.Blocks()...)
	p.partial = w.keeper.Partial()
	return p
}

func (p *pieces) encode() []byte {
	p.head.LogCount = uint64(len(p.blocks))
	out := manifest.NewWriter(make([]byte, manifest.HeadBytes+uint64(len(p.blocks)+1)*manifest.TableBytes))
	out.Head(&p.head)
	for i := range p.blocks {
		out.Table(&p.blocks[i])
	}
	if p.head.Partial {
		out.Table(&p.partial)
	}
	return out.End(nil)
}

// decode tells whether the rows accept a manifest.
func (w *world) decode(encoded []byte) bool {
	r := manifest.NewReader(encoded, math.MaxUint64, block.GeometryOf(w.Limits).PagesMax)
	head := r.Head()
	w.keeper.Decode(&r, &head)
	return r.End()
}

// carrying is a world with some full blocks, and a partial one of at least two rows.
func carrying(t *testing.T, random *rand.Rand) *world {
	for {
		w := filled(t, random, 12)
		w.install()
		if len(w.keeper.Blocks()) >= 4 && w.rows.tail.count >= 2 {
			return w
		}
	}
}

// Goal: a manifest whose blocks do not have exactly the rows before the memtable, one after the
// other, is refused; and so is one for which there is no room.
func TestDecodeRefuses(t *testing.T) {
	random := seeded.Rand(t)
	w := carrying(t, random)
	for _, c := range []struct {
		name string
		do   func(p *pieces, fresh *world)
		ok   bool
	}{
		{"nothing", func(*pieces, *world) {}, true},
		{"just room", func(p *pieces, fresh *world) { fresh.rows.log.tables = fresh.rows.log.tables[:len(p.blocks)] }, true},
		{"no room", func(p *pieces, fresh *world) { fresh.rows.log.tables = fresh.rows.log.tables[:len(p.blocks)-1] }, false},
		{"no first block", func(p *pieces, _ *world) { p.blocks = p.blocks[1:] }, false},
		{"no second block", func(p *pieces, _ *world) { p.blocks = append(p.blocks[:1], p.blocks[2:]...) }, false},
		{"no last block", func(p *pieces, _ *world) { p.blocks = p.blocks[:len(p.blocks)-1] }, false},
		{"a block twice", func(p *pieces, _ *world) { p.blocks = append(p.blocks[:1:1], p.blocks...) }, false},
		{"two blocks swapped", func(p *pieces, _ *world) { p.blocks[1], p.blocks[2] = p.blocks[2], p.blocks[1] }, false},
		{"a row more in a block", func(p *pieces, _ *world) { p.blocks[1].Entries++ }, false},
		{"a row more in the last block", func(p *pieces, _ *world) { p.blocks[len(p.blocks)-1].Entries++ }, false},
		{"a partial block in the log", func(p *pieces, _ *world) { p.blocks[1].Partial = true }, false},
		{"a block of another tree", func(p *pieces, _ *world) { p.blocks[1].Tree = storage.TreeTransferID }, false},
		{"no partial block", func(p *pieces, _ *world) { p.head.Partial = false }, false},
		{"a full block as the partial one", func(p *pieces, _ *world) { p.partial.Partial = false }, false},
		{"a row more in the partial block", func(p *pieces, _ *world) { p.partial.Entries++ }, false},
		{"a row less in the partial block", func(p *pieces, _ *world) { p.partial.Entries-- }, false},
		{"a transfer more", func(p *pieces, _ *world) { p.head.Transfers++ }, false},
		{"a carried row more", func(p *pieces, _ *world) { p.head.TailFirst-- }, false},
		{"all carried rows gone", func(p *pieces, _ *world) {
			p.head.Partial, p.head.Transfers = false, p.head.TailFirst
		}, true},
	} {
		fresh := worldOn(t, random, foresttest.New(t, w.Limits, random))
		p := w.pieces()
		c.do(&p, fresh)
		if got := fresh.decode(p.encode()); got != c.ok {
			t.Errorf("%s: the manifest is accepted: %v, want %v", c.name, got, c.ok)
		}
	}
}

// Goal: a partial block that is sound but not the one of the carried rows is a fault that names it.
func TestOpenTailRefuses(t *testing.T) {
	random := seeded.Rand(t)
	w := carrying(t, random)
	blocks, partial := w.keeper.Blocks(), w.keeper.Partial()
	last := blocks[len(blocks)-1]
	ids := w.levels.Tree(storage.TreeTransferID).Runs()[0].Table(0)
	for _, c := range []struct {
		name   string
		change func(again *world)
		ok     bool
	}{
		{"the partial block", func(*world) {}, true},
		{"a row more", func(again *world) { again.rows.log.partial.Entries++ }, false},
		{"a row less", func(again *world) { again.rows.log.partial.Entries-- }, false},
		{"a full block", func(again *world) {
			again.rows.log.partial.Ref, again.rows.log.partial.Entries = last.Ref, last.Entries
		}, false},
		{"a table of ids", func(again *world) { again.rows.log.partial.Ref, again.rows.log.partial.Entries = ids.Ref, ids.Entries }, false},
		{"rows behind a gap", func(again *world) { again.rows.tail.first++ }, false},
		{"more rows than are carried", func(again *world) { again.rows.tail.rows = again.rows.tail.rows[:partial.Entries-1] }, false},
		{"no partial block", func(again *world) { again.rows.log.partial = storage.Table{} }, true},
	} {
		again := worldOn(t, random, w.Again())
		p := w.pieces()
		if !again.decode(p.encode()) {
			t.Fatal("the manifest is refused")
		}
		c.change(again)
		want := again.rows.log.partial
		fault := foresttest.Fault(func() { again.keeper.OpenTail(again.Grid) })
		if (fault == nil) != c.ok || !c.ok && (fault.What != storage.FaultBlock || fault.Address != want.Address) {
			t.Errorf("%s: the fault is %v, want one of block %d: %v", c.name, fault, want.Address, !c.ok)
		}
		if c.ok && again.rows.tail.count != want.Entries {
			t.Errorf("%s: %d rows are carried, want %d", c.name, again.rows.tail.count, want.Entries)
		}
	}
}

// FuzzDecode: whatever rows accept as a manifest, they encode again byte by byte. Nothing panics.
// One state is reset and used again for every input.
func FuzzDecode(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 0))
	w := newWorld(f, random)
	f.Add(w.manifestOfRows())
	for range 20 {
		w.account()
	}
	for bar := range 12 {
		for range 25 {
			w.step()
		}
		w.bar(bar%4 == 3)
		w.install()
		w.plan(false)
		if bar%4 == 3 || bar == 1 {
			f.Add(w.manifestOfRows())
		}
	}
	for range 200 { // one wrong byte
		encoded := w.manifestOfRows()
		encoded[random.IntN(len(encoded))] ^= 1 << random.UintN(8)
		f.Add(encoded)
	}
	again := worldOn(f, random, foresttest.New(f, w.Limits, random))
	f.Fuzz(func(t *testing.T, encoded []byte) {
		defer again.keeper.Reset(1 << 20)
		r := manifest.NewReader(encoded, math.MaxUint64, block.GeometryOf(w.Limits).PagesMax)
		head := r.Head()
		again.keeper.Decode(&r, &head)
		if !r.End() || head.Levels != [storage.TreesCount]uint8{} || head.Trailers != 0 {
			return // refused, or with pieces of others
		}
		if got := again.manifestOfRows(); !bytes.Equal(got, encoded) {
			t.Fatalf("%x is accepted, and encoded as %x", encoded, got)
		}
		again.rows.tail.count = again.rows.log.partial.Entries // as OpenTail will find
		again.keeper.Check(func(address uint64, owner string) {})
	})
}

// manifestOfRows is a manifest without trees.
func (w *world) manifestOfRows() []byte {
	p := w.pieces()
	return p.encode()
}
