package replica

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"ledger/accounting"
	"ledger/client"
	"ledger/internal/posix"
	"ledger/limits"
	"ledger/wire"
)

// releasesOf are limits of a program that offers these releases.
func releasesOf(l limits.Limits, from, to uint32) limits.Limits {
	l.ReleaseMin, l.ReleaseMax, l.Release = from, to, to
	return l
}

// trialStatus is what becomes of a new account whose code the rules of tests refuse.
func (c *wireClient) trialStatus(id uint64) accounting.AccountStatus {
	c.t.Helper()
	account := accounting.Account{ID: wire.U128{Lo: id}, Ledger: 1, Code: accounting.TrialCode}
	results := c.ask(wire.OperationCreateAccounts, bytesOf([]accounting.Account{account}))
	return client.View[client.CreateAccountResult](results)[0].Status
}

func checkOf(t *testing.T, path string, l limits.Limits) (*Check, error) {
	t.Helper()
	file, err := posix.OpenReadOnly(path, l.SectorBytes)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	return CheckOf(file, l)
}

// Goal: a single replica upgrades by a restart. What the older program has prepared is executed
// again by the older rules, and what comes by the newer ones, whichever program executes it later.
// Going back is refused before anything is written, and so is a program that no longer has the
// rules of the log. A check says all of that, and writes nothing.
func TestUpgradeOfASingleReplica(t *testing.T) {
	const old, next = limits.Release, limits.ReleaseTrial
	l := shapes()["development"]
	older, newer, newest := releasesOf(l, old, old), releasesOf(l, old, next), releasesOf(l, next, next)
	path := formatted(t, older)
	wantCheck := func(of limits.Limits, want Check) {
		t.Helper()
		before, _ := os.ReadFile(path)
		c, err := checkOf(t, path, of)
		after, _ := os.ReadFile(path)
		if !bytes.Equal(before, after) {
			t.Error("a check has changed the data file")
		}
		if c.Starts != want.Starts || c.Starts != (err == nil) || c.Running != want.Running || c.RulesMin != want.RulesMin ||
			c.RulesMax != want.RulesMax || c.Starts && c.ReplayedOps == 0 {
			t.Errorf("releases %d to %d: %+v (%v), want %+v", of.ReleaseMin, of.ReleaseMax, c, err, want)
		}
	}
	client := uint64(0)
	serve := func(of limits.Limits, do func(c *wireClient)) {
		t.Helper()
		r := started(t, path, of, IOPosix)
		client++ // a client registers once
		do(registered(t, r.address, client))
		r.close()
	}
	serve(older, func(c *wireClient) {
		if status := c.trialStatus(1); status != accounting.AccountStatusCreated {
			t.Fatalf("by the older rules: %v", status)
		}
	})
	wantCheck(older, Check{Starts: true, Running: old, RulesMin: limits.RulesFirst, RulesMax: limits.RulesFirst})
	wantCheck(newer, Check{Starts: true, Running: next, RulesMin: limits.RulesFirst, RulesMax: limits.RulesFirst})
	wantCheck(newest, Check{})
	for range 2 { // the second start executes both again
		serve(newer, func(c *wireClient) {
			if status := c.trialStatus(1); status != accounting.AccountStatusExists {
				t.Fatalf("the account of the older rules: %v", status)
			}
			if status := c.trialStatus(2); status != accounting.AccountStatusCodeMustNotBeZero {
				t.Fatalf("by the newer rules: %v", status)
			}
		})
	}
	wantCheck(newer, Check{Starts: true, Running: next, RulesMin: limits.RulesFirst, RulesMax: limits.RulesTrial})
	wantCheck(older, Check{})
	wantCheck(newest, Check{})
	before, _ := os.ReadFile(path)
	for _, of := range []limits.Limits{older, newest} {
		_, err := opened(t, path, of, IOPosix)
		for _, want := range []string{"release", "this server", "use "} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("releases %d to %d: %v, want %q", of.ReleaseMin, of.ReleaseMax, err, want)
			}
		}
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("a start that was refused has changed the data file")
	}
}
