package sim

import (
	"slices"
	"strings"
	"testing"
)

// crashy are options of runs that fail when a machine goes down for the third time.
func crashy(seed uint64, several bool) Options {
	return Options{Seed: seed, Several: several, ShortLives: true, onCrash: func(m *Machine) {
		if m.result.CrashesCount >= 2 && m.cluster.judge.committedOp() > 9 {
			m.fail("machine %d goes down at op %d", m.index, m.cluster.judge.committedOp())
		}
	}}
}

// Goal: a failing seed becomes a smaller run that fails for the same reason, the same one each
// time. What String says about it is what runs it again.
func TestShrink(t *testing.T) {
	for _, several := range []bool{true, false} {
		for seed := uint64(3); ; seed++ {
			options := crashy(seed, several)
			_, failure := run(options)
			if failure == nil {
				continue
			}
			least, runs := Shrink(failure, 10)
			if again, _ := Shrink(failure, 10); !slices.Equal(least.Trace, again.Trace) || least.Size != again.Size {
				t.Errorf("seed %d: twice shrunk, sizes %+v and %+v", seed, least.Size, again.Size)
			}
			if kindOf(least.Reason) != kindOf(failure.Reason) || least.Size.Steps >= failure.Size.Steps || len(least.Trace) == 0 {
				t.Errorf("seed %d: of %+v comes %+v in %d runs, %d lines: %s", seed, failure.Size, least.Size, runs, len(least.Trace),
					least.Reason)
			}
			t.Logf("seed %d: %+v, shrunk to %+v in %d runs: %s", seed, failure.Size, least.Size, runs, least.Options.Cuts)
			var err error
			if options.Cuts, err = ParseCuts(least.Options.Cuts.String()); err != nil {
				t.Fatal(err)
			}
			if _, repeated := run(options); repeated == nil || repeated.Reason != least.Reason || repeated.Size != least.Size {
				t.Errorf("seed %d with %s: %v, want %s", seed, options.Cuts, repeated, least.Reason)
			}
			break
		}
	}
}

// Goal: cuts are read as they are written, and what is wrong in them is named.
func TestCuts(t *testing.T) {
	for _, c := range []*Cuts{
		{Ops: 3}, {Ops: 40, Strikes: 2, Clients: 1, Without: 1<<len(cutNames) - 1}, {Without: withoutLoss | withoutSpoiled},
	} {
		if got, err := ParseCuts(c.String()); err != nil || *got != *c {
			t.Errorf("%s: %v, %v", c, got, err)
		}
	}
	for text, want := range map[string]string{
		"": "none of", "ops=1,strikes=2": "want ops=N", "ops=1,ops=1,strikes=1,clients=1": "none of",
		"ops=-1,strikes=0,clients=0": "none of", "ops=1,strikes=0,clients=0,without=rain": "names: crash, ", "ops": "none of",
	} {
		if _, err := ParseCuts(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", text, err, want)
		}
	}
}

// Goal: cuts leave out what they name, and nothing is left out without them.
func TestCutRuns(t *testing.T) {
	whole, failure := run(Options{Seed: 5, Several: true, ShortLives: true})
	cuts := &Cuts{Ops: 20, Strikes: 3, Clients: 1, Without: 1<<len(cutNames) - 1}
	cut, other := run(Options{Seed: 5, Several: true, ShortLives: true, Cuts: cuts})
	if failure != nil || other != nil {
		t.Fatal(failure, other)
	}
	if strikes := sumOf(cut.Marks.Strikes[:]); strikes > 0 || cut.DamagesCount > 0 || cut.Steps >= whole.Steps {
		t.Errorf("of %d steps come %d, with %d strikes and damage in %d places", whole.Steps, cut.Steps, strikes, cut.DamagesCount)
	}
}

func sumOf(list []int) (sum int) {
	for _, n := range list {
		sum += n
	}
	return sum
}
