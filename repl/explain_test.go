package repl

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"ledger/accounting"
	"ledger/wire"
)

// statuses lists the names of all statuses and of all reasons of evictions.
func statuses() (names []string) {
	add := func(name string) {
		if !strings.Contains(name, "_status_") && name != "none" && name != "unknown" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for number := range uint32(256) {
		add(accounting.AccountStatus(number).String())
		add(accounting.TransferStatus(number).String())
		add(wire.EvictionReason(number).String())
	}
	add(accounting.TransferStatusCreated.String())
	return names
}

// Goal: every status, and every reason of an eviction, is explained once, and nothing else is.
func TestExplanationsAreComplete(t *testing.T) {
	want := statuses()
	if len(want) < 80 {
		t.Fatalf("only %d statuses", len(want))
	}
	var got []string
	for _, one := range explanations() {
		if slices.Contains(got, one.name) {
			t.Errorf("%s is explained twice", one.name)
		}
		got = append(got, one.name)
		if !strings.HasSuffix(one.means, ".") || !strings.HasSuffix(one.do, ".") {
			t.Errorf("%s: %q, %q: not sentences", one.name, one.means, one.do)
		}
	}
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("%s is not explained", name)
		}
	}
	for _, name := range got {
		if !slices.Contains(want, name) {
			t.Errorf("%s is explained, and there is no such status", name)
		}
	}
}

// Goal: exactly the statuses that use up an id say so (specification, "Accounting", 6.2).
func TestExplanationsOfDeadIDs(t *testing.T) {
	want := []string{"credit_account_already_closed", "credit_account_not_found", "debit_account_already_closed", "debit_account_not_found",
		"exceeds_credits", "exceeds_debits", "pending_transfer_not_found"}
	var got []string
	for _, one := range explanations() {
		if one.usesUpID {
			got = append(got, one.name)
		}
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("%q use up the id, want %q", got, want)
	}
}

// Goal: explain tells the meaning and the remedy, finds a name that is nearly right, and lists all.
func TestExplain(t *testing.T) {
	var out bytes.Buffer
	if err := explain(&out, "exceeds_credits"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"means: The debit account has debits_must_not_exceed_credits", "do:    Credit the account first",
		"id_already_failed"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
	for line := range strings.Lines(out.String()) {
		if len(line) > textWidth+1 {
			t.Errorf("a line of %d columns: %s", len(line), line)
		}
	}
	if err := explain(&out, "exceed_credits"); err == nil || !strings.Contains(err.Error(), "did you mean exceeds_credits?") {
		t.Error(err)
	}
	if err := explain(&out, "nonsense"); err == nil || strings.Contains(err.Error(), "did you mean") {
		t.Error(err)
	}
	out.Reset()
	if err := explain(&out, ""); err != nil || strings.Count(out.String(), "\n") != len(explanations()) {
		t.Errorf("%v:\n%s", err, out.String())
	}
}
