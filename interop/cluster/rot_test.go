package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// rotting is what the tests of one file at rest have in common.
type rotting struct {
	*testing.T
	g      *group
	p      *probe
	l      *load
	random *rand.Rand
}

// row prints a row of the table of faults. gap is the longest time for which nobody served.
func (r *rotting) row(name string, begun time.Time, format string, arguments ...any) {
	r.Helper()
	r.Logf("| %s | gap %.2f s | %s |", name, r.p.longest(begun, time.Now()).Seconds(), fmt.Sprintf(format, arguments...))
}

// says tells whether a line of any replica has these words.
func (r *rotting) says(words string) bool {
	return slices.ContainsFunc(r.g.lines(), func(line string) bool { return strings.Contains(line, words) })
}

// TestLogRots damages the log of a backup that is down, in one way after the other, under load. The
// others have to go on, and the backup has to get what it lacks from them.
func TestLogRots(t *testing.T) {
	random, _ := seeded(t)
	g := newGroup(t, options{})
	r := &rotting{t, g, newProbe(t, g), newLoad(t, g, 4), random}
	for _, one := range []struct {
		row, line string
		size      int // of the batches before
		isLong    bool
		damage    func(backup int, w *wal) (taken uint64)
	}{
		{"one log entry rots: a full batch", "", batchFull, false, r.rotEntry},
		{"one log entry rots: a small one", "", 10, true, r.rotEntry},
		{"headers of the log rot: full batches", "repaired", batchFull, true, r.rotTwins},
		{"twins of small prepares rot", "repaired", 10, false, r.rotTwins},
		{"a write of the log went to another slot", "", 10, false, r.misdirectEntry},
	} {
		if one.isLong && *roundsFlag < 2 {
			continue
		}
		r.l.begin(one.size, 3*pauseBusy)
		r.l.awaitCalls(g, 12)
		backup := (r.p.primary(g) + 1) % replicas
		r.p.hurry(true)
		begun := time.Now()
		g.kill(backup)
		g.awaitUnlocked(backup)
		w := g.wal(backup)
		wanted := one.damage(backup, &w)
		g.start(backup)
		g.awaitCaughtUp(backup)
		taken, _ := g.metric(backup, `ledger_cluster_repaired_prepares{event="taken"}`)
		if taken < wanted {
			t.Errorf("%s: %d prepares came from others, want %d", one.row, taken, wanted)
		}
		r.l.awaitCalls(g, 4)
		r.p.hurry(false)
		r.l.end()
		if one.line != "" && !g.told(backup, one.line) {
			t.Errorf("%s: no line says %q", one.row, one.line)
		}
		r.row(one.row, begun, "caught up %.2f s after the damage, %d prepares from others", time.Since(begun).Seconds(), taken)
	}
	g.finish(r.l)
}

// middle is an op of a log between its checkpoint and its head, near the head.
func (r *rotting) middle(w *wal) uint64 {
	r.Helper()
	for op := w.Head - 2; op > w.CheckpointOp+4; op-- {
		if w.has(op) && w.Slots[op%logSlots].Prepare.Operation != "pulse" {
			return op
		}
	}
	r.Fatalf("the log has no whole op between %d and %d", w.CheckpointOp, w.Head)
	return 0
}

// rotEntry damages all that a replica has of an op.
func (r *rotting) rotEntry(i int, w *wal) (taken uint64) {
	s := &w.Slots[r.middle(w)%logSlots]
	r.g.overwrite(i, s.Prepare.Offset, garbage(r.random))
	r.g.overwrite(i, s.Twin.Offset, garbage(r.random))
	return 1
}

// rotTwins damages the twins of the last ops. Their prepares prove what they are.
func (r *rotting) rotTwins(i int, w *wal) (taken uint64) {
	for op := w.Head; op > w.CheckpointOp && op+8 > w.Head; op-- {
		r.g.overwrite(i, w.Slots[op%logSlots].Twin.Offset, garbage(r.random))
	}
	return 0
}

// misdirectEntry writes both copies of an op into the slot of an op behind it, and garbage where
// they should have gone.
func (r *rotting) misdirectEntry(i int, w *wal) (taken uint64) {
	op := r.middle(w)
	from, to := &w.Slots[(op-1)%logSlots], &w.Slots[op%logSlots]
	sector := make([]byte, sectorBytes)
	for _, at := range [][2]uint64{{from.Prepare.Offset, to.Prepare.Offset}, {from.Twin.Offset, to.Twin.Offset}} {
		r.g.onFile(i, func(file *os.File) error {
			_, err := file.ReadAt(sector, int64(at[0]))
			return err
		})
		r.g.overwrite(i, at[1], sector)
		r.g.overwrite(i, at[0], garbage(r.random))
	}
	return 2
}

// TestLogEntryLostEverywhere damages all copies of a committed op on all replicas, which are down.
// Nobody may be served, view after view, since nobody knows what the op was. When the disk of one
// replica is back as it was, all go on, and nothing is lost.
func TestLogEntryLostEverywhere(t *testing.T) {
	random, _ := seeded(t)
	g := newGroup(t, options{})
	p, l := newProbe(t, g), newLoad(t, g, 4)
	r := &rotting{t, g, p, l, random}
	l.begin(10, pauseBusy)
	l.awaitCalls(g, 8)
	g.crash()
	op, offsets := g.commonOp()
	superblock := make([]byte, 4*superblockSize)
	var entry [2][sectorBytes]byte
	g.onFile(0, func(file *os.File) (err error) {
		_, err = file.ReadAt(superblock, 0)
		for at, offset := range offsets {
			_, failed := file.ReadAt(entry[at][:], int64(offset))
			err = errors.Join(err, failed)
		}
		return err
	})
	for i := range replicas {
		for _, offset := range offsets {
			g.overwrite(i, offset, garbage(random))
		}
	}
	before, begun, calls := g.view(0), time.Now(), l.calls.Load()
	for i := range replicas {
		g.start(i)
	}
	g.await("some views have passed without a primary that serves", func() bool {
		g.alive()
		return g.newest().view >= before+replicas
	})
	if p.since(begun) || l.calls.Load() != calls {
		t.Fatalf("clients were answered, although op %d is lost on all replicas", op)
	}
	without := time.Since(begun)
	told := r.says("none has a prepare that may be committed")
	g.kill(0)
	g.awaitUnlocked(0)
	g.overwrite(0, 0, superblock)
	for at, offset := range offsets {
		g.overwrite(0, offset, entry[at][:])
	}
	back := time.Now()
	g.start(0)
	g.await("clients are served after a replica has the op again", func() bool {
		g.alive()
		return p.since(back)
	})
	served := time.Since(back)
	for i := range replicas {
		g.awaitCaughtUp(i)
	}
	l.end()
	g.finish(l)
	t.Logf("| the same log entry rots on all replicas | until a copy is back | nobody served for %.1f s (a line told that no replica has it: "+
		"%v); served %.2f s after one had op %d again |", without.Seconds(), told, served.Seconds(), op)
}

// commonOp is an op near the heads that is whole on all replicas, which are down, and above all
// checkpoints; and the places of its two copies.
func (g *group) commonOp() (op uint64, offsets [2]uint64) {
	g.t.Helper()
	var logs [replicas]wal
	lowest, highest := ^uint64(0), uint64(0)
	for i := range logs {
		logs[i] = g.wal(i)
		lowest, highest = min(lowest, logs[i].Head), max(highest, logs[i].CheckpointOp)
	}
	for op = lowest - 1; op > highest; op-- {
		if logs[0].has(op) && logs[1].has(op) && logs[2].has(op) {
			s := &logs[0].Slots[op%logSlots]
			return op, [2]uint64{s.Prepare.Offset, s.Twin.Offset}
		}
	}
	g.t.Fatalf("no op between %d and %d is whole on all replicas", highest, lowest)
	return 0, offsets
}

// superblock is what an inspection says of the copies of a superblock.
type superblock struct {
	Chosen int `json:"chosen"` // the copy that a start takes
	Copies []struct {
		Fields struct {
			Sequence uint64 `json:"sequence"`
			View     uint64 `json:"view"`
			LogView  uint64 `json:"log_view"`
		} `json:"fields"`
	} `json:"copies"`
}

// view that the superblock of replica i has.
func (g *group) view(i int) (view uint64) {
	g.t.Helper()
	return g.superblock(i).Copies[0].Fields.View
}

// sequences of the copies of replica i's superblock: they differ while one is being written.
func (g *group) sequences(i int) (all []uint64) {
	g.t.Helper()
	for _, one := range g.superblock(i).Copies {
		all = append(all, one.Fields.Sequence)
	}
	return all
}

func (g *group) superblock(i int) (said superblock) {
	g.t.Helper()
	if err := json.Unmarshal(g.inspect(i, "superblock", "--json"), &said); err != nil || len(said.Copies) == 0 {
		g.t.Fatalf("replica %d: inspect superblock --json: %v", i, err)
	}
	return said
}

// TestSuperblockRots damages copies of the superblock of a backup. Two of four are repaired. With
// three gone the start is refused with a reason, and the others go on.
func TestSuperblockRots(t *testing.T) {
	random, _ := seeded(t)
	g := newGroup(t, options{})
	r := &rotting{t, g, newProbe(t, g), newLoad(t, g, 4), random}
	r.l.begin(batchFull, 3*pauseBusy)
	r.l.awaitCalls(g, 8)
	backup := (r.p.primary(g) + 1) % replicas
	var before [4 * superblockSize]byte
	copies := random.Perm(4)
	damage := func(count int) {
		g.await("no superblock was under way", func() bool {
			g.kill(backup)
			g.awaitUnlocked(backup)
			sequences := g.sequences(backup)
			if slices.Max(sequences) == slices.Min(sequences) {
				return true
			}
			g.start(backup)
			g.awaitCaughtUp(backup)
			return false
		})
		g.onFile(backup, func(file *os.File) error {
			_, err := file.ReadAt(before[:], 0)
			return err
		})
		for _, copy := range copies[:count] {
			g.overwrite(backup, uint64(copy)*superblockSize, garbage(random))
		}
		g.start(backup)
	}
	r.p.hurry(true)
	begun := time.Now()
	damage(2)
	g.awaitCaughtUp(backup)
	if !g.told(backup, "of the superblock from") {
		t.Error("no line says that copies of the superblock were repaired")
	}
	r.row("2 of 4 copies of the superblock rot", begun, "caught up after %.2f s", time.Since(begun).Seconds())

	begun = time.Now()
	damage(3)
	status, err := g.processes[backup].Ended(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if status != statusDisk {
		t.Errorf("with 3 copies gone, the start ended with status %d, want %d", status, statusDisk)
	}
	told := g.files[backup].LogTail(1)
	_, told, _ = strings.Cut(told, "stopped: ")
	r.l.awaitCalls(g, 8, backup)
	r.row("3 of 4 copies of the superblock rot", begun, "status %d: %s", status, told)
	g.onFile(backup, func(file *os.File) error {
		_, err := file.WriteAt(before[:], 0)
		return err
	})
	g.start(backup)
	g.awaitCaughtUp(backup)
	r.l.end()
	r.p.hurry(false)
	g.finish(r.l)
}

// trailer blocks of the checkpoint of replica i, by the name of the trailer.
func (g *group) trailer(i int, name string) (addresses []uint64) {
	g.t.Helper()
	var checkpoint struct {
		Trailers []struct {
			Name      string   `json:"name"`
			Addresses []uint64 `json:"addresses"`
		} `json:"trailers"`
	}
	if err := json.Unmarshal(g.inspect(i, "checkpoint", "--json"), &checkpoint); err != nil {
		g.t.Fatalf("replica %d: inspect checkpoint --json: %v", i, err)
	}
	for _, one := range checkpoint.Trailers {
		if one.Name == name {
			return one.Addresses
		}
	}
	return nil
}

// TestCheckpointRots damages blocks that a checkpoint names. The replies of clients rot on two of
// three replicas: no session may be lost. A block is written to the address of another one, on one
// replica: both the victim and the block that is missing have to be whole again.
func TestCheckpointRots(t *testing.T) {
	isLong(t)
	random, _ := seeded(t)
	g := newGroup(t, options{args: []string{scrubbing}})
	r := &rotting{t, g, newProbe(t, g), newLoad(t, g, 4), random}
	g.fill(r.l)
	g.crash()
	grid := g.zone(0, "grid")
	victims := random.Perm(replicas)[:2]
	count := 0
	for _, i := range victims {
		for _, name := range []string{"replies", "sessions"} {
			for _, address := range g.trailer(i, name) {
				g.overwrite(i, grid.Offset+(address-1)*blockBytes+sectorBytes, garbage(random))
				count++
			}
		}
	}
	if count == 0 {
		t.Fatal("the checkpoint has no replies and no sessions")
	}
	for _, i := range victims {
		if len(g.wounds(i)) == 0 {
			t.Fatalf("replica %d: verify finds nothing wrong", i)
		}
	}
	begun := time.Now()
	served := g.startAll(r.p)
	r.l.begin(10, 0)
	r.l.awaitCalls(g, 20)
	r.l.end()
	for i := range replicas {
		g.heal(r.l, i)
	}
	t.Logf("| replies and sessions rot on two replicas | %.2f s from the start | %d blocks; all clients go on, whole after %.2f s |",
		served.Seconds(), count, time.Since(begun).Seconds())

	backup := (r.p.primary(g) + 1) % replicas
	tables := g.tables(backup)
	slices.SortFunc(tables, func(a, b table) int { return int(b.Pages) - int(a.Pages) })
	missing, victim := tables[0], tables[1]
	r.l.begin(batchFull, 3*pauseBusy)
	r.p.hurry(true)
	begun = time.Now()
	g.kill(backup)
	g.awaitUnlocked(backup)
	block := make([]byte, blockBytes)
	g.onFile(backup, func(file *os.File) error {
		_, err := file.ReadAt(block, int64(missing.Offset))
		return err
	})
	g.overwrite(backup, victim.Offset, block)
	g.overwrite(backup, missing.Offset, make([]byte, blockBytes))
	wounds := len(g.wounds(backup))
	g.start(backup)
	g.awaitCaughtUp(backup)
	r.l.awaitCalls(g, 4)
	r.p.hurry(false)
	r.l.end()
	g.heal(r.l, backup)
	_, _, repaired := g.healing(backup)
	if wounds < 2 || repaired < 2 {
		t.Errorf("verify found %d damaged pages, %d blocks were repaired, want 2 or more of both", wounds, repaired)
	}
	r.row("a write of a block went to another address", begun, "%d damaged pages, %d blocks repaired, whole after %.2f s", wounds, repaired,
		time.Since(begun).Seconds())
	g.finish(r.l)
}
