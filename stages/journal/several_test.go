package journal

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"ledger/prepare"
	"ledger/storage/datafile"
	"ledger/vsr"
	"ledger/wire"
)

// superblock is that of one of three replicas.
func (g *log) superblock(checkpointOp uint64) *datafile.Superblock {
	return &datafile.Superblock{Cluster: cluster, ReplicasCount: 3, Checkpoint: *g.checkpoint(checkpointOp)}
}

func (g *log) recoverSeveral(s *datafile.Superblock) (*Recovered, error) {
	return Recover(g, &g.l, s, make([]byte, 32*256), make([]byte, 4096))
}

// other writes another prepare of op than the log has, into both copies.
func (g *log) other(op uint64, f prepare.Fields) {
	slot := make([]byte, 4096)
	f.Cluster, f.Op, f.RequestsCount, f.Command, f.Operation = cluster, op, 1, prepare.CommandPrepare, wire.OperationNoop
	f.Timestamp = op
	if f.SizeBytes == 0 {
		f.SizeBytes = 256
	}
	prepare.Put(slot, &f, prepare.Sum(slot[256:f.SizeBytes]))
	copy(g.slot(op), slot)
	copy(g.twin(op), twinOf(slot, &g.l))
}

// list puts the headers of ops, by falling op, into the superblock.
func (g *log) list(s *datafile.Superblock, ops ...uint64) {
	for _, op := range ops {
		copy(s.Headers[s.HeadersCount][:], g.prepares[op][:256])
		s.HeadersCount++
	}
}

// Goal: on a data file, one of three replicas judges and mends a slot as the decision table says,
// in every row. It tells consensus which slots are faulty, and mends only the copy that the
// verdict names.
func TestRowsOfSeveral(t *testing.T) {
	bad := func(b []byte) { b[3] ^= 1 }    // in the header
	body := func(b []byte) { b[600] ^= 1 } // in the second sector
	unused := func(b []byte, op uint64) { clear(b); prepare.PutReserved(b, cluster, op%32) }
	for _, c := range []struct {
		name       string
		head, last uint64 // before the damage, and after it
		checkpoint uint64
		op         uint64 // whose slot is damaged
		damage     func(g *log)
		row        byte
		verdict    vsr.Verdict
		uncertain  bool
	}{
		{"both copies rot", 45, 45, 19, 26, func(g *log) { bad(g.slot(26)); bad(g.twin(26)) }, 'A', vsr.Faulty, false},
		{"both copies behind the head rot", 41, 41, 19, 42, func(g *log) { bad(g.slot(42)); bad(g.twin(42)) }, 'A', vsr.Faulty, true},
		{"the first lap's head tears", 5, 5, 0, 6, func(g *log) { bad(g.slot(6)) }, 'B', vsr.Torn, false},
		{"a large prepare rots", 45, 45, 19, 30, func(g *log) { bad(g.slot(30)) }, 'C', vsr.Faulty, false},
		{"a write over a large prepare tears", 49, 49, 39, 50, func(g *log) { bad(g.slot(50)) }, 'C', vsr.Torn, false},
		{"an unused twin rots", 5, 5, 0, 6, func(g *log) { bad(g.twin(6)) }, 'D', vsr.Faulty, true},
		{"a twin rots", 45, 45, 19, 26, func(g *log) { bad(g.twin(26)) }, 'E', vsr.FixTwin, false},
		{"a large prepare's twin rots", 45, 45, 19, 30, func(g *log) { bad(g.twin(30)) }, 'E', vsr.FixTwin, false},
		{"an older twin rots", 45, 45, 19, 46, func(g *log) { bad(g.twin(46)) }, 'E', vsr.Faulty, true},
		{"the first lap's twin is lost", 5, 5, 0, 5, func(g *log) { unused(g.twin(5), 5) }, 'G', vsr.FixTwin, false},
		{"an op that cannot have been prepared", 5, 5, 0, 30, func(g *log) { g.other(30+32, prepare.Fields{}) }, 'H', vsr.Cut, false},
		{"a large prepare of the first lap is lost", 19, 19, 0, 15, func(g *log) { unused(g.slot(15), 15) }, 'K', vsr.Faulty, false},
		{"nothing was written", 5, 5, 0, 8, func(*log) {}, 'L', vsr.Clean, false},
		{"a twin is lost", 45, 45, 19, 42, func(g *log) { copy(g.twin(42), newLog(g.t, 10).twin(10)) }, 'M', vsr.FixTwin, false},
		{"a large prepare is lost", 51, 51, 39, 50, func(g *log) { copy(g.slot(50), newLog(g.t, 18).slot(18)) }, 'N', vsr.Faulty, false},
		{"two prepares of one view", 45, 45, 19, 26, func(g *log) {
			was := bytes.Clone(g.slot(26))
			g.other(26, prepare.Fields{})
			copy(g.slot(26), was)
		}, 'O', vsr.Faulty, false},
		{"whole", 45, 45, 19, 26, func(*log) {}, 'P', vsr.Clean, false},
		{"a small prepare rots", 45, 45, 19, 26, func(g *log) { bad(g.slot(26)) }, 'Q', vsr.FixPrepare, false},
		{"a small head rots", 45, 45, 19, 45, func(g *log) { body(g.slot(45)) }, 'Q', vsr.FixPrepare, false},
		{"a write over a small prepare tears", 57, 57, 39, 58, func(g *log) { bad(g.slot(58)) }, 'Q', vsr.Torn, false},
		{"a small head tears", 45, 44, 19, 45, func(g *log) { body(g.slot(45)); body(g.twin(45)) }, 'R', vsr.Torn, false},
		{"both bodies rot below the head", 45, 45, 19, 26, func(g *log) { body(g.slot(26)); body(g.twin(26)) }, 'R', vsr.Torn, false},
		{"a small head's twin tears", 45, 45, 19, 45, func(g *log) { body(g.twin(45)) }, 'S', vsr.FixTwin, false},
		{"prepares of two views", 45, 45, 19, 26, func(g *log) {
			was := bytes.Clone(g.slot(26))
			g.other(26, prepare.Fields{View: 1})
			copy(g.slot(26), was)
		}, 'T', vsr.Faulty, false},
	} {
		g := newLog(t, c.head)
		right := bytes.Clone(g.bytes)
		c.damage(g)
		damaged := bytes.Clone(g.bytes)
		s := g.superblock(c.checkpoint)
		if c.row == 'T' {
			s.View, s.LogView = 1, 1
			g.list(s, 45)
		}
		r, err := g.recoverSeveral(s)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		slot := c.op % 32
		if d := r.Decisions[slot]; d.Row != c.row || d.Verdict != c.verdict || r.OpHead != c.last {
			t.Errorf("%s: row %c, %v, head %d; want row %c, %v, head %d", c.name, d.Row, d.Verdict, r.OpHead, c.row, c.verdict, c.last)
		}
		if isFaulty := c.verdict == vsr.Faulty || c.verdict == vsr.Cut; r.Faulty.Has(slot) != isFaulty || r.Dirty != (vsr.Set{}) ||
			r.Uncertain.Has(c.op) != c.uncertain || r.Uncertain.Empty() == c.uncertain {
			t.Errorf("%s: faulty %v, dirty %v, uncertain %v", c.name, r.Faulty, r.Dirty, r.Uncertain)
		}
		// What is mended has the right bytes again; nothing else has changed.
		want, fixes := damaged, 0
		switch c.verdict {
		case vsr.FixTwin, vsr.FixPrepare:
			want, fixes = right, 1
		}
		if !bytes.Equal(g.bytes, want) || r.TwinsFixed+r.PreparesFixed != fixes {
			t.Errorf("%s: %d twins and %d prepares are mended, want %d copies with the right bytes", c.name, r.TwinsFixed, r.PreparesFixed, fixes)
		}
		// The table has the header of each op that is here, and of no other one.
		header := headerAt(r.Headers, slot)
		switch isHere := r.Decisions[slot].Held != vsr.HeldNone; {
		case isHere && (header.Op() != c.op || header.Checksum() != g.checksum(c.op)):
			t.Errorf("%s: the table has op %d", c.name, header.Op())
		case !isHere && header.Command() != prepare.CommandReserved:
			t.Errorf("%s: the table has op %d of a slot that holds nothing that counts", c.name, header.Op())
		}
	}
}

// Goal: what contradicts the durable headers is dropped before anything is concluded from the log,
// and what the list names is known although it is not in the log.
func TestDurableHeaders(t *testing.T) {
	for _, c := range []struct {
		name          string
		build         func(g *log, s *datafile.Superblock)
		head          uint64
		dirty, faulty []uint64
		uncertain     []uint64
		commitMax     uint64
	}{
		{"a log without a list", func(*log, *datafile.Superblock) {}, 45, nil, nil, nil, 19},
		{"the list's head is missing", func(g *log, s *datafile.Superblock) {
			g.build(46, 0)
			g.list(s, 46, 45)
		}, 46, []uint64{46}, nil, nil, 19},
		{"the list's head is damaged", func(g *log, s *datafile.Superblock) {
			g.list(s, 45, 44)
			g.slot(45)[3] ^= 1
			g.twin(45)[3] ^= 1
		}, 45, []uint64{45}, []uint64{45}, nil, 19},
		{"a view change has truncated ops", func(g *log, s *datafile.Superblock) {
			s.View, s.LogView = 1, 1
			g.list(s, 42, 41)
		}, 42, nil, nil, nil, 19},
		{"a torn write behind ops that were truncated", func(g *log, s *datafile.Superblock) {
			s.View, s.LogView = 1, 1
			g.list(s, 42, 41)
			g.slot(43)[600] ^= 1
			g.twin(43)[600] ^= 1
		}, 42, nil, nil, nil, 19},
		{"a start_view that did not become durable", func(g *log, _ *datafile.Superblock) {
			g.other(46, prepare.Fields{View: 1})
			g.other(44, prepare.Fields{View: 1})
		}, 45, nil, nil, nil, 19},
		{"another prepare of an op of the list", func(g *log, s *datafile.Superblock) {
			g.list(s, 45, 44)
			g.other(44, prepare.Fields{})
		}, 45, []uint64{44}, nil, nil, 19},
		{"a vote was cast: ops above its head do not count", func(g *log, s *datafile.Superblock) {
			s.View = 2
			g.list(s, 43, 42)
		}, 43, nil, nil, nil, 19},
		{"a vote was cast: uncertain ops are read back", func(g *log, s *datafile.Superblock) {
			s.View = 2
			g.list(s, 43, 42)
			uncertain := vsr.Set{}
			uncertain.Add(45)
			uncertain.Put(&s.Uncertain)
		}, 43, nil, nil, []uint64{45}, 19},
		{"a vote was cast: damage since does not make ops uncertain", func(g *log, s *datafile.Superblock) {
			s.View = 2
			g.list(s, 43, 42)
			g.slot(44)[3] ^= 1
			g.twin(44)[3] ^= 1
		}, 43, nil, []uint64{44}, nil, 19},
		{"damage below the head and above it", func(g *log, s *datafile.Superblock) {
			g.slot(30)[3] ^= 1
			g.slot(46)[3] ^= 1
			g.twin(46)[3] ^= 1
		}, 45, nil, []uint64{30, 46}, []uint64{46}, 19},
		{"a prepare knows of later commits", func(g *log, _ *datafile.Superblock) {
			g.other(45, prepare.Fields{Parent: g.checksum(44), Commit: 44})
		}, 45, nil, nil, nil, 44},
		{"a start_view that did not become durable knows of later commits", func(g *log, _ *datafile.Superblock) {
			g.other(46, prepare.Fields{View: 1, Commit: 45})
		}, 45, nil, nil, nil, 19},
		{"what is committed is not torn", func(g *log, s *datafile.Superblock) {
			s.CommitMax = 44
			for _, op := range []uint64{44, 45} {
				g.slot(op)[600] ^= 1
				g.twin(op)[600] ^= 1
			}
		}, 43, nil, []uint64{44}, []uint64{44}, 44},
		{"the list has a blank", func(g *log, s *datafile.Superblock) {
			s.View = 2
			g.list(s, 45)
			prepare.Put(s.Headers[1][:], &prepare.Fields{Cluster: cluster, Op: 44, SizeBytes: 256, Command: prepare.CommandReserved},
				prepare.Sum(nil))
			s.HeadersCount = 2
			g.list(s, 43)
		}, 45, nil, nil, nil, 19},
	} {
		g := newLog(t, 45)
		s := g.superblock(19)
		c.build(g, s)
		r, err := g.recoverSeveral(s)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		set := func(ops []uint64, modulo uint64) (s vsr.Set) {
			for _, op := range ops {
				s.Add(op % modulo)
			}
			return s
		}
		if r.OpHead != c.head || r.CommitMax != c.commitMax || r.Dirty != set(c.dirty, 32) || r.Faulty != set(c.faulty, 32) ||
			r.Uncertain != set(c.uncertain, vsr.SlotsMax) {
			t.Errorf("%s: head %d, commit %d, dirty %x, faulty %x, uncertain %x; want %+v", c.name, r.OpHead, r.CommitMax, r.Dirty[0],
				r.Faulty[0], r.Uncertain[0], c)
		}
		for op := uint64(20); op <= 51; op++ {
			header := headerAt(r.Headers, op%32)
			isKnown := header.Command() == prepare.CommandPrepare && header.Op() == op
			if isKnown && op > c.head {
				t.Errorf("%s: the table has op %d, which is above the head", c.name, op)
			}
			if !isKnown && op <= c.head && !r.Faulty.Has(op%32) && op != 44 {
				t.Errorf("%s: the table lacks op %d", c.name, op)
			}
		}
		// A start without a crash in between finds the same.
		again, err := g.recoverSeveral(s)
		if err != nil || again.Several != r.Several || again.OpHead != r.OpHead || again.TwinsFixed+again.PreparesFixed != 0 {
			t.Errorf("%s: the second start finds %+v, %v", c.name, again, err)
		}
	}
}

// tearing is a file that loses power during a write: any of its sectors are on the disk, and
// nothing is written after it.
type tearing struct {
	*log
	random     *rand.Rand
	writesLeft int
}

var errPower = errors.New("the power fails")

func (f *tearing) WriteAt(buffer []byte, offset uint64) error {
	if f.writesLeft > 0 {
		f.writesLeft--
		return f.log.WriteAt(buffer, offset)
	}
	for at := 0; at < len(buffer); at += 512 {
		if f.random.IntN(2) == 0 {
			copy(f.bytes[offset+uint64(at):], buffer[at:at+512])
		}
	}
	return errPower
}

// Goal: crashes while recovery mends a log lose nothing that was acknowledged. Of each op one copy
// at most is damaged (the twin of a large one), and the write of the op behind the head is torn.
// Then the power fails in the middle of recoveries, once, twice or three times in a row. At last
// each op is here, whole in both copies, no slot is faulty and the head is certain.
func TestCrashesOfRecovery(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	older, crashes, rows := newLog(t, 15), 0, map[byte]int{}
	for trial := range 400 {
		head := uint64(41 + trial%4)
		g := newLog(t, head)
		for op := uint64(20); op <= head; op++ {
			place, was := g.twin(op), older.twin(op)
			if len(g.prepares[op]) <= 1024 && random.IntN(2) == 0 {
				place, was = g.slot(op), older.slot(op)
			}
			switch random.IntN(5) {
			case 0:
				place[random.IntN(256)] ^= 1
			case 1:
				place[256+random.IntN(768)] ^= 1
			case 2:
				copy(place, was[:1024]) // lost
			case 3:
				clear(place[:512])
			}
		}
		next, _ := g.build(head+1, 0)
		land := func() {
			for _, to := range [][]byte{g.slot(head + 1), g.twin(head + 1)} {
				for at := 0; at < 1024; at += 512 {
					if random.IntN(2) == 0 {
						copy(to[at:at+512], next[at:at+512])
					}
				}
			}
		}
		land()
		s := g.superblock(19)
		s.CommitMax = head
		for range 1 + trial%3 {
			file := &tearing{g, random, random.IntN(6)}
			if _, err := Recover(file, &g.l, s, make([]byte, 32*256), make([]byte, 4096)); errors.Is(err, errPower) {
				crashes++
			} else if err != nil {
				t.Fatalf("trial %d: %v", trial, err)
			}
		}
		r, err := g.recoverSeveral(s)
		if err != nil {
			t.Fatalf("trial %d: %v", trial, err)
		}
		if r.OpHead < head || !r.Uncertain.Empty() || r.Faulty != (vsr.Set{}) || r.Dirty != (vsr.Set{}) {
			t.Fatalf("trial %d: head %d, want %d; faulty %x, dirty %x, uncertain %x", trial, r.OpHead, head, r.Faulty[0], r.Dirty[0],
				r.Uncertain[0])
		}
		for op := uint64(20); op <= head; op++ {
			rows[r.Decisions[op%32].Row]++
			size, twinBytes := len(g.prepares[op]), 256 // of a large prepare; nothing reads what follows its header
			if size <= 1024 {
				twinBytes = size
			}
			if !bytes.Equal(g.slot(op)[:size], g.prepares[op]) || !bytes.Equal(g.twin(op)[:twinBytes], g.prepares[op][:twinBytes]) {
				t.Fatalf("trial %d: op %d is not what it was", trial, op)
			}
		}
	}
	if crashes < 300 || rows['P'] == 0 {
		t.Errorf("%d crashes, rows %v", crashes, rows)
	}
}
