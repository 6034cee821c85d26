package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"ledger/internal/ports"
	"ledger/limits"
	"ledger/prepare"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/vsr"
	"ledger/wire"
)

// log is a data file in memory with a small log, written by the rules.
type log struct {
	t        *testing.T
	l        limits.Limits
	layout   datafile.Layout
	bytes    []byte
	parent   wire.Checksum
	head     uint64
	prepares map[uint64][]byte
}

var cluster = wire.U128{Lo: 9}

func (g *log) ReadAt(buffer []byte, offset uint64) error {
	copy(buffer, g.bytes[offset:])
	return nil
}

func (g *log) WriteAt(buffer []byte, offset uint64) error {
	copy(g.bytes[offset:], buffer)
	return nil
}

func (g *log) SizeBytes() (uint64, error) { return uint64(len(g.bytes)), nil }

func testLimits() limits.Limits {
	l := limits.Production()
	l.SectorBytes, l.PageBytes, l.BlockBytes, l.MessageBytesMax, l.SuperblockBytes = 512, 1024, 4096, 4096, 4096
	l.JournalSlotsCount, l.BarOps, l.SlackOps, l.PipelineOpsMax = 32, 4, 4, 4
	l.TwinBytes = 1024 // ops 1 to 7 and 20 to 27 are small, 2 and 22 the largest of one sector
	l.RequestBytesMax, l.GroupBytesMax = 4096, 4096-limits.HeaderBytes
	return l
}

func newLog(t *testing.T, head uint64) *log {
	l := testLimits()
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	g := &log{t: t, l: l, layout: datafile.NewLayout(&l), prepares: map[uint64][]byte{}}
	g.bytes = make([]byte, g.layout.GridAt)
	options := datafile.FormatOptions{Cluster: cluster, ReplicasCount: 1, Incarnation: 1}
	if err := datafile.Format(g, &l, &options, make([]byte, 4096)); err != nil {
		t.Fatal(err)
	}
	g.parent = prepare.Header(g.bytes[g.layout.PreparesAt:][:256]).Checksum()
	for op := uint64(1); op <= head; op++ {
		g.writeOp(op, true, true)
	}
	return g
}

// writeOp writes the prepare of op and its twin, or only one of them.
func (g *log) writeOp(op uint64, withPrepare, withTwin bool) {
	slot, h := g.build(op, 0)
	if withPrepare {
		copy(g.slot(op), slot)
	}
	if withTwin {
		copy(g.twin(op), twinOf(slot, &g.l))
		g.parent, g.head = h.Checksum(), op
	}
}

// build returns the prepare of op, as it is in its slot.
func (g *log) build(op uint64, view uint32) ([]byte, prepare.Header) {
	slot := make([]byte, 4096)
	size := uint32(256 + 100*(op%20))
	for i := 256; i < int(size); i++ {
		slot[i] = byte(op)
	}
	h := prepare.Put(slot, &prepare.Fields{Parent: g.parent, Cluster: cluster, Op: op, View: view, Timestamp: op, SizeBytes: size,
		RequestsCount: 1,
		Operation:     wire.OperationNoop, Command: prepare.CommandPrepare}, prepare.Sum(slot[256:size]))
	g.prepares[op] = slot[:size]
	return slot, h
}

// twinOf is what the second place of a slot holds, in whole sectors.
func twinOf(slot []byte, l *limits.Limits) []byte {
	h := prepare.Header(slot[:256])
	twin := bytes.Clone(slot[:(h.SizeBytes()+511)/512*512])
	if !isSmall(h, l) {
		twin = twin[:512]
		clear(twin[256:])
	}
	return twin
}

// checksum is that of the prepare of op.
func (g *log) checksum(op uint64) wire.Checksum {
	return prepare.Header(g.prepares[op][:256]).Checksum()
}

func (g *log) slot(op uint64) []byte { return g.bytes[g.layout.PrepareAt(op%32):][:4096] }
func (g *log) twin(op uint64) []byte { return g.bytes[g.layout.TwinAt(op%32):][:1024] }

func (g *log) checkpoint(op uint64) *storage.Checkpoint {
	c := &storage.Checkpoint{Op: op}
	if op == 0 {
		root := make([]byte, 256)
		c.PrepareChecksum = prepare.PutRoot(root, cluster).Checksum()
	} else {
		c.PrepareChecksum = wire.Checksum(prepare.Header(g.prepares[op][:256]).Checksum())
	}
	return c
}

func (g *log) recover(checkpointOp uint64) (*Recovered, error) {
	superblock := datafile.Superblock{Cluster: cluster, ReplicasCount: 1, Checkpoint: *g.checkpoint(checkpointOp)}
	return Recover(g, &g.l, &superblock, make([]byte, 32*256), make([]byte, 4096))
}

// A log that was closed properly comes back whole, on the first lap and on later ones.
func TestRecoverWholeLog(t *testing.T) {
	for _, c := range []struct{ head, checkpoint uint64 }{{0, 0}, {1, 0}, {19, 0}, {27, 19}, {45, 19}, {70, 59}} {
		g := newLog(t, c.head)
		r, err := g.recover(c.checkpoint)
		if err != nil || r.OpHead != c.head || r.TwinsFixed+r.PreparesFixed != 0 || r.TornOp != 0 {
			t.Errorf("head %d, checkpoint %d: %+v, %v", c.head, c.checkpoint, r, err)
		}
	}
}

// A crash between any two sector writes of an append loses nothing that was acknowledged: the op
// before it is the head, or the op itself where one of its copies was whole. The sectors of a small
// prepare and of its twin are on disk or not, each for itself; of a large one the twin is not
// written before the prepare is.
func TestCrashAtEverySectorOfAnAppend(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, head := range []uint64{1, 2, 3, 7, 19, 21, 38, 45} { // first lap, and over older entries; behind them small ones, and large
		checkpoint := uint64(0)
		if head > 27 {
			checkpoint = 19
		}
		for trial := range 200 {
			g := newLog(t, head)
			op := head + 1
			slot, h := g.build(op, 0)
			size := (len(g.prepares[op]) + 511) / 512 * 512
			land := func(to, from []byte) (whole bool) {
				whole = true
				for at := 0; at < len(from); at += 512 {
					if trial == 0 || trial > 1 && random.IntN(2) == 0 {
						copy(to[at:at+512], from[at:at+512])
					}
					whole = whole && string(to[at:at+512]) == string(from[at:at+512])
				}
				return whole
			}
			whole := land(g.slot(op), slot[:size])
			if small := isSmall(h, &g.l); small || whole {
				twinWhole := land(g.twin(op), twinOf(slot, &g.l))
				whole = whole || small && twinWhole
			}
			r, err := g.recover(checkpoint)
			if err != nil {
				t.Fatalf("head %d, trial %d: %v", head, trial, err)
			}
			want := head
			if whole {
				want++
			}
			if r.OpHead != want {
				t.Fatalf("head %d, trial %d: recovered op %d, want %d", head, trial, r.OpHead, want)
			}
			if whole && (string(g.slot(op)[:size]) != string(slot[:size]) || string(g.twin(op)[:512]) != string(twinOf(slot, &g.l)[:512])) {
				t.Fatalf("head %d, trial %d: the op was not repaired", head, trial)
			}
			// And once more, after the repair.
			if again, err := g.recover(checkpoint); err != nil || again.OpHead != want || again.TwinsFixed+again.PreparesFixed != 0 {
				t.Fatalf("head %d, trial %d: second recovery %+v, %v", head, trial, again, err)
			}
		}
	}
}

// A torn prepare that the next start gives up, and what the crash of that start leaves over it, are
// still one torn entry at most. What comes together from both is whole, and of two that are whole
// the later wins.
func TestCrashOverATornPrepare(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	rows := map[byte]int{}
	for trial := range 3000 {
		head := []uint64{4, 22, 42}[trial%3] // of two sectors, in the second and third case over older entries
		checkpoint := uint64(0)
		if head > 27 {
			checkpoint = 19
		}
		g := newLog(t, head)
		op := head + 1
		for view := range uint32(2) {
			slot, _ := g.build(op, view) // the same body, another header
			for _, to := range [][]byte{g.slot(op), g.twin(op)} {
				for at := 0; at < 1024; at += 512 {
					if random.IntN(2) == 0 {
						copy(to[at:at+512], slot[at:at+512])
					}
				}
			}
			if view == 1 {
				f := &logFile{file: g, limits: &g.l, layout: g.layout, cluster: cluster, checkpointOp: checkpoint, scratch: make([]byte, 4096)}
				slots, decisions := make([]vsr.Slot, 32), make([]vsr.Decision, 32)
				f.readTwins(make([]byte, 32*256), slots)
				for i := range slots {
					p, _ := f.readPrepare(uint64(i))
					slots[i].P = copyOf(p, f.classify(p, uint64(i)))
				}
				in := vsr.Input{Replicas: 1, CheckpointOp: checkpoint, PrepareMax: g.l.PrepareMax(checkpoint)}
				in.CheckpointChecksum = g.checkpoint(checkpoint).PrepareChecksum
				if _, refusal := vsr.Recover(&in, slots, decisions); refusal != nil {
					t.Fatalf("trial %d: %s", trial, refusal.Reason)
				}
				rows[decisions[op%32].Row]++
			}
			r, err := g.recover(checkpoint)
			if err != nil {
				t.Fatalf("trial %d, view %d: %v", trial, view, err)
			}
			if r.OpHead == op {
				break // it stays
			}
			if r.OpHead != head {
				t.Fatalf("trial %d, view %d: recovered op %d, want %d", trial, view, r.OpHead, head)
			}
		}
		if again, err := g.recover(checkpoint); err != nil || again.TwinsFixed+again.PreparesFixed != 0 {
			t.Fatalf("trial %d: second recovery %+v, %v", trial, again, err)
		}
	}
	for _, letter := range "BMQRST" {
		if rows[byte(letter)] == 0 {
			t.Errorf("row %c was never reached: %v", letter, rows)
		}
	}
}

// unreadable is a file of which one range cannot be read.
type unreadable struct {
	*log
	from, to uint64
}

func (u unreadable) ReadAt(buffer []byte, offset uint64) error {
	if offset < u.to && offset+uint64(len(buffer)) > u.from {
		return errors.New("the medium does not answer")
	}
	return u.log.ReadAt(buffer, offset)
}

// Goal: a read that fails is told apart from bytes that are wrong, in every sector of both copies
// that recovery needs, and one of several replicas does not nack because of it.
func TestFailedReadIsNoNack(t *testing.T) {
	const head = 4 // small, of two sectors
	g := newLog(t, head)
	read := func(file ports.File) []vsr.Slot {
		f := &logFile{file: file, limits: &g.l, layout: g.layout, cluster: cluster, scratch: make([]byte, 4096)}
		slots := make([]vsr.Slot, 32)
		f.readTwins(make([]byte, 32*256), slots)
		for i := range slots {
			p, isUnread := f.readPrepare(uint64(i))
			slots[i].P = copyOf(p, f.classify(p, uint64(i)))
			slots[i].P.IsUnread = isUnread
		}
		return slots
	}
	p, twin := g.layout.PrepareAt(head), g.layout.TwinAt(head)
	clear(g.slot(head)[512:1024]) // the prepare is bad, so all rests on the twin
	for _, c := range []struct {
		what     string
		from, to uint64
		p, t     bool // unread
		verdict  vsr.Verdict
	}{
		{"nothing", 0, 0, false, false, vsr.FixPrepare},
		{"the header of the prepare", p, p + 512, true, false, vsr.FixPrepare},
		{"the body of the prepare", p + 512, p + 1024, true, false, vsr.FixPrepare},
		{"the header of the twin", twin, twin + 512, false, true, vsr.Faulty},
		{"the body of the twin", twin + 512, twin + 1024, false, true, vsr.Faulty},
		{"the twin of another op", twin - 1024, twin - 512, false, false, vsr.FixPrepare},
	} {
		slots := read(unreadable{g, c.from, c.to})
		in := vsr.Input{Replicas: 3, PrepareMax: g.l.PrepareMax(0), Headers: []vsr.Header{{}}}
		r, refusal := vsr.Recover(&in, slots, make([]vsr.Decision, 32))
		if refusal != nil {
			t.Fatalf("%s: %+v", c.what, refusal)
		}
		if s := slots[head]; s.P.IsUnread != c.p || s.T.IsUnread != c.t || r.Decisions[head].Verdict != c.verdict || r.Nack(head) {
			t.Errorf("unreadable is %s: %+v, %v, nack %v", c.what, s, r.Decisions[head].Verdict, r.Nack(head))
		}
	}
}

// Goal: a small prepare survives damage to any one of its copies, the head included. The faults are
// of every kind, on every op alone and on many ops at once.
func TestOneCopyIsEnough(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	older := newLog(t, 15)
	for trial := range 500 {
		head := uint64(42 + trial%4) // 40 to 45 are small, as are 20 to 27
		g := newLog(t, head)
		fixed := 0
		for _, op := range []uint64{20, 21, 22, 23, 24, 25, 26, 27, 40, 41, 42, 43, 44, 45} {
			if op > head || random.IntN(2) == 0 {
				continue
			}
			fixed++
			size := (len(g.prepares[op]) + 511) / 512 * 512
			place, was := g.slot(op), older.slot(op)
			other := g.slot(20 + random.Uint64N(8))
			if random.IntN(2) == 0 {
				place, was, other = g.twin(op), older.twin(op), g.twin(20+random.Uint64N(8))
			}
			switch random.IntN(4) {
			case 0:
				place[random.IntN(size)] ^= 1
			case 1:
				clear(place[:512])
			case 2: // lost
				copy(place, was[:size])
			case 3: // another one's
				if string(place[:256]) == string(other[:256]) {
					fixed--
				} else {
					copy(place, other[:size])
				}
			}
		}
		r, err := g.recover(19)
		if err != nil || r.OpHead != head || r.TwinsFixed+r.PreparesFixed != fixed {
			t.Fatalf("trial %d: %+v, %v, want %d repairs", trial, r, err, fixed)
		}
		for op := uint64(20); op <= head; op++ {
			if string(g.slot(op)[:len(g.prepares[op])]) != string(g.prepares[op]) {
				t.Fatalf("trial %d: op %d is not what it was", trial, op)
			}
		}
		if again, err := g.recover(19); err != nil || again.TwinsFixed+again.PreparesFixed != 0 {
			t.Fatalf("trial %d: second recovery %+v, %v", trial, again, err)
		}
	}
}

// Goal: recovery refuses damage that one replica cannot repair, repairs damage that it can, and
// ignores damage in places that nobody needs.
func TestDamage(t *testing.T) {
	cases := []struct {
		name       string
		head       uint64
		checkpoint uint64
		damage     func(g *log)
		want       string // of the error; empty: it starts
		fixed      int
	}{
		{"body of a large prepare", 19, 0, func(g *log) { g.slot(15)[600] ^= 1 }, "case C", 0},
		{"header of a large prepare", 19, 0, func(g *log) { g.slot(8)[3] ^= 1 }, "case C", 0},
		{"a large head, its twin intact", 19, 0, func(g *log) { g.slot(19)[3] ^= 1 }, "case C", 0},
		{"a small prepare", 19, 0, func(g *log) { g.slot(7)[600] ^= 1 }, "", 1},
		{"a small head", 45, 19, func(g *log) { g.slot(45)[3] ^= 1 }, "", 1},
		{"a small head's twin", 45, 19, func(g *log) { g.twin(45)[700] ^= 1 }, "", 1},
		{"both copies of a small prepare", 45, 19, func(g *log) { g.slot(26)[600] ^= 1; g.twin(26)[600] ^= 1 }, "case R", 0},
		{"both copies of a small head, one in its header", 45, 19, func(g *log) { g.slot(45)[600] ^= 1; g.twin(45)[3] ^= 1 }, "case A", 0},
		{"a small prepare rots, its twin is that of an earlier lap", 46, 19, func(g *log) {
			g.slot(45)[600] ^= 1
			copy(g.twin(45), newLog(g.t, 13).twin(13))
		}, "case C", 0},
		{"a small prepare rots, its twin is a small one of an earlier lap", 62, 39, func(g *log) {
			g.slot(59)[600] ^= 1
			copy(g.twin(59), newLog(g.t, 27).twin(27))
		}, "case Q", 0},
		{"all twins", 19, 0, func(g *log) { clear(g.bytes[g.layout.TwinsAt:][:32*1024]) }, "", 32},
		{"twin and prepare", 19, 0, func(g *log) { g.slot(15)[3] ^= 1; g.twin(15)[3] ^= 1 }, "case A", 0},
		{"lost write of a large prepare", 19, 0, func(g *log) { prepare.PutReserved(g.slot(15), cluster, 15) }, "case K", 0},
		{"lost write of a large prepare after a lap", 47, 19, func(g *log) { copy(g.slot(47), newLog(g.t, 15).slot(15)) }, "", 1},
		{"lost write of a large prepare over a large one", 50, 19, func(g *log) { copy(g.slot(50), newLog(g.t, 18).slot(18)) }, "case N", 0},
		{"lost write of a large prepare's twin after a lap", 50, 19, func(g *log) { copy(g.twin(50), newLog(g.t, 18).twin(18)) }, "", 1},
		{"both writes of the head lost", 45, 19, func(g *log) {
			other := newLog(g.t, 13)
			copy(g.twin(45), other.twin(13))
			copy(g.slot(45), other.slot(13))
		}, "", 0},
		{"misdirected large prepare", 50, 19, func(g *log) { copy(g.slot(30), g.slot(29)) }, "case C", 0},
		{"misdirected small prepare", 45, 19, func(g *log) { copy(g.slot(25), g.slot(24)) }, "", 1},
		{"misdirected twin", 45, 19, func(g *log) { copy(g.twin(25), g.twin(24)) }, "", 1},
		{"an entry below the checkpoint", 45, 19, func(g *log) { g.slot(17)[3] ^= 1 }, "", 0},
		{"an entry below the checkpoint and the torn one", 45, 19, func(g *log) { g.slot(17)[3] ^= 1; g.slot(46)[3] ^= 1 }, "case C", 0},
		{"an entry of another cluster", 19, 0, func(g *log) {
			prepare.Put(g.slot(15), &prepare.Fields{Cluster: wire.U128{Lo: 1}, Op: 15, SizeBytes: 256, RequestsCount: 1,
				Command: prepare.CommandPrepare}, prepare.Sum(nil))
		}, "case C", 0},
		{"a log that ends before the checkpoint's trigger", 22, 19, func(*log) {}, "was taken at op 23", 0},
		{"a replaced entry breaks the chain", 19, 0, func(g *log) {
			prepare.Put(g.slot(15), &prepare.Fields{Parent: wire.Checksum{1}, Cluster: cluster, Op: 15, Timestamp: 15, SizeBytes: 256,
				RequestsCount: 1,
				Command:       prepare.CommandPrepare}, prepare.Sum(nil))
			clear(g.slot(15)[256:])
			copy(g.twin(15), g.slot(15)[:512])
		}, "does not follow", 0},
	}
	for _, c := range cases {
		g := newLog(t, c.head)
		c.damage(g)
		r, err := g.recover(c.checkpoint)
		if c.want != "" {
			var damage *DamageError
			if !errors.As(err, &damage) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
			}
			continue
		}
		if err != nil || r.OpHead < c.head-1 || r.TwinsFixed+r.PreparesFixed != c.fixed {
			t.Errorf("%s: %+v, %v, want %d repairs", c.name, r, err, c.fixed)
		}
	}
}

// sharedLog is a log that several goroutines may read at the same time.
type sharedLog struct{ *log }

func (sharedLog) ReadersMax() int { return 4 }

// Goal: a log that is read side by side is judged and repaired like one that is read slot by slot,
// whatever damage it has.
func TestRecoverSideBySide(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 9))
	refused := 0
	for trial := range 300 {
		g, shared := newLog(t, uint64(20+trial%27)), newLog(t, uint64(20+trial%27))
		for range random.IntN(4) {
			op, at := 1+random.Uint64N(g.head), random.IntN(1024)
			for _, log := range []*log{g, shared} {
				if trial%2 == 0 {
					log.slot(op)[at] ^= 4
				} else {
					log.twin(op)[at] ^= 4
				}
			}
		}
		checkpointOp := uint64(0)
		if g.head > 27 {
			checkpointOp = 19
		}
		superblock := func(g *log) *datafile.Superblock {
			return &datafile.Superblock{Cluster: cluster, ReplicasCount: 1, Checkpoint: *g.checkpoint(checkpointOp)}
		}
		want, wantErr := Recover(g, &g.l, superblock(g), make([]byte, 32*256), make([]byte, 4096))
		got, err := Recover(sharedLog{shared}, &g.l, superblock(shared), make([]byte, 32*256), make([]byte, 5*4096))
		if fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Fatalf("trial %d: %v, want %v", trial, err, wantErr)
		}
		if !bytes.Equal(g.bytes, shared.bytes) {
			t.Fatalf("trial %d: the repaired logs differ", trial)
		}
		if err != nil {
			refused++
		} else if !reflect.DeepEqual(got, want) {
			t.Fatalf("trial %d: %+v, want %+v", trial, got, want)
		}
	}
	if refused == 0 || refused == 300 {
		t.Errorf("%d of 300 logs are refused: the test shows little", refused)
	}
}
