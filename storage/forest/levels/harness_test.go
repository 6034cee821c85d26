package levels

import (
	"math/rand/v2"
	"testing"

	"ledger/accounting"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/forest/foresttest"
	"ledger/storage/forest/keys"
)

// source is a sealed memtable with entries of some trees: ids and codes of transfers, statuses,
// expiries.
type source struct {
	first    uint64 // ordinal of the first transfer
	ids      []accounting.U128
	dead     []accounting.U128
	codes    []uint32
	statuses map[uint64]byte // by ordinal
	order    []uint64        // of statuses
	expiries []keys.Expiry
	removed  []bool // beside expiries
}

func (s *source) Columns(tree storage.TreeID, out *storage.Columns) bool {
	*out = storage.Columns{OrdinalFirst: s.first}
	switch tree {
	case storage.TreeTransferID:
		out.Wide, out.Dead = s.ids, s.dead
	case storage.TreeTransferCode:
		out.Narrow = s.codes
	default:
		return false
	}
	return true
}

func (s *source) Changes(*storage.Changes) { panic("no balances") }

func (s *source) EntriesCount(tree storage.TreeID) uint32 {
	switch tree {
	case storage.TreeTransferID:
		return uint32(len(s.ids) + len(s.dead))
	case storage.TreeTransferCode:
		return uint32(len(s.codes))
	case storage.TreePending:
		return uint32(len(s.order))
	case storage.TreeExpiry:
		return uint32(len(s.expiries))
	}
	return 0
}

func (s *source) Entry(tree storage.TreeID, index uint32) (key storage.Key, tombstone bool) {
	if tree == storage.TreePending {
		return keys.Number(s.order[index]), false
	}
	return keys.OfExpiry(s.expiries[index]), s.removed[index]
}

func (s *source) Value(tree storage.TreeID, index uint32, value []byte) {
	if tree == storage.TreePending {
		value[0] = s.statuses[s.order[index]]
	}
}

func (s *source) RowsFirst() accounting.TransferOrdinal { return 0 }
func (s *source) RowsCount() uint32                     { return 0 }
func (s *source) Row(uint32) *accounting.TransferRow    { panic("no rows") }
func (s *source) empty() bool                           { return len(s.ids)+len(s.dead)+len(s.order)+len(s.expiries) == 0 }
func (s *source) end() uint64                           { return s.first + uint64(len(s.ids)) }
func (s *source) setStatus(ordinal uint64, status byte) {
	if s.statuses == nil {
		s.statuses = map[uint64]byte{}
	}
	if _, ok := s.statuses[ordinal]; !ok {
		s.order = append(s.order, ordinal)
	}
	s.statuses[ordinal] = status
}

// model is what the trees must answer.
type model struct {
	ids      map[accounting.U128]uint64
	statuses map[uint64]byte
	live     map[keys.Expiry]bool // false: it was there once
	added    []keys.Expiry        // all of them
	codes    map[uint32][]uint64
}

// world is trees with their ground, and the model.
type world struct {
	*foresttest.Ground
	t      testing.TB
	random *rand.Rand
	trees  *Levels
	model  model
	op     uint64
	next   uint64 // ordinal
	merges int    // jobs
	moved  int    // bars whose plan has changed visible runs
}

func newWorld(t testing.TB, l limits.Limits, random *rand.Rand) *world {
	own := rand.New(rand.NewPCG(random.Uint64(), 0)) // what is drawn does not depend on reads
	g := foresttest.New(t, l, random)
	return &world{
		Ground: g, t: t, random: own, trees: New(&l, g.Memory, g.Pages, g.Free, 1), op: uint64(l.BarOps) - 1,
		model: model{map[accounting.U128]uint64{}, map[uint64]byte{}, map[keys.Expiry]bool{}, nil, map[uint32][]uint64{}},
	}
}

// rows draws what a memtable of so many transfers holds. counted ids ascend.
func (w *world) rows(count int, counted bool) *source {
	s := &source{first: w.next}
	for range count {
		id := accounting.U128{Lo: 2 * (w.next + 1)} // odd numbers are nobody's
		if !counted {
			id = accounting.U128{Lo: w.random.Uint64(), Hi: w.random.Uint64() >> w.random.UintN(64)}
		}
		code := uint32(1 + w.random.IntN(5))
		s.ids, s.codes = append(s.ids, id), append(s.codes, code)
		w.model.ids[id] = w.next
		w.model.codes[code] = append(w.model.codes[code], w.next)
		if w.random.IntN(3) == 0 {
			s.setStatus(w.next, 1)
			e := keys.Expiry{AtNs: uint64(w.random.IntN(1000)), Ordinal: accounting.TransferOrdinal(w.next)}
			s.expiries, s.removed = append(s.expiries, e), append(s.removed, false)
		}
		w.next++
	}
	if !counted && w.random.IntN(2) == 0 {
		id := accounting.U128{Lo: w.random.Uint64(), Hi: w.random.Uint64()}
		s.dead = append(s.dead, id)
		w.model.ids[id] = storage.TransferDeadMark
	}
	for _, e := range w.model.added { // removals of what earlier memtables added
		if w.model.live[e] && w.random.IntN(4) == 0 {
			s.expiries, s.removed = append(s.expiries, e), append(s.removed, true)
			s.setStatus(uint64(e.Ordinal), 2)
			w.model.live[e] = false
		}
	}
	for i, e := range s.expiries {
		if !s.removed[i] {
			w.model.live[e] = true
			w.model.added = append(w.model.added, e)
		}
	}
	for ordinal, status := range s.statuses {
		w.model.statuses[ordinal] = status
	}
	return s
}

// bar flushes a memtable, if it has anything, and plans, runs and installs one generation.
func (w *world) bar(s *source) *storage.Generation {
	rows := uint64(len(s.ids))
	w.trees.PlanBegin(w.op, rows)
	if !s.empty() {
		w.trees.PlanFlush(s)
	}
	begins, changes := w.trees.MergesBegin(), w.trees.Changes()
	w.trees.PlanMerges()
	if w.trees.Changes() != changes {
		if w.moved++; !begins {
			w.t.Fatal("a plan changes visible runs, and no merge begins")
		}
	}
	generation := w.trees.PlanEnd()
	w.Compact(generation)
	if generation != nil {
		for i := range generation.Jobs {
			if generation.Jobs[i].Kind == storage.JobMerge {
				w.merges++
			}
		}
	}
	w.trees.Collect(generation)
	if generation != nil {
		w.trees.Install(generation, &Flushed{Source: s, Rows: max(1, rows), TransfersFirst: s.first, TransfersEnd: s.end()})
	}
	w.op += uint64(w.Limits.BarOps)
	return generation
}

// check asserts the invariants of the trees and of the free set.
func (w *world) check() {
	w.t.Helper()
	named := map[uint64]string{}
	w.trees.Check(func(address uint64, owner string) {
		if other, ok := named[address]; ok || !w.Free.IsAcquired(address) {
			w.t.Fatalf("block %d of %s belongs to %q as well, acquired: %v", address, owner, other, w.Free.IsAcquired(address))
		}
		named[address] = owner
	})
	var c Counters
	if w.trees.Count(&c); c.Named != uint64(len(named)) {
		w.t.Fatalf("%d blocks are counted, %d are named", c.Named, len(named))
	}
	if got := uint64(len(named)) + w.Free.WaitingCount(); got != w.Free.AcquiredCount() {
		w.t.Fatalf("%d blocks are named, %d wait, and %d are acquired", len(named), w.Free.WaitingCount(), w.Free.AcquiredCount())
	}
}
