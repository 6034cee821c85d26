package bench

import (
	"math"
	"math/rand/v2"
	"testing"

	"ledger/accounting"
	"ledger/client"
	"ledger/internal/seeded"
	"ledger/wire"
)

// Goal: draws follow the law, for few items, where the probabilities can be summed up exactly.
func TestZipfFollowsItsLaw(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) // fixed: a statistical test with a free seed fails now and then
	for _, count := range []uint64{2, 3, 10, 1000} {
		const draws = 200_000
		z, seen, sum := newZipf(count), make([]float64, count), 0.0
		for range draws {
			seen[z.next(random)]++
		}
		for k := range count {
			sum += math.Pow(float64(1+k), -zipfExponent)
		}
		for k := range min(count, 10) {
			want := draws * math.Pow(float64(1+k), -zipfExponent) / sum
			if deviation := math.Abs(seen[k] - want); deviation > 5*math.Sqrt(want) {
				t.Errorf("%d of %d drawn %.0f times, want %.0f", k, count, seen[k], want)
			}
		}
	}
}

// Goal: no draw leaves its range, whatever the count.
func TestChoosersStayInRange(t *testing.T) {
	random := seeded.Rand(t)
	for _, distribution := range []Distribution{DistributionUniform, DistributionZipfian, DistributionLatest} {
		for _, count := range []uint64{1, 2, 3, 7, 8189, 10_000, 1 << 20, 1 << 40, 1 << 62} {
			c := newChooser(distribution, count)
			for range 2000 {
				if index := c.next(random); index >= count {
					t.Fatalf("%s: index %d of %d", distribution, index, count)
				}
			}
		}
	}
}

// Goal: the frequent items are where the distribution says: the last ones, or spread out.
func TestChoosersPlaces(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	const count, draws = 10_000, 20_000
	last, spread := 0, map[uint64]int{}
	latest, zipfian := newChooser(DistributionLatest, count), newChooser(DistributionZipfian, count)
	for range draws {
		if latest.next(random) >= count*9/10 {
			last++
		}
		spread[zipfian.next(random)*10/count]++
	}
	if last < draws/2 {
		t.Errorf("latest: %d of %d in the last tenth", last, draws)
	}
	for tenth, drawn := range spread {
		if drawn > draws/2 {
			t.Errorf("zipfian: %d of %d in tenth %d: not spread", drawn, draws, tenth)
		}
	}
}

// Goal: a batch is a function of seed and index: another client that builds it in another order
// builds the same.
func TestBatchesRepeat(t *testing.T) {
	random := seeded.Rand(t)
	for _, order := range []IDOrder{IDOrderSequential, IDOrderRandom, IDOrderReversed} {
		o := DefaultOptions()
		o.IDOrder, o.Seed, o.TransferPending, o.AccountDistribution = order, random.Uint64(), true, DistributionZipfian
		p := newPlan(o)
		one, other := newBuilder(p), newBuilder(p)
		var first, second [100]client.Transfer
		var firstAccounts, secondAccounts [100]client.Account
		for range 50 {
			batch := random.Uint64N(1000)
			one.transfers(batch, batch*100, first[:])
			one.accounts(batch, batch*100, firstAccounts[:])
			other.accounts(batch, batch*100, secondAccounts[:])
			other.query(batch)
			other.transfers(batch, batch*100, second[:])
			if first != second || firstAccounts != secondAccounts {
				t.Fatalf("%s: batch %d differs", order, batch)
			}
		}
	}
}

// Goal: ids are valid and differ from each other, in every order.
func TestIDsDiffer(t *testing.T) {
	for _, order := range []IDOrder{IDOrderTBID, IDOrderSequential, IDOrderRandom, IDOrderReversed} {
		o := DefaultOptions()
		o.IDOrder = order
		p := newPlan(o)
		b := newBuilder(p)
		seen := map[wire.U128]bool{}
		transfers := make([]client.Transfer, 50_000)
		b.transfers(0, 0, transfers)
		for i := range transfers {
			id := transfers[i].ID
			if id.IsZero() || id.IsMax() || seen[id] {
				t.Fatalf("%s: id %v of transfer %d is invalid or known", order, id, i)
			}
			seen[id] = true
			switch previous := transfers[max(i, 1)-1].ID; {
			case i == 0 || order == IDOrderRandom:
			case order == IDOrderReversed != id.Less(previous):
				t.Fatalf("%s: id %v after %v", order, id, previous)
			}
		}
	}
}

// Goal: transfers are valid, and their shares are those asked for.
func TestTransfersAreAsAsked(t *testing.T) {
	o := DefaultOptions()
	o.AccountCount, o.AccountCountHot, o.TransferHotPercent, o.TransferPending = 100, 10, 40, true
	p := newPlan(o)
	b := newBuilder(p)
	hot := map[wire.U128]bool{}
	for i := range o.AccountCountHot {
		hot[p.accountID(i)] = true
	}
	const count = 20_000
	transfers := make([]client.Transfer, count)
	b.transfers(0, 0, transfers)
	debitsHot, creditsHot, pending := 0, 0, 0
	for _, x := range transfers {
		if x.DebitAccountID == x.CreditAccountID || x.Amount.IsZero() || x.Code == 0 || x.Ledger == 0 {
			t.Fatalf("%+v is not valid", x)
		}
		if hot[x.DebitAccountID] {
			debitsHot++
		}
		if hot[x.CreditAccountID] {
			creditsHot++
		}
		if x.Flags&accounting.TransferPending != 0 {
			pending++
		}
		if (x.Timeout != 0) != (x.Flags&accounting.TransferPending != 0) || x.Timeout > timeoutMaxS {
			t.Fatalf("flags %x with timeout %d", x.Flags, x.Timeout)
		}
	}
	near := func(got, percent int) bool { return math.Abs(float64(got)-count*float64(percent)/100) < count/50 }
	// A credit that met its debit moves on, round the end.
	if !near(debitsHot, 40) || !near(pending, pendingPercent) || creditsHot > count/100 {
		t.Errorf("of %d: %d debit hot accounts, %d credit them, %d are pending", count, debitsHot, creditsHot, pending)
	}
}

// Goal: building a batch allocates nothing; what it costs is in BenchmarkBuildTransfers.
func TestBuildAllocations(t *testing.T) {
	for _, distribution := range []Distribution{DistributionUniform, DistributionZipfian} {
		o := DefaultOptions()
		o.AccountDistribution = distribution
		b := newBuilder(newPlan(o))
		transfers := make([]client.Transfer, 100)
		if allocs := testing.AllocsPerRun(10, func() { b.transfers(1, 100, transfers) }); allocs != 0 {
			t.Errorf("%s: %.1f allocations per batch, want 0", distribution, allocs)
		}
	}
}

// BenchmarkBuildTransfers is the load generator's own cost.
func BenchmarkBuildTransfers(b *testing.B) {
	for _, distribution := range []Distribution{DistributionUniform, DistributionZipfian} {
		b.Run(string(distribution), func(b *testing.B) {
			o := DefaultOptions()
			o.AccountDistribution = distribution
			builder := newBuilder(newPlan(o))
			transfers := make([]client.Transfer, 8189)
			b.ReportAllocs()
			batch := uint64(0)
			for b.Loop() {
				builder.transfers(batch, batch*8189, transfers)
				batch++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/8189, "ns/transfer")
		})
	}
}
