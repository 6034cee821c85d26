package workload

import (
	"reflect"
	"testing"
	"time"

	"ledger/interop/conformance/internal/corpus"
	"ledger/interop/conformance/internal/fakeserver"
	"ledger/interop/conformance/internal/proto"
	"ledger/interop/conformance/internal/runner"
)

func generate(t *testing.T, profile string, seed uint64, requests int) []*corpus.Step {
	t.Helper()
	g, err := New(profile, seed, requests)
	if err != nil {
		t.Fatal(err)
	}
	r := runner.New(fakeserver.New(1_000_000_000, 1000))
	r.Sleep = func(time.Duration) {}
	var steps []*corpus.Step
	for step := g.Next(); step != nil; step = g.Next() {
		if err := r.Record(step); err != nil {
			t.Fatalf("%s: %v", profile, err)
		}
		g.Observe(step)
		steps = append(steps, step)
	}
	return steps
}

// sequential are the profiles that a toy server can serve quickly and in a fixed order.
func sequential() (names []string) {
	for _, profile := range Profiles() {
		if profile.Name != "big" && profile.Name != "concurrent" {
			names = append(names, profile.Name)
		}
	}
	return names
}

func TestSameSeedSameRequests(t *testing.T) {
	for _, name := range sequential() {
		first, second := generate(t, name, 3, 150), generate(t, name, 3, 150)
		if !reflect.DeepEqual(first, second) {
			t.Errorf("%s: the same seed gives different workloads", name)
		}
		if reflect.DeepEqual(first, generate(t, name, 4, 150)) {
			t.Errorf("%s: another seed gives the same workload", name)
		}
	}
}

func TestRequestNumbers(t *testing.T) {
	for _, name := range append(sequential(), "concurrent") {
		requests := 0
		for _, step := range generate(t, name, 1, 120) {
			step.Exchanges(func(exchange *corpus.Exchange) {
				requests++
				if exchange.Request.Number != requests {
					t.Fatalf("%s: request %d has number %d", name, requests, exchange.Request.Number)
				}
			})
		}
		if requests < 120 {
			t.Errorf("%s: only %d requests", name, requests)
		}
	}
}

// TestLanesAreApart checks that no two lanes of a parallel step touch the same ids.
func TestLanesAreApart(t *testing.T) {
	for _, step := range generate(t, "concurrent", 5, 2000) {
		owner := map[proto.U128]int{}
		for i, lane := range step.Lanes {
			for _, exchange := range lane {
				for _, a := range exchange.Request.Accounts {
					claim(t, owner, a.ID, i)
				}
				for _, x := range exchange.Request.Transfers {
					claim(t, owner, x.ID, i)
				}
				if f := exchange.Request.QueryFilter; f != nil && f.Ledger != firstLedger+uint32(i) {
					t.Errorf("lane %d asks for ledger %d", i, f.Ledger)
				}
			}
		}
	}
}

func claim(t *testing.T, owner map[proto.U128]int, id proto.U128, lane int) {
	if id.IsZero() || id == proto.MaxU128 {
		return // Never stored.
	}
	if other, taken := owner[id]; taken && other != lane {
		t.Errorf("id %v is used by lanes %d and %d", id, other, lane)
	}
	owner[id] = lane
}

func TestTimeoutsAreLong(t *testing.T) {
	for _, name := range sequential() {
		if name == "expiry" {
			continue
		}
		for _, step := range generate(t, name, 2, 300) {
			step.Exchanges(func(exchange *corpus.Exchange) {
				for _, x := range exchange.Request.Transfers {
					if x.Timeout != 0 && x.Timeout < longTimeout {
						t.Errorf("%s: a transfer times out after %d s", name, x.Timeout)
					}
				}
			})
		}
	}
}

func TestUnknownProfile(t *testing.T) {
	if _, err := New("nothing", 1, 1); err == nil {
		t.Error("a profile that does not exist is accepted")
	}
}
