package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var stamps = regexp.MustCompile(`("[a-z_]*timestamp":")[1-9][0-9]*"`)

// late is what a shell says of a server that is slow, as on a busy machine.
var late = regexp.MustCompile(`(?m)^no answer for .*\n`)

// shown runs statements in a shell of its own. Timestamps become "T".
func shown(t *testing.T, s *served, statements string, flags ...string) (status int, stdout, stderr string) {
	t.Helper()
	arguments := append([]string{"repl", "--cluster=0", "--addresses=" + s.port, "--command=" + statements}, flags...)
	status, stdout, stderr = ended(t, nil, arguments...)
	return status, stamps.ReplaceAllString(stdout, `${1}T"`), late.ReplaceAllString(stderr, "")
}

// Goal: the life of an account and a transfer, statement by statement, as scripts for the
// reference's shell write it and read it.
func TestReplScenario(t *testing.T) {
	s := harness(t, formatted(t))
	const (
		account1 = `{"id":"1","debits_pending":"0","debits_posted":"10","credits_pending":"0","credits_posted":"0","user_data_128":"0",` +
			`"user_data_64":"0","user_data_32":"0","ledger":"700","code":"10","flags":["linked","history"],"timestamp":"T"}` + "\n"
		account2 = `{"id":"2","debits_pending":"0","debits_posted":"0","credits_pending":"0","credits_posted":"10","user_data_128":"0",` +
			`"user_data_64":"0","user_data_32":"0","ledger":"700","code":"10","flags":[],"timestamp":"T"}` + "\n"
		transfer = `{"id":"1","debit_account_id":"1","credit_account_id":"2","amount":"10","pending_id":"0","user_data_128":"0",` +
			`"user_data_64":"0","user_data_32":"0","timeout":"0","ledger":"700","code":"10","flags":[],"timestamp":"T"}` + "\n"
		created = `{"timestamp":"T","status":"created"}` + "\n"
	)
	for _, test := range []struct{ statements, want string }{
		{"create_accounts id=1 flags=linked|history code=10 ledger=700, id=2 code=10 ledger=700", created + created},
		{"create_transfers id=1 debit_account_id=1\n  credit_account_id=2 amount=10 ledger=700 code=10", created},
		{"lookup_accounts id=1", account1},
		{"lookup_accounts id=2", account2},
		{"lookup_accounts id=3", ""},
		{"query_accounts code=10 ledger=700", account1 + account2},
		{"lookup_transfers id=1", transfer},
		{"query_transfers code=10 ledger=700", transfer},
		{"get_account_transfers account_id=2", transfer},
		{"get_account_balances account_id=1",
			`{"debits_pending":"0","debits_posted":"10","credits_pending":"0","credits_posted":"0","timestamp":"T"}` + "\n"},
		{"create_transfers id=1 debit_account_id=1 credit_account_id=2 amount=10 ledger=700 code=10;",
			`{"timestamp":"T","status":"exists"}` + "\n"},
		{"query_accounts flags=reversed limit=1;;", account2},
	} {
		status, stdout, stderr := shown(t, s, test.statements)
		if status != exitDone || stdout != test.want || stderr != "" {
			t.Errorf("%s: status %d\ngot:\n%swant:\n%s%s", test.statements, status, stdout, test.want, stderr)
		}
	}
	status, stdout, _ := shown(t, s, "get_change_events")
	if status != exitDone || !strings.HasPrefix(stdout, `{"transfer_id":"1","transfer_amount":"10",`) ||
		!strings.Contains(stdout, `"type":"single_phase"`) || strings.Count(stdout, "\n") != 1 {
		t.Errorf("get_change_events: status %d: %s", status, stdout)
	}
}

// Goal: all statements run, and the exit status tells whether one failed: because it is none, or
// because what it creates was refused.
func TestReplStatus(t *testing.T) {
	s := harness(t, formatted(t))
	const refused = "create_transfers id=1 debit_account_id=1 credit_account_id=2 amount=1 ledger=1 code=1"
	for _, test := range []struct {
		statements     string
		flags          []string
		status, lines  int
		stderr, stdout string
	}{
		{"create_accounts id=1 ledger=1 code=1; nonsense; lookup_accounts id=1", nil, exitRefused, 2, "--command:1:39: unknown statement", ""},
		{refused + "; lookup_accounts id=1", nil, exitRefused, 2, "1 of 1 refused; explain credit_account_not_found", `"credit_account_not_`},
		{refused, []string{"--allow-refused"}, exitDone, 1, "", `"id_already_failed"`},
		{"lookup_accounts id=1", []string{"--output=csv"}, exitDone, 2, "", "id,debits_pending,"},
		{"lookup_accounts id=1", []string{"--output=table"}, exitDone, 2, "", "id  debits_pending  "},
		{"lookup_accounts id=1", []string{"--verbose"}, exitDone, 1, "lookup_accounts: 1 rows in ", ""},
		{"explain exceeds_credits; help; help query_accounts", nil, exitDone, -1, "", "debits_must_not_exceed_credits"},
	} {
		status, stdout, stderr := shown(t, s, test.statements, test.flags...)
		lines := strings.Count(stdout, "\n")
		if status != test.status || test.lines >= 0 && lines != test.lines || !strings.Contains(stderr, test.stderr) ||
			test.stderr == "" && stderr != "" || !strings.Contains(stdout, test.stdout) {
			t.Errorf("%s %q: status %d, want %d: %s%s", test.statements, test.flags, status, test.status, stdout, stderr)
		}
	}
}

// Goal: statements come from a file or from stdin as well, and messages name the file and the line.
func TestReplFile(t *testing.T) {
	s := harness(t, formatted(t))
	path := filepath.Join(t.TempDir(), "statements.txt")
	const statements = "# accounts\ncreate_accounts\n  id=1 ledger=1 code=1,\n  id=2 ledger=1 code=1;\nlookup_accounts id=x;\n" +
		"lookup_accounts id=2\n"
	if err := os.WriteFile(path, []byte(statements), 0o600); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := ended(t, nil, "repl", "--addresses="+s.port, "--file="+path)
	if status != exitRefused || strings.Count(stdout, "\n") != 3 || !strings.HasPrefix(stderr, path+":5:20: id=x: 'x' is no decimal digit") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	for _, flags := range [][]string{{"--file=-"}, nil} {
		process := command(nil, append([]string{"repl", "--addresses=" + s.port, "--output=json"}, flags...)...)
		process.Stdin = strings.NewReader("lookup_accounts id=1;\nlookup_accounts id=2")
		out, err := process.Output()
		if err != nil || strings.Count(string(out), "\n") != 2 {
			t.Errorf("%q: %s, error %v", flags, out, err)
		}
	}
}

// Goal: every example of the manual runs, and the manual has all flags and all verbs.
func TestReplManual(t *testing.T) {
	manual, err := os.ReadFile("../../docs/shell.md")
	if err != nil {
		t.Fatal(err)
	}
	s := harness(t, formatted(t))
	for block := range strings.SplitSeq(string(manual), "```ledger\n") {
		statements, _, isBlock := strings.Cut(block, "\n```\n")
		if !isBlock || strings.HasPrefix(block, "# The shell") {
			continue
		}
		if status, stdout, stderr := shown(t, s, statements); status != exitDone || stderr != "" || strings.Count(stdout, "\n") < 10 {
			t.Errorf("%s: status %d: %s%s", statements, status, stdout, stderr)
		}
	}
	_, commands, _ := strings.Cut(string(manual), "```sh\n")
	commands, _, _ = strings.Cut(commands, "```")
	for line := range strings.Lines(commands) {
		parser, _ := parsed(t, io.Discard)
		if _, err := parser.Parse(strings.Fields(line)[1:]); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	eachFlag(t, func(command []string, flag *kong.Flag) {
		if command[0] == "repl" && !strings.Contains(string(manual), "\n| `--"+flag.Name) {
			t.Errorf("the manual lacks --%s", flag.Name)
		}
	})
	_, verbs, _ := shown(t, s, "help")
	for line := range strings.Lines(verbs) {
		if line == "\n" {
			break
		}
		if verb, _, _ := strings.Cut(line, " "); verb != "" && !strings.Contains(string(manual), "`"+strings.TrimSpace(verb)+"`") {
			t.Errorf("the manual lacks %s", verb)
		}
	}
}

// Goal: a shell without a server ends after its timeout with a message and status 1.
func TestReplWithoutServer(t *testing.T) {
	status, stdout, stderr := ended(t, nil, "repl", "--addresses=127.0.0.1:1", "--timeout=10ms",
		"--command=lookup_accounts id=1; lookup_accounts id=2")
	if want := "--command:1:1: lookup_accounts: no answer within 10ms: nobody listens at 127.0.0.1:1; a server of cluster 0 is expected\n" +
		"ledger: --command: the statements behind it were not run\n"; status != exitRefused || stdout != "" || stderr != want {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
}
