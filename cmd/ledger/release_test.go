package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ledger/client"
	"ledger/client/clienttest"
	"ledger/wire"
)

// registerAs opens a session as a client of that release.
func registerAs(t *testing.T, port string, release wire.Release) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), endsWithin)
	defer cancel()
	c, err := client.New(ctx, client.Options{Addresses: []string{"127.0.0.1:" + port}, Release: release})
	if err == nil {
		c.Close()
	}
	return err
}

// Goal: a client above 0.17 is evicted with client_release_too_high, unless flag or file allow it;
// the log says which releases are served and what changes that. TestClientReleases (package
// replica) has more releases.
func TestClientReleaseMax(t *testing.T) {
	settings := filepath.Join(t.TempDir(), "ledger.toml")
	if err := os.WriteFile(settings, []byte("[start]\nclient_release_max = \"1.0.0\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name      string
		arguments []string
		high      wire.Release // the lowest that is refused
	}{
		{"default", nil, wire.ReleaseOf(0, 18, 0)},
		{"flag", []string{"--client-release-max=0.18.0"}, wire.ReleaseOf(0, 18, 1)},
		{"file", []string{"--config=" + settings}, wire.ReleaseOf(1, 0, 1)},
		{"flag over file", []string{"--config=" + settings, "--client-release-max=0.17.9"}, wire.ReleaseOf(0, 17, 10)},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := harness(t, formatted(t), test.arguments...)
			if err := registerAs(t, s.port, test.high-1); err != nil {
				t.Errorf("release %s: %v", test.high-1, err)
			}
			if err := registerAs(t, s.port, wire.ReleaseClientMin); err != nil {
				t.Errorf("release %s: %v", wire.ReleaseClientMin, err)
			}
			for _, release := range []wire.Release{test.high, wire.ReleaseOf(9, 9, 0)} {
				if err := registerAs(t, s.port, release); !errors.Is(err, client.ErrReleaseTooHigh) {
					t.Errorf("release %s: %v, want an eviction", release, err)
				}
			}
			s.signal(t, syscall.SIGTERM)
			if status := wait(t, s.Cmd); status != exitDone {
				t.Fatalf("status %d: %s", status, s.stderr)
			}
			said := "client_release_too_high: clients of 0.16.4 to " + (test.high - 1).String() + " are served"
			if !strings.Contains(s.stderr.String(), said) || !strings.Contains(s.stderr.String(), "--client-release-max") {
				t.Errorf("the log does not say %q: %s", said, s.stderr)
			}
		})
	}
}

// Goal: every command that is a client is served by a server that refuses the newest release that
// the command speaks. A server of an older protocol ends the command with a message, and no
// repetition.
func TestCommandsSpeakOlderReleases(t *testing.T) {
	s := harness(t, formatted(t), "--client-release-max=0.17.4")
	to, folder := harness(t, formatted(t)), t.TempDir()
	for _, one := range []struct {
		arguments []string
		want      string
	}{
		{[]string{"ping", "--cluster=0", "--register", "--addresses=127.0.0.1:" + s.port}, "it was asked as one of 0.17.0"},
		{[]string{"repl", "--cluster=0", "--addresses=" + s.port, "--command=create_accounts id=1 ledger=1 code=1, id=2 ledger=1 code=1; " +
			"create_transfers id=3 debit_account_id=1 credit_account_id=2 amount=10 ledger=1 code=1"}, `"status":"created"`},
		{[]string{"cdc", "--addresses=" + s.port, "--sink=jsonl:-", "--follow=false"}, `"type":"single_phase"`},
		{[]string{"export", "--addresses=" + s.port, folder}, "2 accounts; 1 transfers"},
		{[]string{"import", "--addresses=" + to.port, "--from=" + s.port}, "balances: 2 accounts compared, 0 differences"},
		{[]string{"import", "--addresses=" + to.port, folder}, "transfers: 0 imported, 1 were there already"},
		{[]string{"benchmark", "--addresses=" + s.port, "--transfer-count=100", "--query-count=0", "--transfer-batch-count=100",
			"--account-count=10", "--account-batch-count=10"}, "load accepted"},
	} {
		if status, stdout, stderr := ended(t, nil, one.arguments...); status != exitDone || !strings.Contains(stdout, one.want) {
			t.Errorf("%q: status %d, want %d with %q:\n%s%s", one.arguments, status, exitDone, one.want, stdout, stderr)
		}
	}
	older, err := clienttest.Start(clienttest.Options{ReleaseMax: wire.ReleaseOf(0, 16, 78), ReleaseAnnounced: wire.ReleaseOf(0, 16, 78)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(older.Close)
	for _, arguments := range [][]string{{"import", "--addresses=" + to.port, "--from=" + older.Addresses()[0]},
		{"export", "--addresses=" + older.Addresses()[0], folder + "/older"},
		{"cdc", "--addresses=" + older.Addresses()[0], "--sink=jsonl:-"}} {
		status, _, stderr := ended(t, nil, arguments...)
		if want := "client_release_too_high, and announces 0.16.78; this program speaks 0.17.0 to 0.17.9"; status != exitRefused ||
			!strings.Contains(stderr, want) || strings.Contains(stderr, "is repeated") {
			t.Errorf("%q: status %d, want %d with %q:\n%s", arguments, status, exitRefused, want, stderr)
		}
	}
}
