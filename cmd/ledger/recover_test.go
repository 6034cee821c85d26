package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Goal: a file that cannot be one of a lost replica is not made, and the error says what to do.
func TestRecoverRefuses(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "7_2.data")
	exists := filepath.Join(folder, "exists")
	if err := os.WriteFile(exists, []byte("something"), 0o600); err != nil {
		t.Fatal(err)
	}
	three := "--addresses=127.0.0.1:1,127.0.0.1:2,127.0.0.1:3"
	for _, c := range []struct {
		arguments []string
		want      string
	}{
		{[]string{"--cluster=7", "--replica=0", "--replica-count=1", three, path}, "must be 3 or more"},
		{[]string{"--cluster=7", "--replica=1", "--replica-count=2", three, path}, "ledger import"},
		{[]string{"--replica=1", "--replica-count=3", three, path}, "--cluster: is missing"},
		{[]string{"--cluster=7", "--replica=1", "--replica-count=3", path}, "--addresses: is missing"},
		{[]string{"--cluster=7", "--replica=3", "--replica-count=3", three, path}, "there are 3 replicas"},
		{[]string{"--cluster=7", "--replica=2", "--replica-count=3", "--addresses=127.0.0.1:1,127.0.0.1:2", path}, "all 3 replicas"},
		{[]string{"--cluster=7", "--replica=2", "--replica-count=3", three, exists}, "recover never overwrites"},
		{[]string{"--cluster=7", "--replica=2", "--replica-count=3", three, folder}, "is a directory"},
	} {
		status, _, stderr := ended(t, nil, append([]string{"recover"}, c.arguments...)...)
		if status != exitRefused || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: status %d, want %q: %s", c.arguments, status, c.want, stderr)
		}
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("a file is left: %v", err)
	}
}

// Goal: the data file of a replica is lost and recovered, while the others serve. It catches up,
// has a vote, and serves with one of the others when the third is gone. One that is formatted again
// follows and has no vote, and says what to do.
func TestRecover(t *testing.T) {
	p := newProcesses(t, 3)
	p.startAll()
	c := p.client()
	makeAccount(t, c, 1)
	primary := p.primary()
	lost, other := (primary+1)%3, (primary+2)%3
	p.kill(lost)
	if err := os.Remove(p.paths[lost]); err != nil {
		t.Fatal(err)
	}
	makeAccount(t, c, 2)
	status, _, stderr := ended(t, nil, "recover", "--cluster=7", fmt.Sprintf("--replica=%d", lost), "--replica-count=3", "--development",
		"--addresses="+strings.Join(p.addresses, ","), p.paths[lost])
	if status != exitDone || !strings.Contains(stderr, "the cluster answers") || !strings.Contains(stderr, "is made: start it") {
		t.Fatalf("recover: status %d: %s", status, stderr)
	}
	if s := superblockOf(t, p.paths[lost]); !s.IsRecovered || s.View < 2 || s.LogView != 0 || s.HeadersCount != 1 {
		t.Fatalf("the recovered file: %+v", s.Superblock)
	}
	p.start(lost, nil)
	p.awaitReady(lost, true)
	p.kill(other)
	makeAccount(t, c, 3) // by the recovered one and the third
	if err := os.Remove(p.paths[other]); err != nil {
		t.Fatal(err)
	}
	status, _, stderr = ended(t, nil, "format", "--cluster=7", fmt.Sprintf("--replica=%d", other), "--replica-count=3", "--development",
		p.paths[other])
	if status != exitDone {
		t.Fatalf("format: status %d: %s", status, stderr)
	}
	p.start(other, nil)
	p.replicas[other].said.await(t, "make one with ledger recover")
	if isReady, body := p.ready(other); isReady || !strings.Contains(body, "has no vote") {
		t.Fatalf("a file that was formatted again: ready %v: %s", isReady, body)
	}
	makeAccount(t, c, 4)
}
