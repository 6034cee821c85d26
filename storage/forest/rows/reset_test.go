package rows

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/storage/forest/ids"
)

// Goal: rows that are reset, whatever they held and in the middle of whatever, live a second life
// like new ones: the same answers, and after each bar the same manifest.
func TestResetIsNew(t *testing.T) {
	random := seeded.Rand(t)
	for round := range 10 {
		used, fresh := newWorld(t, random), (*world)(nil)
		for range 10 {
			used.account()
		}
		bars := random.IntN(3) // what is left of a short life has ordinals that come again soon
		if round%2 == 0 {
			bars = random.IntN(30)
		}
		for range bars {
			for range random.IntN(25) {
				used.step()
			}
			if random.IntN(4) == 0 {
				used.kill()
			}
			used.bar(random.IntN(6) == 0)
		}
		switch random.IntN(4) { // in the middle
		case 0:
			used.rows.ChainOpen()
			used.step()
		case 1:
			used.rows.Lookahead(bytesOf([]accounting.Transfer{{ID: used.id()}, {ID: used.id()}}))
		case 2:
			for range 10 {
				used.rows.WarmPending(used.id())
			}
		}
		again := &world{Ground: used.Ground, t: t, random: random, levels: used.levels, filter: used.filter, rows: used.rows,
			keeper: used.keeper, op: uint64(used.Limits.BarOps) - 1, clock: 100}
		loader := ids.NewLoader(used.Memory, &used.filter)
		used.levels.Reset(used.Grid, &loader)
		used.Grid.Reset(used.Ground)
		for used.filter.Reset(1 << 10) {
		}
		used.rows.expiry.Reset()
		used.keeper.Reset(1 << 10)
		used.Free.Reset()

		l := used.Limits
		for fresh == nil || fresh.Limits.RequestBytesMax != l.RequestBytesMax {
			fresh = newWorld(t, random)
		}
		fresh.clock = 100
		seed := random.Uint64()
		for _, w := range []*world{again, fresh} {
			w.random = rand.New(rand.NewPCG(seed, 7))
			for range 10 {
				w.account()
			}
			for range 5 {
				w.transfer()
			}
		}
		for bar := range 40 {
			for _, w := range []*world{again, fresh} {
				for range w.random.IntN(25) {
					w.step()
				}
				if w.random.IntN(4) == 0 {
					w.kill()
				}
				w.bar(bar%9 == 8)
			}
			if bar < 6 { // soon all of the first life would be forgotten anyway
				own := again.random
				again.random = random
				again.answers(true)
				again.random = own
			}
			if bar%9 == 8 {
				again.install()
				fresh.install()
				if a, b := again.manifest(), fresh.manifest(); !bytes.Equal(a, b) {
					t.Fatalf("bar %d: the manifest of rows that were reset differs", bar)
				}
				again.plan(false)
				fresh.plan(false)
			}
		}
		again.answers(true)
		for _, row := range used.transfers {
			if _, state := again.rows.TransferFind(row.Transfer.ID); state != accounting.TransferAbsent {
				t.Fatalf("transfer %v of the life before is found", row.Transfer.ID)
			}
		}
	}
}
