package query

import (
	"testing"

	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/forest/foresttest"
)

// written is a state whose rows are mostly on disk.
func written(t *testing.T, s *state, bars int) {
	t.Helper()
	for len(s.accounts) < 10 {
		s.step()
	}
	for range bars {
		s.skewed(s.random.IntN(60))
		for range s.random.IntN(30) {
			s.step()
		}
		s.bar()
	}
	if s.query.rows.LogEnd() < 100 || s.query.rows.TransfersFlushed() < 100 {
		t.Fatal("hardly anything is on disk: the test would show little")
	}
}

// scans compares some scans of each kind.
func (s *state) scans(count int) {
	s.t.Helper()
	for range count {
		s.compareTransfers()
		s.compareAccounts()
		s.compareEvents()
	}
}

// Goal: scans give the same rows whatever fits the cache of pages. In the smallest one, pages that
// are read ahead, and those of several streams, push each other out all the time, and each scan
// ends all the same. In one that holds everything, no page is read twice.
func TestScansInAnyCache(t *testing.T) {
	random := seeded.Rand(t)
	bars, rounds := 50, 60
	if testing.Short() {
		bars, rounds = 25, 25
	}
	for _, pages := range []uint64{16, 32, 48, 256, 1 << 14} {
		l := foresttest.Limits()
		l.CacheGridBytes = pages * uint64(l.PageBytes)
		s := newStateWith(t, random, l)
		written(t, s, bars)
		s.scans(rounds)
		waits := s.Pages.Waits()
		if s.scans(rounds); pages == 16 && s.Pages.Waits() == waits {
			t.Errorf("with %d pages of cache nothing is read: the test shows little", pages)
		}
		if pages < 1<<14 {
			continue
		}
		for range 20 { // what was not scanned yet comes into the cache
			s.scans(rounds)
		}
		waits = s.Pages.Waits()
		if s.scans(rounds); s.Pages.Waits() > waits+uint64(rounds) {
			t.Errorf("%d pages are read again, although all of them fit the cache", s.Pages.Waits()-waits)
		}
	}
}

// Goal: while a block is damaged, a scan gives exactly the rows that match, or ends with a fault
// that names the block. It never leaves a row out, and never shows another one.
func TestScansOfADamagedBlock(t *testing.T) {
	random := seeded.Rand(t)
	foresttest.MeetsDamage(t, 4, func() (uint64, *storage.Fault) {
		l := foresttest.Limits()
		l.CacheGridBytes = 16 * uint64(l.PageBytes) // hardly a page is there still
		s := newStateWith(t, random, l)
		written(t, s, 20)
		return s.DamageAny(random), foresttest.Fault(func() { s.scans(25) })
	})
}
