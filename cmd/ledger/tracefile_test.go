package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ledger/client"
	"ledger/trace"
)

// Goal: a server with --trace leaves a file that is a JSON array with the ops of its client; a
// second start keeps the first trace under another name; and a file that is no trace is not
// overwritten.
func TestTraceOfServer(t *testing.T) {
	path, traced := formatted(t), filepath.Join(t.TempDir(), "trace.json")
	address := freeAddress(t)
	for range 2 {
		s := on(t, address, path, "--trace="+traced)
		c, err := client.New(t.Context(), client.Options{Addresses: []string{address}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.CreateAccounts(t.Context(), []client.Account{{ID: client.U128{Lo: 1}, Ledger: 1, Code: 1}}); err != nil {
			t.Fatal(err)
		}
		c.Close()
		s.signal(t, syscall.SIGTERM)
		if status := wait(t, s.Cmd); status != exitDone {
			t.Fatalf("status %d", status)
		}
	}
	for _, name := range []string{traced, traced + traceOld} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var list []map[string]any
		if err := json.Unmarshal(text, &list); err != nil || !strings.HasPrefix(string(text), trace.Head) {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		for _, want := range []string{`"operation":"create_accounts"`, `"operation":"register"`, `"name":"execute"`, `"name":"journal 0"`} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s does not say %s:\n%s", name, want, text)
			}
		}
	}
	status, _, stderr := ran(t, "start", "--addresses=0", "--trace="+path, path)
	if status != exitRefused || !strings.Contains(stderr, "exists and is no trace") {
		t.Errorf("status %d: %s", status, stderr)
	}
}
