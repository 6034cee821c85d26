package manifest

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
)

// content is everything that a manifest says.
type content struct {
	head     Head
	log      []storage.Table
	partial  []storage.Table // none or one
	levels   [storage.TreesCount][]level
	trailers []uint64
}

type level struct {
	number, inputs int
	runs           []run
	output         run
	merge          Merge
}

type run struct {
	Run
	tables []storage.Table
}

// draw returns a manifest that is right. bornMax is the checkpoint's op.
func draw(random *rand.Rand, l *limits.Limits, bornMax uint64) *content {
	c := &content{}
	address := uint64(0)
	table := func(tree storage.TreeID, key *uint64) storage.Table {
		address += 1 + random.Uint64N(3)
		t := storage.Table{Tree: tree, PagesUsed: uint16(2 + random.UintN(uint(block.GeometryOf(*l).PagesMax)-1)),
			Entries: 1 + random.Uint32N(100), BornOp: 1 + random.Uint64N(bornMax)}
		t.Address = address
		for i := range t.Checksum {
			t.Checksum[i] = byte(random.Uint32())
		}
		*key += 1 + random.Uint64N(9)
		binary.BigEndian.PutUint64(t.KeyMin[:], *key)
		*key += random.Uint64N(9)
		binary.BigEndian.PutUint64(t.KeyMax[:], *key)
		return t
	}
	key := uint64(0)
	for range random.IntN(6) {
		t := table(storage.TreeTransferLog, &key)
		c.log = append(c.log, t)
		c.head.TailFirst += uint64(t.Entries)
	}
	c.head.Transfers = c.head.TailFirst
	if random.IntN(2) == 0 {
		t := table(storage.TreeTransferLog, &key)
		t.Partial = true
		c.partial = append(c.partial, t)
		c.head.Transfers += uint64(t.Entries)
	}
	c.head.Accounts, c.head.TransferStamp, c.head.AccountStamp = uint64(random.Uint32()), random.Uint64(), random.Uint64()
	draw := func(id storage.TreeID, least int) (r run) {
		key := uint64(0)
		for range least + random.IntN(3) {
			t := table(id, &key)
			r.tables = append(r.tables, t)
			r.Entries += uint64(t.Entries)
		}
		r.Tables, r.Rows, r.OrdinalFirst = uint64(len(r.tables)), 1+random.Uint64N(1000), random.Uint64N(1000)
		r.OrdinalEnd = r.OrdinalFirst + random.Uint64N(1000)
		return r
	}
	for id := storage.TreeTransferLog + 1; id < storage.TreesCount; id++ {
		for number := range storage.LevelsMax {
			if random.IntN(5) > 0 {
				continue
			}
			lv := level{number: number}
			for range 1 + random.IntN(4) {
				lv.runs = append(lv.runs, draw(id, 1))
			}
			if random.IntN(2) == 0 {
				lv.inputs = storage.MergeRuns(l, id)
				for len(lv.runs) < lv.inputs {
					lv.runs = append(lv.runs, draw(id, 1))
				}
				lv.output = draw(id, 0)
				lv.merge = Merge{EntriesAll: 100 + random.Uint64N(100), RowsAll: 1 + random.Uint64N(100), Credit: random.Uint64N(100),
					From: random.IntN(2) == 0}
				lv.merge.EntriesLeft = 1 + random.Uint64N(lv.merge.EntriesAll)
				lv.merge.FromKey[3] = byte(random.Uint32())
			}
			c.levels[id] = append(c.levels[id], lv)
		}
	}
	for range random.IntN(10) {
		address++
		c.trailers = append(c.trailers, address)
	}
	return c
}

// tables are those that a walk should visit, in order.
func (c *content) tables() (list []Table) {
	for _, t := range slices.Concat(c.log, c.partial) {
		list = append(list, Table{Table: t})
	}
	for id := range c.levels {
		for _, lv := range c.levels[id] {
			for at, r := range lv.runs {
				for _, t := range r.tables {
					list = append(list, Table{Table: t, Level: lv.number, Run: at})
				}
			}
			for _, t := range lv.output.tables {
				list = append(list, Table{Table: t, Level: lv.number, Output: true})
			}
		}
	}
	return list
}

func (c *content) encode() []byte {
	w := NewWriter(make([]byte, 1<<20))
	head := c.head
	head.LogCount, head.Trailers, head.Partial = uint64(len(c.log)), uint64(len(c.trailers)), len(c.partial) > 0
	for id := range c.levels {
		head.Levels[id] = uint8(len(c.levels[id]))
	}
	w.Head(&head)
	for _, t := range slices.Concat(c.log, c.partial) {
		w.Table(&t)
	}
	encodeRun := func(r *run) {
		w.Run(&r.Run)
		for i := range r.tables {
			w.Table(&r.tables[i])
		}
	}
	for id := range c.levels {
		for i := range c.levels[id] {
			lv := &c.levels[id][i]
			w.Level(lv.number, len(lv.runs), lv.inputs)
			for j := range lv.runs {
				encodeRun(&lv.runs[j])
			}
			if lv.inputs > 0 {
				encodeRun(&lv.output)
				w.Merge(&lv.merge)
			}
		}
	}
	return w.End(c.trailers)
}

// Goal: everything that is written is read again, piece by piece, and a walk visits every table
// with its place. The sizes of the pieces are those that the constants say.
func TestRoundTrip(t *testing.T) {
	random := seeded.Rand(t)
	l := limits.Production()
	for range 300 {
		c := draw(random, &l, 1000)
		in := c.encode()
		size := HeadBytes + 8*uint64(len(c.trailers)) + uint64(len(c.tables()))*TableBytes
		for id := range c.levels {
			for _, lv := range c.levels[id] {
				size += LevelBytes + uint64(len(lv.runs))*RunBytes
				if lv.inputs > 0 {
					size += MergeBytes
				}
			}
		}
		if uint64(len(in)) != size || size > BytesMax(uint64(len(c.tables()))) {
			t.Fatalf("%d bytes, want %d, at most %d", len(in), size, BytesMax(uint64(len(c.tables()))))
		}
		var visited []Table
		trailers, err := Walk(in, &l, func(t *Table) { visited = append(visited, *t) })
		cursor := NewCursor(in, &l)
		for i := range visited {
			if table, ok := cursor.Next(); !ok || table != visited[i].Table {
				t.Fatalf("the cursor is at %+v, the walk at %+v", table, visited[i].Table)
			}
		}
		if _, ok := cursor.Next(); ok || cursor.Failed() {
			t.Fatal("the cursor does not end where the walk does")
		}
		if err != nil || !slices.Equal(visited, c.tables()) || !slices.Equal(trailers, c.trailers) {
			t.Fatalf("%v: %d tables, want %d, and %d trailers, want %d", err, len(visited), len(c.tables()), len(trailers), len(c.trailers))
		}
		c.read(t, in, &l)
	}
}

// read compares what a reader returns with the content.
func (c *content) read(t *testing.T, in []byte, l *limits.Limits) {
	r := NewReader(in, 1000, block.GeometryOf(*l).PagesMax)
	head := r.Head()
	if head.Transfers != c.head.Transfers || head.Accounts != c.head.Accounts || head.TransferStamp != c.head.TransferStamp ||
		head.AccountStamp != c.head.AccountStamp || head.TailFirst != c.head.TailFirst {
		t.Fatalf("head %+v, want %+v", head, c.head)
	}
	for i := range head.LogCount {
		if got := r.Table(storage.TreeTransferLog); got != c.log[i] {
			t.Fatalf("block %d is %+v, want %+v", i, got, c.log[i])
		}
	}
	if head.Partial {
		r.Table(storage.TreeTransferLog)
	}
	readRun := func(id storage.TreeID, want *run) {
		var tables []storage.Table
		if got := r.Run(id, func(t *storage.Table) { tables = append(tables, *t) }); got != want.Run || !slices.Equal(tables, want.tables) {
			t.Fatalf("run %+v, want %+v", got, want.Run)
		}
	}
	for id := range storage.TreesCount {
		for i := range head.Levels[id] {
			want := &c.levels[id][i]
			number, runs, inputs := r.Level(0, storage.MergeRuns(l, id))
			if int(number) != want.number || int(runs) != len(want.runs) || int(inputs) != want.inputs {
				t.Fatalf("level %d with %d runs, %d of them merged", number, runs, inputs)
			}
			for j := range want.runs {
				readRun(id, &want.runs[j])
			}
			if inputs > 0 {
				readRun(id, &want.output)
				if got := r.Merge(); got != want.merge {
					t.Fatalf("merge %+v, want %+v", got, want.merge)
				}
			}
		}
	}
	for _, want := range c.trailers {
		if got := r.Trailer(); got != want {
			t.Fatalf("trailer %d, want %d", got, want)
		}
	}
	if !r.End() {
		t.Fatal("the end is not found")
	}
}

// Goal: no manifest makes a reader panic. One that is cut short, or has bytes behind its end, is
// refused.
func TestDamage(t *testing.T) {
	random := seeded.Rand(t)
	l := limits.Production()
	refused := 0
	for range 3000 {
		in := draw(random, &l, 1000).encode()
		in = in[:len(in):len(in)]
		switch random.IntN(3) {
		case 0:
			in = in[:random.IntN(len(in))]
		case 1:
			in = append(in, 0)
		default:
			in[random.IntN(len(in))] ^= 1 << random.IntN(8)
			if _, err := Walk(in, &l, func(*Table) {}); err != nil {
				refused++
			}
			continue
		}
		if _, err := Walk(in, &l, func(*Table) {}); err != ErrDamaged {
			t.Fatalf("a manifest of another length: error %v", err)
		}
	}
	if refused == 0 {
		t.Error("no bit that was flipped was noticed")
	}
}

// Goal: each rule that a manifest has to keep is checked: breaking it alone is refused.
func TestRules(t *testing.T) {
	random := seeded.Rand(t)
	l := limits.Production()
	id := storage.TreePending
	for name, breaks := range map[string]func(c *content){
		"a carried row behind all":     func(c *content) { c.head.TailFirst = c.head.Transfers + 1 },
		"too many accounts":            func(c *content) { c.head.Accounts = 1 << 32 },
		"too many transfers":           func(c *content) { c.head.Transfers = 1 << 40 },
		"a row is missing":             func(c *content) { c.log[0].Entries++ },
		"a full block that is partial": func(c *content) { c.log[0].Partial = true },
		"a partial block that is not":  func(c *content) { c.partial[0].Partial = false },
		"a block of address 0":         func(c *content) { c.log[0].Address = 0 },
		"a block without data":         func(c *content) { c.log[0].PagesUsed = 1 },
		"a block with too many pages":  func(c *content) { c.log[0].PagesUsed = uint16(block.GeometryOf(l).PagesMax) + 1 },
		"a table that was never born":  func(c *content) { c.log[0].BornOp = 0 },
		"a table of another tree":      func(c *content) { c.levels[id][0].runs[0].tables[0].Tree = storage.TreeExpiry },
		"a table without entries":      func(c *content) { c.levels[id][0].runs[0].tables[0].Entries = 0 },
		"a table from behind to front": func(c *content) { c.levels[id][0].runs[0].tables[0].KeyMax = storage.Key{} },
		"tables that overlap": func(c *content) {
			tables := c.levels[id][0].runs[0].tables
			tables[1].KeyMin = tables[0].KeyMax
		},
		"a run with other entries":       func(c *content) { c.levels[id][0].runs[0].Entries++ },
		"a run without rows":             func(c *content) { c.levels[id][0].runs[0].Rows = 0 },
		"ordinals from behind to front":  func(c *content) { c.levels[id][0].runs[0].OrdinalEnd = c.levels[id][0].runs[0].OrdinalFirst - 1 },
		"more tables than there are":     func(c *content) { c.levels[id][0].runs[0].Tables = math.MaxUint64 },
		"a level that comes twice":       func(c *content) { c.levels[id][1].number = c.levels[id][0].number },
		"a level that is too deep":       func(c *content) { c.levels[id][1].number = storage.LevelsMax },
		"a level without runs":           func(c *content) { c.levels[id][0].runs, c.levels[id][0].inputs = nil, 0 },
		"a merge of another number":      func(c *content) { c.levels[id][0].inputs-- },
		"a merge of more than there are": func(c *content) { c.levels[id][0].runs = c.levels[id][0].runs[:c.levels[id][0].inputs-1] },
		"a merge that has ended":         func(c *content) { c.levels[id][0].merge.EntriesLeft = 0 },
		"a merge with too much left":     func(c *content) { c.levels[id][0].merge.EntriesLeft = c.levels[id][0].merge.EntriesAll + 1 },
		"a merge without rows":           func(c *content) { c.levels[id][0].merge.RowsAll = 0 },
		"a trailer of address 0":         func(c *content) { c.trailers[0] = 0 },
		"levels of the log":              func(c *content) { c.levels[storage.TreeTransferLog] = c.levels[id] },
	} {
		c := draw(random, &l, 1000)
		for len(c.log) == 0 || len(c.partial) == 0 || len(c.trailers) == 0 || len(c.levels[id]) < 2 || c.levels[id][0].inputs == 0 ||
			len(c.levels[id][0].runs[0].tables) < 2 || c.levels[id][0].runs[0].OrdinalFirst == 0 {
			c = draw(random, &l, 1000)
		}
		if _, err := Walk(c.encode(), &l, func(*Table) {}); err != nil {
			t.Fatalf("%s: refused before", name)
		}
		breaks(c)
		if _, err := Walk(c.encode(), &l, func(*Table) {}); err != ErrDamaged {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// Goal: a table that is younger than its checkpoint is refused, one that is as old is not.
func TestBornOp(t *testing.T) {
	out := make([]byte, TableBytes)
	table := storage.Table{Ref: storage.Ref{Address: 1}, Tree: storage.TreePending, PagesUsed: 2, Entries: 1, BornOp: 7}
	NewWriter(out).Table(&table)
	for op, want := range map[uint64]bool{6: true, 7: false, 8: false} {
		r := NewReader(out, op, 4)
		if r.Table(storage.TreePending); r.Failed() != want {
			t.Errorf("a table of op 7 in a checkpoint of op %d: refused %v", op, r.Failed())
		}
	}
}
