package main

import (
	"encoding/json"
	"strings"
	"testing"

	"ledger/limits"
	"ledger/replica"
)

// Goal: start --check tells what a start would do, with its exit status, as text and as JSON, and
// needs no addresses; --json alone is refused.
func TestStartCheck(t *testing.T) {
	path := t.TempDir() + "/0_0.data"
	if status, _, said := ran(t, "format", "--cluster=7", "--replica=0", "--replica-count=3", "--development", path); status != exitDone {
		t.Fatal(said)
	}
	status, text, said := ran(t, "start", "--check", path)
	if status != exitDone || !strings.Contains(text, "a start runs release 1") || !strings.Contains(text, "no op is executed again") {
		t.Errorf("status %d: %s%s", status, text, said)
	}
	status, text, said = ran(t, "start", "--check", "--json", path)
	var c replica.Check
	err := json.Unmarshal([]byte(text), &c)
	if err != nil || status != exitDone || !c.Starts || c.Running != limits.Release || c.Replicas != 3 {
		t.Errorf("status %d, %v: %s%s", status, err, text, said)
	}
	other := t.TempDir() + "/none"
	if status, _, said = ran(t, "start", "--check", other); status != exitRefused || !strings.Contains(said, other) {
		t.Errorf("status %d: %s", status, said)
	}
	if status, _, said = ran(t, "start", "--json", "--addresses=3001", path); status != exitRefused || !strings.Contains(said, "--json") {
		t.Errorf("status %d: %s", status, said)
	}
}
