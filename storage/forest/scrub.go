package forest

import (
	"ledger/storage"
	"ledger/storage/forest/levels"
	"ledger/storage/freeset"
)

// scrub finds the blocks that the scrubber reads. It knows the tables at a window of addresses. The
// free set watches these addresses: as long as one is watched, the table that was found there is
// the block that is there.
//
// The manifest is not ordered by address, so it is read once for each window, some tables at a time
// while ops are executed. A table that moves to another run meanwhile may be missed; then the
// manifest is read again.
type scrub struct {
	isOn    bool   // there is a window
	from    uint64 // no table that has to be read lies above it and below the window
	reading bool   // the manifest is being read
	rounds  int    // of reading, for this window
	log     int    // next block of rows
	trees   levels.Listing
	partial [1]storage.Table
	known   [freeset.WatchMax]scrubbed
}

// scrubbed is the table at an address of the window; zero: not found yet.
type scrubbed struct {
	ref       storage.Ref
	tree      storage.TreeID
	pagesUsed uint16
}

const (
	scrubTablesMax = 512 // read in a step, in some 5 µs
	scrubPartCost  = 8   // of a part, in tables
	scrubRoundsMax = 4   // of reading the manifest for a window; the next pass has what they have missed
)

// ScrubTrailer returns the root of the next trailer of the newest checkpoint, from kind on. It may
// be called when that checkpoint is written.
func (f *Forest) ScrubTrailer(kind storage.TrailerKind) (b storage.ScrubBlock, ok bool) {
	c := &f.checkpoint
	for ; kind < storage.TrailersCount; kind++ {
		if root := c.job.Roots[kind]; !root.IsZero() {
			return storage.ScrubBlock{Ref: root, IsTrailer: true, Trailer: kind, ContentBytes: c.state.TrailerBytes[kind],
				CheckpointOp: c.state.Op}, true
		}
	}
	return b, false
}

// ScrubTable returns the first table above an address, of those that a checkpoint names.
// storage.ScrubLater: the manifest has to be read first, by ScrubStep.
func (f *Forest) ScrubTable(after uint64) (b storage.ScrubBlock, answer storage.ScrubAnswer) {
	s := &f.scrub
	for from := after; ; {
		if !s.isOn || from < s.from {
			if !f.scrubWindow(from, after) {
				return b, storage.ScrubEnd
			}
		}
		if s.reading {
			return b, storage.ScrubLater
		}
		address, ok := f.freeSet.WatchedAbove(after)
		if !ok {
			after = max(after, f.freeSet.WatchedFirst()+freeset.WatchMax-1)
			s.isOn = false // the next window, though from stays
			continue
		}
		known := &s.known[address-f.freeSet.WatchedFirst()]
		if known.ref.IsZero() {
			if s.rounds < scrubRoundsMax {
				s.read()
				continue
			}
			f.freeSet.Unwatch(address)
			continue
		}
		return storage.ScrubBlock{Ref: known.ref, Tree: known.tree, PagesUsed: known.pagesUsed}, storage.ScrubFound
	}
}

// scrubWindow begins to read the manifest for the addresses above after. It returns false if there
// are none.
func (f *Forest) scrubWindow(from, after uint64) bool {
	s := &f.scrub
	*s = scrub{from: from}
	if !f.freeSet.Watch(after) {
		return false
	}
	for _, address := range f.checkpoint.trailers[:f.checkpoint.trailersCount] {
		f.freeSet.Unwatch(address)
	}
	s.isOn = true
	s.read()
	return true
}

func (s *scrub) read() {
	s.reading, s.log, s.trees = true, 0, levels.Listing{}
	s.rounds++
}

// ScrubStep reads the manifest for a bounded time.
func (f *Forest) ScrubStep() {
	s := &f.scrub
	for budget := scrubTablesMax; s.reading && budget > 0; {
		part := f.scrubPart(budget)
		budget -= len(part) + scrubPartCost
		f.scrubNote(part)
	}
}

// scrubPart returns the next tables of the manifest, and ends the reading behind the last ones.
func (f *Forest) scrubPart(tablesMax int) []storage.Table {
	s := &f.scrub
	if blocks := f.keeper.Blocks(); s.log < len(blocks) {
		part := blocks[s.log:min(len(blocks), s.log+tablesMax)]
		s.log += len(part)
		return part
	}
	if part := f.levels.Next(&s.trees, tablesMax); len(part) > 0 {
		return part
	}
	if s.partial[0] = f.keeper.Partial(); !s.partial[0].IsZero() {
		f.scrubNote(s.partial[:])
	}
	s.reading = false
	return nil
}

func (f *Forest) scrubNote(tables []storage.Table) {
	for i := range tables {
		if t := &tables[i]; f.freeSet.IsWatched(t.Address) {
			f.scrub.known[t.Address-f.freeSet.WatchedFirst()] = scrubbed{t.Ref, t.Tree, t.PagesUsed}
		}
	}
}

// ScrubIsLive tells whether a block that ScrubTrailer or ScrubTable has returned last is still in
// use, and was all the time since.
func (f *Forest) ScrubIsLive(b *storage.ScrubBlock) bool {
	if b.IsTrailer {
		return b.CheckpointOp == f.checkpoint.state.Op && b.CheckpointOp > 0
	}
	return f.scrub.isOn && f.freeSet.IsWatched(b.Address) && f.scrub.known[b.Address-f.freeSet.WatchedFirst()].ref == b.Ref
}

// BlocksInUse is the number of blocks that are written or reserved, and not released.
func (f *Forest) BlocksInUse() uint64 { return f.freeSet.AcquiredCount() - f.freeSet.WaitingCount() }
