package levels

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/forest/foresttest"
	"ledger/storage/forest/keys"
	"ledger/storage/forest/manifest"
)

// answers compares every answer of the trees with the model, and some for keys that are not there.
func (w *world) answers(trees *Levels) {
	w.t.Helper()
	var value [8]byte
	for id, want := range w.model.ids {
		key := keys.ID(id)
		if !trees.Find(storage.TreeTransferID, &key, value[:]) || binary.LittleEndian.Uint64(value[:]) != want {
			w.t.Fatalf("id %v is %d, want %d", id, binary.LittleEndian.Uint64(value[:]), want)
		}
	}
	for range 20 {
		key := keys.ID(accounting.U128{Lo: w.random.Uint64(), Hi: 1 << 63})
		if trees.Find(storage.TreeTransferID, &key, value[:]) {
			w.t.Fatalf("an id that nobody has is %d", binary.LittleEndian.Uint64(value[:]))
		}
	}
	for ordinal, want := range w.model.statuses {
		key := keys.Number(ordinal)
		if !trees.Find(storage.TreePending, &key, value[:1]) || value[0] != want {
			w.t.Fatalf("the status of %d is %d, want %d", ordinal, value[0], want)
		}
	}
	for _, e := range w.model.added {
		key := keys.OfExpiry(e)
		if trees.Find(storage.TreeExpiry, &key, nil) != w.model.live[e] {
			w.t.Fatalf("expiry %v is live: %v, want the opposite", e, !w.model.live[e])
		}
	}
	w.ordinals(trees)
}

// ordinals demands that a walk over the runs of a posting tree, from the oldest to the newest,
// gives each value's ordinals in order.
func (w *world) ordinals(trees *Levels) {
	w.t.Helper()
	got := map[uint32][]uint64{}
	c := NewCursor()
	for _, r := range trees.Tree(storage.TreeTransferCode).Runs() {
		least := storage.Key{}
		c.Open(trees, storage.TreeTransferCode, r)
		entries := uint64(0)
		for c.Seek(&least); c.IsValid(); c.Next() {
			code := uint32(binary.BigEndian.Uint16(c.Key()[:]))
			ordinal := uint64(c.Key()[2])<<32 | uint64(binary.BigEndian.Uint32(c.Key()[3:]))
			if ordinal < r.OrdinalFirst() || ordinal >= r.OrdinalEnd() {
				w.t.Fatalf("ordinal %d is outside of the run's %d..%d", ordinal, r.OrdinalFirst(), r.OrdinalEnd())
			}
			got[code] = append(got[code], ordinal)
			entries++
		}
		if entries != r.entries {
			w.t.Fatalf("a run of %d entries has %d", r.entries, entries)
		}
	}
	for code, want := range w.model.codes {
		if !slices.Equal(got[code], want) {
			w.t.Fatalf("code %d has %d ordinals, want %d, or in another order", code, len(got[code]), len(want))
		}
	}
}

// manifest is the trees' part of a manifest, with its head.
func (w *world) manifest() []byte {
	out := make([]byte, manifest.HeadBytes+w.trees.EncodedBytes())
	writer := manifest.NewWriter(out)
	var head manifest.Head
	w.trees.LevelsCount(&head.Levels)
	writer.Head(&head)
	w.trees.Encode(writer)
	if encoded := writer.End(nil); len(encoded) != len(out) {
		w.t.Fatalf("%d bytes are written, %d were announced", len(encoded), len(out))
	}
	return out
}

// again returns trees that are decoded from the manifest, over a copy of the disk.
func (w *world) again() *Levels {
	w.t.Helper()
	return w.on(w.Ground.Again())
}

// on is again for a ground that the caller has.
func (w *world) on(g *foresttest.Ground) *Levels {
	w.t.Helper()
	trees := New(&w.Limits, g.Memory, g.Pages, g.Free, 1)
	r := manifest.NewReader(w.manifest(), math.MaxUint64, block.GeometryOf(w.Limits).PagesMax)
	head := r.Head()
	if trees.Decode(&r, &head.Levels); !r.End() {
		w.t.Fatal("the manifest is refused")
	}
	trees.OpenFilters(g.Grid)
	return trees
}

// same demands that other trees have the same runs and merges.
func (w *world) same(other *Levels) {
	w.t.Helper()
	sameRun := func(a, b *Run) bool {
		return slices.Equal(a.tables, b.tables) && slices.Equal(a.fences, b.fences) && a.entries == b.entries && a.rows == b.rows &&
			a.ordinalFirst == b.ordinalFirst && a.ordinalEnd == b.ordinalEnd
	}
	for i := range w.trees.trees {
		a, b := &w.trees.trees[i], &other.trees[i]
		if len(a.ordered) != len(b.ordered) {
			w.t.Fatalf("%s has %d runs, want %d", a.spec.Name, len(b.ordered), len(a.ordered))
		}
		for j := range a.ordered {
			if !sameRun(a.ordered[j], b.ordered[j]) {
				w.t.Fatalf("run %d of %s is another one", j, a.spec.Name)
			}
		}
		for j := range a.levels {
			m, n := &a.levels[j].merge, &b.levels[j].merge
			if !sameRun(&m.output, &n.output) || m.inputs != n.inputs || m.entriesLeft != n.entriesLeft || m.entriesAll != n.entriesAll ||
				m.rowsAll != n.rowsAll || m.credit != n.credit || m.from != n.from || m.fromKey != n.fromKey {
				w.t.Fatalf("the merge of level %d of %s is %+v, want %+v", j, a.spec.Name, n, m)
			}
		}
	}
}

// Goal: over many bars with flushes of every size, at the head of merges and within them, every
// key has its newest value, removals hold, and postings are in order. What a restart decodes from
// the manifest gives the same answers and the same manifest.
func TestAgainstModel(t *testing.T) {
	random := seeded.Rand(t)
	bars := 250
	if testing.Short() {
		bars = 60
	}
	for round := range 2 {
		w := newWorld(t, foresttest.Limits(), random)
		for bar := range bars {
			count := random.IntN(60)
			if random.IntN(10) == 0 {
				count = 400
			}
			if random.IntN(8) == 0 {
				count = 0
			}
			w.bar(w.rows(count, round == 0))
			w.check()
			if bar%10 == 0 {
				w.answers(w.trees)
			}
			if bar%40 == 7 {
				again := w.again()
				w.answers(again)
				w.same(again)
				before := w.manifest()
				trees := w.trees
				w.trees = again
				after := w.manifest()
				if w.trees = trees; !bytes.Equal(before, after) {
					t.Fatal("decoded trees encode to another manifest")
				}
			}
		}
		w.answers(w.trees)
		deepest := 0
		for i := range w.trees.trees {
			deepest = max(deepest, w.trees.trees[i].deepest())
		}
		var c Counters
		w.trees.Count(&c)
		t.Logf("%d transfers, %d merge jobs, level %d, %d tables moved", w.next, w.merges, deepest, c.TablesMoved)
		if !testing.Short() && (w.merges == 0 || deepest == 0 || round == 0 && c.TablesMoved == 0) {
			t.Error("the test shows little")
		}
	}
}

// Goal: Try says of every key what Find says, once all pages that it asked for have arrived.
func TestTryIsFind(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, foresttest.Limits(), random)
	for range 40 {
		w.bar(w.rows(80, false))
	}
	trees := w.again()
	ask := func(id accounting.U128) {
		key := keys.ID(id)
		var got, want [8]byte
		for tries := 0; ; tries++ {
			found, complete := trees.Try(storage.TreeTransferID, &key, got[:])
			if complete {
				if wantFound := w.trees.Find(storage.TreeTransferID, &key, want[:]); found != wantFound || got != want {
					t.Fatalf("id %v: %v %v, want %v %v", id, found, got, wantFound, want)
				}
				return
			}
			if tries > 1000 {
				t.Fatal("the pages never come")
			}
			trees.pages.Wait()
		}
	}
	for id := range w.model.ids {
		ask(id)
	}
	for range 100 {
		ask(accounting.U128{Lo: random.Uint64(), Hi: random.Uint64()})
	}
}

// Goal: a cursor goes to the first key that is not below the wanted one, and on to the last.
func TestCursor(t *testing.T) {
	for _, pageBytes := range []uint32{512, 2048, 4096} { // less than a group of keys in a page, or some of them
		t.Run(fmt.Sprintf("pages of %d bytes", pageBytes), func(t *testing.T) { cursor(t, pageBytes) })
	}
}

func cursor(t *testing.T, pageBytes uint32) {
	random := seeded.Rand(t)
	w := newWorld(t, pagesOf(pageBytes), random)
	w.bar(w.rows(2000, false))
	r := w.trees.Tree(storage.TreeTransferID).Runs()[0]
	var sorted []storage.Key
	for id := range w.model.ids {
		sorted = append(sorted, keys.ID(id))
	}
	slices.SortFunc(sorted, func(a, b storage.Key) int { return a.Compare(&b) })
	c := NewCursor()
	c.Open(w.trees, storage.TreeTransferID, r)
	for range 300 {
		var key storage.Key
		if random.IntN(2) == 0 {
			key = sorted[random.IntN(len(sorted))]
		} else {
			key = keys.ID(accounting.U128{Lo: random.Uint64(), Hi: random.Uint64() >> random.UintN(64)})
		}
		at, _ := slices.BinarySearchFunc(sorted, key, func(a, b storage.Key) int { return a.Compare(&b) })
		c.Seek(&key)
		for range 1 + random.IntN(200) {
			if c.IsValid() != (at < len(sorted)) || c.IsValid() && *c.Key() != sorted[at] {
				t.Fatalf("entry %d of %d: valid %v", at, len(sorted), c.IsValid())
			}
			if !c.IsValid() {
				break
			}
			if c.WarmNext(); random.IntN(4) == 0 { // from here on again
				c.Seek(&sorted[at])
			}
			c.Next()
			at++
		}
	}
}

// Goal: a run is searched as by a walk over its tables, for fences that are alike and for keys that
// differ only behind them.
func TestSearchAgainstWalk(t *testing.T) {
	random := seeded.Rand(t)
	for range 2000 {
		var r Run
		spread := 1 + random.IntN(6)
		draw := func() (key storage.Key) {
			switch spread {
			case 1: // random ids
				binary.BigEndian.PutUint64(key[0:], random.Uint64())
			case 2: // alike in the first half
				binary.BigEndian.PutUint64(key[8:], random.Uint64N(64))
			case 3: // alike in the fence
				binary.BigEndian.PutUint64(key[16:], random.Uint64N(64))
			default:
				binary.BigEndian.PutUint64(key[0:], random.Uint64N(4)<<62)
				binary.BigEndian.PutUint64(key[8:], random.Uint64N(3))
				binary.BigEndian.PutUint64(key[16:], random.Uint64N(3))
			}
			return key
		}
		for range random.IntN(120) { // more than guess reaches
			r.tables = append(r.tables, storage.Table{KeyMax: draw()})
		}
		slices.SortFunc(r.tables, func(a, b storage.Table) int { return a.KeyMax.Compare(&b.KeyMax) })
		r.tables = slices.CompactFunc(r.tables, func(a, b storage.Table) bool { return a.KeyMax == b.KeyMax })
		for i := range r.tables {
			r.fences = append(r.fences, fenceOf(&r.tables[i].KeyMax))
		}
		for range 30 {
			key := draw()
			want := 0
			for want < len(r.tables) && r.tables[want].KeyMax.Compare(&key) < 0 {
				want++
			}
			if got := r.Search(&key); got != want {
				t.Fatalf("key %x is in table %d of %d, want %d", key, got, len(r.tables), want)
			}
		}
	}
}

// drawTable returns a table that can be told from others.
func drawTable(random *rand.Rand) storage.Table {
	t := storage.Table{Ref: storage.Ref{Address: 1 + random.Uint64()>>1}}
	binary.BigEndian.PutUint64(t.KeyMax[:], random.Uint64())
	return t
}
