package journal

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"ledger/limits"
	"ledger/prepare"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/wire"
)

// Every combination of what the two places of a slot can hold matches one row of the table, the one that consensus 8.3 names.
func TestDecisionTableIsComplete(t *testing.T) {
	const prepareMax = 100
	ops := []uint64{5, 37, 133} // of two laps, and beyond what may be prepared
	kinds := []copyKind{copyBad, copyReserved, copyEntry}
	rows := map[byte]int{}
	for _, h := range kinds {
		for _, p := range kinds {
			for _, hOp := range ops {
				for _, pOp := range ops {
					for _, same := range []bool{false, true} {
						s := slotCopies{h: h, p: p, hOp: hOp, pOp: pOp, sameHeader: same && h == copyEntry && p == copyEntry && hOp == pOp}
						letter, a := decide(s, prepareMax)
						rows[letter]++
						if want := expectedAction(s, prepareMax); a != want {
							t.Fatalf("%+v: row %c gives action %d, want %d", s, letter, a, want)
						}
					}
				}
			}
		}
	}
	for _, letter := range "ABCDEGHIJKLMNOP" {
		if rows[byte(letter)] == 0 {
			t.Errorf("row %c was never reached", letter)
		}
	}
}

// expectedAction is the table's column "solo", written the other way round: by what is trusted.
func expectedAction(s slotCopies, prepareMax uint64) action {
	entryP, entryH := s.p == copyEntry, s.h == copyEntry
	if entryP && s.pOp > prepareMax || entryH && s.hOp > prepareMax && s.p != copyBad {
		return actionRefuse
	}
	switch {
	case entryP && (!entryH || s.hOp < s.pOp):
		return actionFix
	case entryP && s.sameHeader:
		return actionClean
	case s.p == copyReserved && s.h == copyReserved:
		return actionClean
	case s.p == copyReserved && s.h == copyBad:
		return actionFix
	}
	return actionDamage
}

// log is a data file in memory with a small log, written by the rules.
type log struct {
	t        *testing.T
	l        limits.Limits
	layout   datafile.Layout
	bytes    []byte
	parent   prepare.Checksum
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
	if err := datafile.Format(g, &l, &datafile.FormatOptions{Cluster: cluster, ReplicasCount: 1}, make([]byte, 4096)); err != nil {
		t.Fatal(err)
	}
	g.parent = prepare.Header(g.bytes[g.layout.PreparesAt:][:256]).Checksum()
	for op := uint64(1); op <= head; op++ {
		g.append(op, true, true)
	}
	return g
}

// append writes the prepare of op and its redundant header, or only the first.
func (g *log) append(op uint64, withPrepare, withHeader bool) {
	slot := make([]byte, 4096)
	size := uint32(256 + 100*(op%20))
	for i := 256; i < int(size); i++ {
		slot[i] = byte(op)
	}
	h := prepare.Put(slot, &prepare.Fields{Parent: g.parent, Cluster: cluster, Op: op, Timestamp: op, SizeBytes: size, RequestsCount: 1,
		Operation: wire.OperationNoop, Command: prepare.CommandPrepare}, prepare.Sum(slot[256:size]))
	g.prepares[op] = slot[:size]
	if withPrepare {
		copy(g.slot(op), slot)
	}
	if withHeader {
		copy(g.header(op), slot[:256])
		g.parent, g.head = h.Checksum(), op
	}
}

func (g *log) slot(op uint64) []byte   { return g.bytes[g.layout.PrepareAt(op%32):][:4096] }
func (g *log) header(op uint64) []byte { return g.bytes[g.layout.HeadersAt+op%32*256:][:256] }

func (g *log) checkpoint(op uint64) *storage.Checkpoint {
	c := &storage.Checkpoint{Op: op}
	if op == 0 {
		root := make([]byte, 256)
		c.PrepareChecksum = storage.Checksum(prepare.PutRoot(root, cluster).Checksum())
	} else {
		c.PrepareChecksum = storage.Checksum(prepare.Header(g.prepares[op][:256]).Checksum())
	}
	return c
}

func (g *log) recover(checkpointOp uint64) (*Recovered, error) {
	return Recover(g, &g.l, cluster, g.checkpoint(checkpointOp), make([]byte, 32*256), make([]byte, 4096))
}

// A log that was closed properly comes back whole, on the first lap and on later ones.
func TestRecoverWholeLog(t *testing.T) {
	for _, c := range []struct{ head, checkpoint uint64 }{{0, 0}, {1, 0}, {19, 0}, {27, 19}, {45, 19}, {70, 59}} {
		g := newLog(t, c.head)
		r, err := g.recover(c.checkpoint)
		if err != nil || r.OpHead != c.head || r.HeadersFixed != 0 || r.TornOp != 0 {
			t.Errorf("head %d, checkpoint %d: %+v, %v", c.head, c.checkpoint, r, err)
		}
	}
}

// A crash between any two sector writes of an append loses nothing that was acknowledged: the op before it is the head, or the op
// itself where it was whole.
func TestCrashAtEverySectorOfAnAppend(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, head := range []uint64{3, 19, 38, 45} { // first lap, and over older entries
		checkpoint := uint64(0)
		if head > 27 {
			checkpoint = 19
		}
		for trial := range 200 {
			g := newLog(t, head)
			before := append([]byte(nil), g.slot(head+1)...)
			g.append(head+1, true, false)
			after := append([]byte(nil), g.slot(head+1)...)
			// Any subset of the sectors is on disk; trial 0: all, trial 1: none.
			whole := true
			size := (len(g.prepares[head+1]) + 511) / 512 * 512
			for at := 0; at < size; at += 512 {
				if trial == 1 || trial > 1 && random.IntN(2) == 0 {
					copy(g.slot(head + 1)[at:at+512], before[at:at+512])
					whole = whole && string(before[at:at+512]) == string(after[at:at+512])
				}
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
			// And once more, after the repair.
			if again, err := g.recover(checkpoint); err != nil || again.OpHead != want || again.HeadersFixed != 0 {
				t.Fatalf("head %d, trial %d: second recovery %+v, %v", head, trial, again, err)
			}
		}
	}
}

// What one replica cannot repair is refused; what it can repair is repaired; what nobody needs does no harm.
func TestDamage(t *testing.T) {
	cases := []struct {
		name       string
		head       uint64
		checkpoint uint64
		damage     func(g *log)
		want       string // of the error; empty: it starts
		fixed      int
	}{
		{"body of a committed prepare", 19, 0, func(g *log) { g.slot(15)[600] ^= 1 }, "case C", 0},
		{"header of a committed prepare", 19, 0, func(g *log) { g.slot(7)[3] ^= 1 }, "case C", 0},
		{"the head's prepare, its header intact", 19, 0, func(g *log) { g.slot(19)[3] ^= 1 }, "case C", 0},
		{"a sector of redundant headers", 19, 0, func(g *log) { clear(g.bytes[g.layout.HeadersAt+512:][:512]) }, "", 2},
		{"all redundant headers", 19, 0, func(g *log) { clear(g.bytes[g.layout.HeadersAt:][:32*256]) }, "", 32},
		{"redundant header and prepare", 19, 0, func(g *log) { g.slot(15)[3] ^= 1; g.header(15)[3] ^= 1 }, "case A", 0},
		{"lost prepare write", 19, 0, func(g *log) { prepare.PutReserved(g.slot(15), cluster, 15) }, "case K", 0},
		{"lost prepare write after a lap", 45, 19, func(g *log) {
			other := newLog(g.t, 13)
			copy(g.slot(45), other.slot(13))
		}, "case N", 0},
		{"lost header write after a lap", 45, 19, func(g *log) {
			other := newLog(g.t, 13)
			copy(g.header(45), other.header(13))
		}, "", 1},
		{"both writes of the head lost", 45, 19, func(g *log) {
			other := newLog(g.t, 13)
			copy(g.header(45), other.header(13))
			copy(g.slot(45), other.slot(13))
		}, "", 0},
		{"misdirected prepare", 45, 19, func(g *log) { copy(g.slot(30), g.slot(29)) }, "case C", 0},
		{"an entry below the checkpoint", 45, 19, func(g *log) { g.slot(17)[3] ^= 1 }, "", 0},
		{"an entry below the checkpoint and the torn one", 45, 19, func(g *log) { g.slot(17)[3] ^= 1; g.slot(46)[3] ^= 1 }, "case C", 0},
		{"an entry of another cluster", 19, 0, func(g *log) {
			prepare.Put(g.slot(15), &prepare.Fields{Cluster: wire.U128{Lo: 1}, Op: 15, SizeBytes: 256, RequestsCount: 1, Command: prepare.CommandPrepare}, prepare.Sum(nil))
		}, "case C", 0},
		{"a log that ends before the checkpoint's trigger", 22, 19, func(*log) {}, "was taken at op 23", 0},
		{"a replaced entry breaks the chain", 19, 0, func(g *log) {
			h := prepare.Put(g.slot(15), &prepare.Fields{Parent: prepare.Checksum{1}, Cluster: cluster, Op: 15, Timestamp: 15, SizeBytes: 256, RequestsCount: 1,
				Command: prepare.CommandPrepare}, prepare.Sum(nil))
			copy(g.header(15), h)
			clear(g.slot(15)[256:])
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
		if err != nil || r.HeadersFixed != c.fixed {
			t.Errorf("%s: %+v, %v, want %d headers fixed", c.name, r, err, c.fixed)
		}
	}
}
