package repl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"ledger/accounting"
	"ledger/client"
)

// results are rows of every kind. The second account has no flags; the first one's numbers are the
// largest ones.
func results() map[string]any {
	accounts := []client.Account{{ID: client.U128{Lo: 1}, DebitsPosted: client.U128{Lo: 10}, Ledger: 700, Code: 10,
		Timestamp: 1795962526585356259, Flags: accounting.AccountLinked | accounting.AccountHistory},
		{ID: client.U128{Lo: 2}, CreditsPosted: client.U128{Lo: 10}, Ledger: 700, Code: 10, Timestamp: 1795962526585356260}}
	transfer := client.Transfer{ID: client.U128{Lo: 1}, DebitAccountID: client.U128{Lo: 1}, CreditAccountID: client.U128{Lo: 2},
		Amount: client.U128{Lo: 10}, Ledger: 700, Code: 10, Timestamp: 7}
	large := client.Account{ID: client.U128{Lo: 1<<64 - 1, Hi: 1<<64 - 1}, UserData64: 1<<64 - 1, UserData32: 1<<32 - 1, Code: 1<<16 - 1,
		Flags: accounting.AccountClosed, Timestamp: 1<<64 - 1}
	return map[string]any{
		"none": []client.Account{}, "accounts": accounts, "large": []client.Account{large}, "transfers": []client.Transfer{transfer},
		"balances": []client.AccountBalance{{DebitsPosted: client.U128{Lo: 10}, Timestamp: 7}},
		"created accounts": []client.CreateAccountResult{{Timestamp: 5, Status: accounting.AccountStatusCreated},
			{Timestamp: 6, Status: accounting.AccountStatusLinkedEventFailed}},
		"created transfers": []client.CreateTransferResult{{Timestamp: 7, Status: accounting.TransferStatusExceedsCredits}},
		"events": []client.ChangeEvent{{TransferID: client.U128{Lo: 1}, Type: accounting.EventTwoPhasePending,
			TransferFlags: accounting.TransferPending, DebitAccountFlags: accounting.AccountHistory, Ledger: 700,
			Timestamp: 7, TransferTimestamp: 7}},
	}
}

// Goal: rows are shown as they always were. A table is cut to the terminal's width.
func TestPrint(t *testing.T) {
	rows := results()
	golden(t, "testdata/print.txt", func(input string) string {
		format, what, _ := strings.Cut(input, " ")
		width := 0
		if _, err := fmt.Sscanf(format, "table%d", &width); err == nil {
			format = "table"
		}
		var out bytes.Buffer
		p := &printer{out: &out, format: Format(format), width: func() int { return width }}
		for name := range strings.SplitSeq(what, ", ") {
			if rows[name] == nil {
				t.Fatalf("%s: no such rows", name)
			}
			if err := p.rows(rows[name]); err != nil {
				t.Error(err)
			}
		}
		for line := range strings.Lines(out.String()) {
			if width > 0 && len(line)-1 > width {
				t.Errorf("%s: a line of %d columns: %s", input, len(line)-1, line)
			}
		}
		return out.String()
	})
}

// Goal: each line of JSON is one object; numbers are strings, flags a list of strings.
func TestPrintJSON(t *testing.T) {
	for name, rows := range results() {
		var out bytes.Buffer
		if err := (&printer{out: &out, format: FormatJSON}).rows(rows); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			object := map[string]any{}
			if err := json.Unmarshal([]byte(line), &object); err != nil {
				t.Errorf("%s: %s: %v", name, line, err)
			}
			for field, value := range object {
				_, isList := value.([]any)
				if _, isText := value.(string); isList != (field == "flags" || strings.HasSuffix(field, "_flags")) || !isList && !isText {
					t.Errorf("%s: %s is %T", name, field, value)
				}
			}
		}
	}
}

// brokenPipe takes nothing.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// Goal: a format that is none is refused, and an output that takes nothing is an error.
func TestPrintErrors(t *testing.T) {
	if _, err := ParseFormat("xml"); err == nil {
		t.Error("xml is a format")
	}
	if err := (&printer{out: brokenPipe{}, format: FormatJSON}).rows(results()["accounts"]); err == nil {
		t.Error("no error of a broken pipe")
	}
}
