package move

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ledger/accounting"
	"ledger/wire"
)

// wroteRows writes a file of rows for a test.
func wroteRows(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	accountsHeader  = "id,ledger,code,flags,timestamp\n"
	transfersHeader = "id,debit_account_id,credit_account_id,amount,pending_id,timeout,ledger,code,flags,timestamp\n"
	twoAccounts     = accountsHeader + "1,7,1,,10\n2,7,1,debits_must_not_exceed_credits,11\n3,8,1,,12\n4,7,1,closed,13\n"
	goodTransfer    = "1,1,2,10,0,0,7,1,,20\n"
)

// Goal: every kind of wrong row is told with file, line, column and reason; nothing of its batch is
// imported, and no id is used up. Once the file is mended, the same command imports it all.
func TestWrongRows(t *testing.T) {
	future := fmt.Sprint(uint64(accounting.TimestampMax))
	for _, test := range []struct {
		kind, row string // a row behind good ones
		want      string // behind the name of the file
	}{
		// What cannot be read.
		{"transfers", "5,1,2,x,0,0,7,1,,30", `:3: column amount: "x": 'x' is no decimal digit`},
		{"transfers", "5,1,2,-1.5,0,0,7,1,,30", `:3: column amount: "-1.5": '.' is no decimal digit`},
		{"transfers", "5,1,2,10,0,0,7,65536,,30", `:3: column code: "65536": larger than 2^16-1`},
		{"transfers", "5,1,2,10,0,0,4294967296,1,,30", `:3: column ledger: "4294967296": larger than 2^32-1`},
		{"transfers", "340282366920938463463374607431768211456,1,2,10,0,0,7,1,,30", `:3: column id: `},
		{"transfers", "5,1,2,10,0,0,7,1,pendin,30", `:3: column flags: "pendin" is no flag; the flags are linked, pending, `},
		{"transfers", "5,1,2,10,0,0,7,1,,", ":3: column timestamp: has no value"},
		{"transfers", ",1,2,10,0,0,7,1,,30", ":3: column id: has no value"},
		{"transfers", "5,1,2,10,0,0,7,1,30", ":3: has 9 values, and the file has 10 columns"},
		{"transfers", "5,1,2,\"1\"0,0,0,7,1,,30", ":3: extraneous or missing \" in quoted-field"},
		// What the server would refuse.
		{"transfers", "0,1,2,10,0,0,7,1,,30", ":3: column id: id_must_not_be_zero (transfer 0; "},
		{"transfers", "-0,1,2,10,0,0,7,1,,30", ":3: column id: id_must_not_be_int_max"},
		{"transfers", "5,1,2,10,0,0,7,1,512,30", ":3: column flags: reserved_flag"},
		{"transfers", "5,0,2,10,0,0,7,1,,30", ":3: column debit_account_id: debit_account_id_must_not_be_zero"},
		{"transfers", "5,1,1,10,0,0,7,1,,30", ":3: column credit_account_id: accounts_must_be_different"},
		{"transfers", "5,9,2,10,0,0,7,1,,30", ":3: column debit_account_id: debit_account_not_found"},
		{"transfers", "5,1,9,10,0,0,7,1,,30", ":3: column credit_account_id: credit_account_not_found"},
		{"transfers", "5,1,4,10,0,0,7,1,,30", ":3: column credit_account_id: credit_account_already_closed"},
		{"transfers", "5,1,3,10,0,0,7,1,,30", ":3: column credit_account_id: accounts_must_have_the_same_ledger"},
		{"transfers", "5,1,2,10,0,0,8,1,,30", ":3: column ledger: transfer_must_have_the_same_ledger_as_accounts"},
		{"transfers", "5,1,2,10,0,0,0,1,,30", ":3: column ledger: ledger_must_not_be_zero"},
		{"transfers", "5,1,2,10,0,0,7,0,,30", ":3: column code: code_must_not_be_zero"},
		{"transfers", "5,2,1,11,0,0,7,1,,30", ":3: column amount: exceeds_credits"},
		{"transfers", "5,1,2,-0,0,0,7,1,,30", ":3: column amount: overflows_debits_posted"},
		{"transfers", "5,1,2,10,0,9,7,1,,30", ":3: column timeout: timeout_reserved_for_pending_transfer"},
		{"transfers", "5,1,2,10,8,0,7,1,,30", ":3: column pending_id: pending_id_must_be_zero"},
		{"transfers", "5,0,0,10,8,0,0,0,post_pending_transfer,30", ":3: column pending_id: pending_transfer_not_found"},
		{"transfers", "5,0,0,10,1,0,0,0,post_pending_transfer,30", ":3: column pending_id: pending_transfer_not_pending"},
		{"transfers", "5,1,2,10,0,0,7,1,closing_debit,30", ":3: column flags: closing_transfer_must_be_pending"},
		{"transfers", "5,1,2,10,0,0,7,1,linked,30", ":3: column flags: linked_event_chain_open"},
		{"transfers", "5,1,2,10,0,0,7,1,,20", ":3: column timestamp: imported_event_timestamp_must_not_regress"},
		{"transfers", "5,1,2,10,0,0,7,1,,5", ":3: column timestamp: imported_event_timestamp_must_not_regress"},
		{"transfers", "5,1,2,10,0,0,7,1,,0", ":3: column timestamp: imported_event_timestamp_out_of_range"},
		{"transfers", "5,1,2,10,0,0,7,1,," + future, ":3: column timestamp: imported_event_timestamp_must_not_advance"},
		{"transfers", "1,1,2,10,0,0,7,1,,30", ":3: column id: exists (transfer 1; "},
		{"transfers", "1,1,2,11,0,0,7,1,,30", ":3: column amount: exists_with_different_amount"},
		{"accounts", "5,7,1,odd,30", `:6: column flags: "odd" is no flag`},
		{"accounts", "5,7,,,30", ":6: column code: has no value"},
		{"accounts", "5,0,1,,30", ":6: column ledger: ledger_must_not_be_zero"},
		{"accounts", "5,7,1,6,30", ":6: column flags: flags_are_mutually_exclusive"},
		{"accounts", "1,7,2,,30", ":6: column code: exists_with_different_code (account 1; "},
		{"accounts", "5,7,1,,13", ":6: column timestamp: imported_event_timestamp_must_not_regress"},
	} {
		accounts, transfers, good := twoAccounts, transfersHeader+goodTransfer, "6,1,2,1,0,0,7,1,,40\n"
		if test.kind == "accounts" {
			accounts += test.row + "\n"
		} else {
			transfers += test.row + "\n"
		}
		w := newWorld()
		files := FileOptions{Accounts: wroteRows(t, "accounts.csv", accounts), Transfers: wroteRows(t, "transfers.csv", transfers)}
		before := 1 // request, of the accounts
		wrongFile := files.Transfers
		if test.kind == "accounts" {
			before, wrongFile = 0, files.Accounts
		}
		report, said, err := imported(w, files, false)
		if !errors.Is(err, ErrWrong) || report.Wrong != 1 || len(said.wrong) != 1 || !strings.HasPrefix(said.wrong[0], wrongFile+test.want) {
			t.Errorf("%s: %q, want %s (%v)", test.row, said.wrong, test.want, err)
		}
		if w.creates != before || w.store.TransfersCount() != 0 || w.store.DeadCount() != 0 {
			t.Errorf("%s: %d requests, %d transfers, %d ids are used up", test.row, w.creates, w.store.TransfersCount(), w.store.DeadCount())
		}
		files = FileOptions{Accounts: wroteRows(t, "accounts.csv", twoAccounts),
			Transfers: wroteRows(t, "transfers.csv", transfersHeader+goodTransfer+good)}
		if report, said, err := imported(w, files, false); err != nil || w.store.TransfersCount() != 2 {
			t.Errorf("%s, mended: %+v, %q, %v", test.row, report, said.wrong, err)
		}
	}
}

// Goal: several wrong rows of one batch are told together, and a dry run tells those of all
// batches.
func TestAllWrongRows(t *testing.T) {
	var text bytes.Buffer
	text.WriteString(transfersHeader)
	for i := range 300 {
		amount := "1"
		if i%50 == 20 {
			amount = "one"
		}
		fmt.Fprintf(&text, "%d,1,2,%s,0,0,7,1,,%d\n", 100+i, amount, 100+i)
	}
	files := FileOptions{Accounts: wroteRows(t, "accounts.csv", twoAccounts), Transfers: wroteRows(t, "transfers.csv", text.String())}
	w := newWorld()
	report, said, err := imported(w, files, true)
	if !errors.Is(err, ErrWrong) || report.Wrong != 6 || len(said.wrong) != 6 || w.creates != 0 {
		t.Errorf("%+v, %q, %v", report, said.wrong, err)
	}
	if report, said, err := imported(w, files, false); !errors.Is(err, ErrWrong) || report.Wrong != 1 || len(said.wrong) != 1 {
		t.Errorf("%+v, %q, %v", report, said.wrong, err)
	}
}

// Goal: columns come in any order, what is left out is zero, a mark of the order of bytes and line
// ends of Windows do no harm. Numbers have every form of the shell, flags are names or a number.
func TestForms(t *testing.T) {
	for _, name := range []string{"csv", "jsonl"} {
		accounts := "\xef\xbb\xbftimestamp, code,ledger,id,flags\r\n10,1,7,0x1,history|linked\r\n11,1,7, 2 ,\r\n12,1,7,1_000,8\r\n"
		transfers := "amount,timestamp,code,ledger,credit_account_id,debit_account_id,id\n" +
			"340282366920938463463374607431768211455,13,1,7,2,1,-1\n0,14,1,7,1,2,\"5\"\n"
		if name == "jsonl" {
			accounts = `{"timestamp":10,"code":"1","ledger":7,"id":"0x1","flags":["history","linked"]}` + "\r\n" +
				`{"id":2,"ledger":7,"code":1,"timestamp":"11","flags":[]}` + "\n" + `{"id":"1_000","ledger":7,"code":1,"timestamp":12,"flags":8}` + "\n"
			transfers = `{"id":"-1","amount":340282366920938463463374607431768211455,"timestamp":13,"code":1,"ledger":7,"credit_account_id":2,` +
				`"debit_account_id":1}` + "\n" + `{"id":5,"amount":"\u0030","timestamp":14,"code":1,"ledger":7,"credit_account_id":1,` +
				`"debit_account_id":2}` + "\n"
		}
		w := newWorld()
		files := FileOptions{Accounts: wroteRows(t, "a."+name, accounts), Transfers: wroteRows(t, "t."+name, transfers)}
		report, said, err := imported(w, files, false)
		almost, _ := wire.U128Max().Sub(wire.U128From(1))
		found, _ := w.LookupTransfers(context.Background(), []wire.U128{almost, wire.U128From(5)})
		made, _ := w.LookupAccounts(context.Background(), []wire.U128{wire.U128From(1), wire.U128From(1000)})
		if err != nil || len(found) != 2 || !found[0].Amount.IsMax() || found[1].Timestamp != 14 || len(made) != 2 ||
			made[0].Flags != accounting.AccountHistory|accounting.AccountLinked|accounting.AccountImported ||
			made[1].Flags != accounting.AccountHistory|accounting.AccountImported {
			t.Errorf("%s: %+v, %q, %v: %+v %+v", name, report, said.wrong, err, found, made)
		}
	}
}

// Goal: a file that is no file of rows is refused with the reason.
func TestForeignFiles(t *testing.T) {
	folder := t.TempDir()
	for _, test := range []struct{ name, text, want string }{
		{"a.csv", "", "a.csv:1: is empty: the first line has the names of the columns"},
		{"a.csv", "id,ledger,code,timestamp,colour\n", "a.csv:1: column colour: there is no such column; the columns are id, debits_pending, "},
		{"a.csv", "id,ledger,code,id\n", "a.csv:1: column id: stands there twice"},
		{"a.csv", "id,ledger,code\n", "a.csv:1: column timestamp: is missing, and a row is nothing without it"},
		{"a.csv", "id,\"ledger\n", "a.csv:1: the names of the columns: "},
		{"a.txt", "", "a.txt: must end in .csv or .jsonl, which tells its form"},
	} {
		path := filepath.Join(folder, test.name)
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := imported(newWorld(), FileOptions{Accounts: path}, false)
		if err == nil || !strings.Contains(err.Error(), folder+"/"+test.want) {
			t.Errorf("%q: %v, want %s", test.text, err, test.want)
		}
	}
	for _, test := range []struct{ text, want string }{
		{"hello\n", ":1: is no object of JSON: "}, {"[]\n", ":1: is no object of JSON: "},
		{`{"id":1`, ":1: has no line end: the file was cut off here"},
		{`{"id":1,"ledger":7,"code":1,"timestamp":9,"colour":1}` + "\n", ":1: column colour: there is no such field; the fields are id, "},
		{`{"id":1,"ledger":7,"code":1}` + "\n", ":1: column timestamp: is missing"},
		{`{"id":null,"ledger":7,"code":1,"timestamp":9}` + "\n", ":1: column id: null: must be a number"},
		{`{"id":1,"ledger":7,"code":1,"timestamp":9,"flags":[1]}` + "\n", ":1: column flags: [1]: must be a number"},
	} {
		path := wroteRows(t, "a.jsonl", test.text)
		if _, said, err := imported(newWorld(), FileOptions{Accounts: path}, false); !errors.Is(err, ErrWrong) || len(said.wrong) != 1 ||
			!strings.HasPrefix(said.wrong[0], path+test.want) {
			t.Errorf("%q: %q, want %s (%v)", test.text, said.wrong, test.want, err)
		}
	}
	endless := wroteRows(t, "a.jsonl", strings.Repeat("x", lineBytesMax+1))
	if _, _, err := imported(newWorld(), FileOptions{Accounts: endless}, false); err == nil ||
		!strings.Contains(err.Error(), "has no end within") {
		t.Error(err)
	}
}

// Goal: an export that is not complete, or is there twice, or not at all, is refused.
func TestForeignFolders(t *testing.T) {
	w := newWorld()
	folder := exported(t, w, true)
	if report, _, err := imported(newWorld(), FileOptions{Folder: folder}, false); err != nil || !report.HasCompared {
		t.Errorf("an empty world: %+v, %v", report, err)
	}
	export(t, w, folder, false)
	for _, want := range []string{"has an export as CSV and one as JSONL", "the export is not complete, because accounts.csv is missing",
		"no transfers.jsonl and no transfers.csv"} {
		if _, _, err := imported(newWorld(), FileOptions{Folder: folder}, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		for _, name := range map[string][]string{"has an": {"transfers.jsonl", "accounts.csv"}, "the ex": {"transfers.csv"}}[want[:6]] {
			if err := os.Remove(filepath.Join(folder, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Goal: a server that has what the source does not have is refused, and stays as it is. Rows that
// are newer than all it has are imported.
func TestOtherServer(t *testing.T) {
	ctx := context.Background()
	accounts, one := wroteRows(t, "accounts.csv", twoAccounts), wire.U128From(1)
	w := newWorld()
	files := FileOptions{Accounts: accounts, Transfers: wroteRows(t, "transfers.csv", transfersHeader+goodTransfer)}
	if _, _, err := imported(w, files, false); err != nil {
		t.Fatal(err)
	}
	later := wroteRows(t, "later.csv", transfersHeader+"7,1,2,1,0,0,7,1,,50\n")
	report, _, err := imported(w, FileOptions{Transfers: later}, false)
	if err != nil || report.HasCompared || report.Transfers.Imported != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	if _, err := w.CreateTransfers(ctx, []accounting.Transfer{{ID: wire.U128From(99), DebitAccountID: one, CreditAccountID: wire.U128From(2),
		Amount: one, Ledger: 7, Code: 1}}); err != nil {
		t.Fatal(err)
	}
	before := w.everything()
	_, _, err = imported(w, FileOptions{Transfers: later}, false)
	if err == nil || !strings.Contains(err.Error(), "the server has transfer 99 with timestamp") || w.everything() != before {
		t.Error(err)
	}
}

// Goal: balances that differ are told, each field of them, and so are accounts that are missing and
// accounts that the source does not have.
func TestDifferences(t *testing.T) {
	text := "id,ledger,code,flags,timestamp,debits_pending,debits_posted,credits_pending,credits_posted\n" +
		"1,7,1,,10,0,10,0,0\n2,7,1,,11,0,0,5,11\n"
	w := newWorld()
	_, _ = w.CreateAccounts(context.Background(), []accounting.Account{{ID: wire.U128From(3), Ledger: 7, Code: 1, Timestamp: 5,
		Flags: accounting.AccountImported}})
	files := FileOptions{Accounts: wroteRows(t, "accounts.csv", text), Transfers: wroteRows(t, "transfers.csv", transfersHeader+goodTransfer)}
	for _, isDryRun := range []bool{true, false} {
		report, said, err := imported(w, files, isDryRun)
		want := []Change{{Kind: ChangeExtra, ID: "3", Timestamp: 5},
			{Kind: ChangeDifference, ID: "2", Timestamp: 11, Field: "credits_pending", Want: "5", Got: "0"},
			{Kind: ChangeDifference, ID: "2", Timestamp: 11, Field: "credits_posted", Want: "11", Got: "10"}}
		if !errors.Is(err, ErrDifferent) || report.Compared != 2 || report.Different != 1 || fmt.Sprint(said.changes) != fmt.Sprint(want) {
			t.Errorf("%+v, %+v, %v", report, said.changes, err)
		}
	}
}

// Goal: an import into the server that the rows come from says that it is.
func TestImportIntoItsSource(t *testing.T) {
	w := newWorld()
	created, err := w.CreateAccounts(context.Background(), []accounting.Account{{ID: wire.U128From(1), Ledger: 7, Code: 1}})
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("id,ledger,code,timestamp,debits_pending,debits_posted,credits_pending,credits_posted\n1,7,1,%d,0,0,0,0\n",
		created[0].Timestamp)
	report, _, err := imported(w, FileOptions{Accounts: wroteRows(t, "accounts.csv", text)}, false)
	if !errors.Is(err, ErrDifferent) || !strings.Contains(err.Error(), "it is the server that the rows come from") || report.Different != 1 {
		t.Errorf("%+v, %v", report, err)
	}
}
