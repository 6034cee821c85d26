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
