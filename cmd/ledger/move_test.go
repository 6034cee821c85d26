package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"ledger/accounting"
	"ledger/client"
	"ledger/move"
	"ledger/wire"
)

// history fills a server with accounts, transfers of both phases and a chain, and lets one transfer
// expire.
func history(t *testing.T, c *client.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), endsWithin)
	defer cancel()
	id := wire.U128From
	if _, err := c.CreateAccounts(ctx, []client.Account{{ID: id(1), Ledger: 1, Code: 1, Flags: accounting.AccountHistory},
		{ID: id(2), Ledger: 1, Code: 1, UserData64: 9}, {ID: id(3), Ledger: 1, Code: 1}}); err != nil {
		t.Fatal(err)
	}
	for first := uint64(100); first < 900; first += 200 {
		var batch []client.Transfer
		for n := first; n < first+200; n++ {
			batch = append(batch, client.Transfer{ID: id(n), DebitAccountID: id(1 + n%2), CreditAccountID: id(2 - n%2), Amount: id(n),
				Ledger: 1, Code: 1})
		}
		if _, err := c.CreateTransfers(ctx, batch); err != nil {
			t.Fatal(err)
		}
	}
	single := client.Transfer{ID: id(16), DebitAccountID: id(1), CreditAccountID: id(2), Amount: id(5), Ledger: 1, Code: 1}
	pending := single
	pending.Flags = accounting.TransferPending
	batch := []client.Transfer{pending, pending, pending, pending}
	batch[0].ID, batch[1].ID, batch[2].ID, batch[3].ID = id(11), id(12), id(13), id(14)
	batch[1].Timeout, batch[2].Timeout = 1, 100_000
	batch[3].DebitAccountID, batch[3].Flags = id(3), accounting.TransferPending|accounting.TransferClosingDebit
	batch = append(batch, client.Transfer{ID: id(15), PendingID: id(11), Amount: id(3),
		Flags: accounting.TransferPostPending | accounting.TransferLinked}, single)
	results, err := c.CreateTransfers(ctx, batch)
	if err != nil {
		t.Fatal(err)
	}
	for i, result := range results {
		if result.Status != accounting.TransferStatusCreated {
			t.Fatalf("transfer %d is %s", i, result.Status)
		}
	}
	for { // until the one with a timeout of a second has expired
		events, err := c.GetChangeEvents(ctx, client.ChangeEventsFilter{TimestampMin: results[0].Timestamp, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == len(batch)+1 {
			return
		}
	}
}

// movedSummary is what an import of history reports.
const movedSummary = `timeout_left_out: 2 timeouts left out, because imported transfers have none
expiry_is_a_void: 1 expiries that became voids at the same timestamp
expires_no_more: 1 pending transfers that had a timeout and are pending without one now
balances: 3 accounts compared, 0 differences
`

// Goal: export, dry run, import and live import between real servers. The report has every
// change, the balances are the same, and the export of the copy is the same for either way. The
// source of the live import is killed and comes back in the middle.
func TestMove(t *testing.T) {
	address, data := freePort(t), formatted(t)
	from := on(t, address, data)
	_, port, _ := strings.Cut(address, ":")
	history(t, connected(t, port))
	first, second, folder := harness(t, formatted(t)), harness(t, formatted(t)), t.TempDir()
	exported := func(port, format string) string {
		into := filepath.Join(folder, port+format)
		status, stdout, stderr := ended(t, nil, "export", "--addresses="+port, "--format="+format, into)
		if status != exitDone || !strings.Contains(stdout, "3 accounts; 80") {
			t.Fatalf("export: status %d: %s%s", status, stdout, stderr)
		}
		return into
	}
	csv := exported(address, "csv")
	report := filepath.Join(folder, "report.jsonl")
	for i, one := range []struct {
		arguments []string
		want      string
	}{
		{[]string{"--dry-run"}, "accounts: 3 to import, 0 were there already\ntransfers: 807 to import, 0 were there already\n"},
		{[]string{"--report=" + report}, "accounts: 3 imported, 0 were there already\ntransfers: 807 imported, 0 were there already\n"},
		{nil, "accounts: 0 imported, 3 were there already\ntransfers: 0 imported, 807 were there already\n"},
	} {
		status, stdout, stderr := ended(t, nil, append([]string{"import", "--addresses=" + first.port, csv}, one.arguments...)...)
		if status != exitDone || !strings.HasSuffix(stdout, one.want+movedSummary) {
			t.Errorf("%d: status %d: %s%s", i, status, stdout, stderr)
		}
	}
	lines, err := os.ReadFile(report)
	if err != nil || strings.Count(string(lines), "\n") != 4 || !strings.Contains(string(lines), `{"kind":"expiry_is_a_void","id":"12"`) {
		t.Errorf("%s: %v", lines, err)
	}

	_ = from.Process.Kill()
	_ = from.Wait()
	live := command(nil, "import", "--addresses="+second.port, "--from="+address)
	var stdout, stderr shared
	live.Stdout, live.Stderr = &stdout, &stderr
	if err := live.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = live.Process.Kill() })
	stderr.await(t, "nobody listens at")
	on(t, address, data)
	if status := wait(t, live); status != exitDone || !strings.HasSuffix(stdout.String(), movedSummary) {
		t.Errorf("status %d: %s%s", status, stdout.String(), stderr.String())
	}
	copies := []string{exported(first.port, "jsonl"), exported(second.port, "jsonl")}
	for _, name := range []string{"accounts.jsonl", "transfers.jsonl", "expiries.jsonl"} {
		one, err := os.ReadFile(filepath.Join(copies[0], name))
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.ReadFile(filepath.Join(copies[1], name))
		if err != nil || string(one) != string(other) {
			t.Errorf("%s: the copies differ: %v", name, err)
		}
	}
}

// Goal: a wrong row of a file ends the import with its file, line, column and reason and status 1.
// Nothing of its batch is imported, and once it is mended the rest is.
func TestMoveWrongRow(t *testing.T) {
	s := harness(t, formatted(t))
	folder := t.TempDir()
	accounts, transfers := filepath.Join(folder, "accounts.csv"), filepath.Join(folder, "transfers.csv")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(accounts, "timestamp,id,ledger,code\n1,1,7,1\n2,2,7,1\n")
	const rowsCount, wrongAt = 600, 555
	rows := func(credit string) string {
		text := "id,debit_account_id,credit_account_id,amount,ledger,code,timestamp\n"
		for i := 1; i <= rowsCount; i++ {
			account := "2"
			if i == wrongAt {
				account = credit
			}
			text += fmt.Sprintf("%d,1,%s,1,7,1,%d\n", i, account, i+10)
		}
		return text
	}
	arguments := []string{"import", "--addresses=" + s.port, "--accounts=" + accounts, "--transfers=" + transfers}
	for _, wrong := range []struct{ credit, want string }{
		{"3", transfers + ":556: column credit_account_id: credit_account_not_found (transfer 555; " +
			"\"explain credit_account_not_found\" in ledger repl says more)\n"},
		{"x", transfers + ":556: column credit_account_id: \"x\": 'x' is no decimal digit\n"},
	} {
		write(transfers, rows(wrong.credit))
		status, stdout, stderr := ended(t, nil, arguments...)
		if status != exitRefused || !strings.HasPrefix(stderr, wrong.want) || !strings.Contains(stdout, "wrong rows: 1\n") {
			t.Errorf("status %d: %s%s", status, stdout, stderr)
		}
	}
	c := connected(t, s.port)
	found, err := c.QueryTransfers(context.Background(), client.QueryFilter{Limit: rowsCount})
	if err != nil || len(found) != 506 { // two batches of 253
		t.Errorf("%d transfers are there, want two batches: %v", len(found), err)
	}
	write(transfers, rows("2"))
	status, stdout, stderr := ended(t, nil, arguments...)
	if status != exitDone || !strings.Contains(stdout, "transfers: 94 imported, 506 were there already\nbalances: not compared\n") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
}

// Goal: the manual has every flag, every file, every kind of change, and commands that the command
// line takes. Its files of CSV can be imported.
func TestMoveManual(t *testing.T) {
	text, err := os.ReadFile("../../docs/move.md")
	if err != nil {
		t.Fatal(err)
	}
	manual, folder := string(text), t.TempDir()
	for _, kind := range move.Kinds() {
		if !strings.Contains(manual, "`"+string(kind)+"`") {
			t.Errorf("the manual lacks %s", kind)
		}
	}
	eachFlag(t, func(command []string, flag *kong.Flag) {
		if name := command[0]; (name == "export" || name == "import") && !strings.Contains(manual, "`--"+flag.Name) && !flag.Hidden {
			t.Errorf("the manual lacks --%s of %s", flag.Name, name)
		}
	})
	commands, files := 0, []string{}
	for i, block := range strings.Split(manual, "```") {
		kind, body, _ := strings.Cut(block, "\n")
		switch {
		case i%2 == 0:
		case kind == "sh":
			for line := range strings.Lines(body) {
				parser, _ := parsed(t, io.Discard)
				arguments, err := normalize(parser.Model, strings.Fields(line)[1:])
				if err == nil {
					_, err = parser.Parse(arguments)
				}
				if err != nil {
					t.Errorf("%s: %v", line, err)
				}
				commands++
			}
		case kind == "csv":
			path := filepath.Join(folder, fmt.Sprintf("%d.csv", i))
			if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
				t.Fatal(err)
			}
			files = append(files, path)
		}
	}
	if commands < 5 || len(files) != 2 {
		t.Fatalf("%d commands, %d files", commands, len(files))
	}
	s := harness(t, formatted(t))
	status, stdout, stderr := ended(t, nil, "import", "--addresses="+s.port, "--accounts="+files[0], "--transfers="+files[1])
	if status != exitDone || !strings.Contains(stdout, "accounts: 2 imported") || !strings.Contains(stdout, "transfers: 2 imported") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
}

// Goal: an import that is killed again and again, while the server that takes it is killed too,
// goes on each time and moves everything once.
func TestMoveKilled(t *testing.T) {
	from, folder, address, data := harness(t, formatted(t)), t.TempDir(), freePort(t), formatted(t)
	const transfersCount, rounds = 6000, 4
	moving(t, from, 1, transfersCount)
	if status, _, stderr := ended(t, nil, "export", "--addresses="+from.port, "--format=csv", folder); status != exitDone {
		t.Fatalf("export: status %d: %s", status, stderr)
	}
	to := on(t, address, data)
	c, err := client.New(context.Background(), client.Options{Addresses: []string{address}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	reached := func(count uint64) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), endsWithin)
		defer cancel()
		for found := 0; found == 0; {
			rows, err := c.LookupTransfers(ctx, []client.U128{wire.U128From(count)})
			if err != nil {
				t.Fatalf("transfer %d: %v", count, err)
			}
			found = len(rows)
		}
	}
	for round := range uint64(rounds) {
		job := command(nil, "import", "--addresses="+address, folder)
		if err := job.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = job.Process.Kill() })
		reached(1 + round*transfersCount/rounds)
		if round == 1 {
			_ = to.Process.Kill()
			_ = to.Wait()
			to = on(t, address, data)
			reached(2 * transfersCount / rounds)
		}
		_ = job.Process.Kill()
		_ = job.Wait()
	}
	status, stdout, stderr := ended(t, nil, "import", "--addresses="+address, folder)
	if status != exitDone || !strings.HasSuffix(stdout, "balances: 2 accounts compared, 0 differences\n") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	again := filepath.Join(folder, "again")
	status, stdout, stderr = ended(t, nil, "export", "--addresses="+address, "--format=csv", again)
	if status != exitDone || !strings.Contains(stdout, fmt.Sprintf("%d transfers and 0 expiries were added", transfersCount)) {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	one, err := os.ReadFile(filepath.Join(folder, "transfers.csv"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(filepath.Join(again, "transfers.csv"))
	if err != nil || strings.ReplaceAll(string(one), ",1,,", ",1,imported,") != string(other) {
		t.Errorf("the copy has other transfers: %v", err)
	}
}
