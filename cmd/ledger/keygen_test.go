package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/config"
	"ledger/peer"
)

// Goal: keygen makes a file that nobody else can read, whatever the umask is, and prints the key's
// print and not the key. It never overwrites. Without a file, the key goes to stdout. Two keys are
// different.
func TestKeygen(t *testing.T) {
	old := unix.Umask(0)
	t.Cleanup(func() { unix.Umask(old) })
	path := filepath.Join(t.TempDir(), "cluster.key")
	status, stdout, stderr := ran(t, "keygen", path)
	if status != exitDone || stdout != "" {
		t.Fatalf("status %d: %s%s", status, stdout, stderr)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := config.LoadClusterKeys(config.Flag("cluster-key-file", path))
	if err != nil || len(keys) != 1 {
		t.Fatalf("%x, %v", keys, err)
	}
	if !strings.Contains(stderr, fmt.Sprintf("%016x", peer.KeyPrint(keys[0]))) || strings.Contains(stderr, string(text[:8])) {
		t.Errorf("it says %s", stderr)
	}
	status, _, stderr = ran(t, "keygen", path)
	if again, _ := os.ReadFile(path); status != exitRefused || !strings.Contains(stderr, "never overwrites") || string(again) != string(text) {
		t.Errorf("a second time: status %d: %s", status, stderr)
	}
	status, stdout, _ = ran(t, "keygen")
	if more, err := config.ParseClusterKeys("stdout", stdout); status != exitDone || err != nil || more[0] == keys[0] {
		t.Errorf("without a file: status %d, %v", status, err)
	}
}

// keyFile writes a file with keys, in their order, and returns its flag.
func keyFile(t *testing.T, path string, keys ...[config.ClusterKeyBytes]byte) string {
	t.Helper()
	text := ""
	for _, key := range keys {
		text += keyLine(key)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "--cluster-key-file=" + path
}

// Goal: a key is replaced by three rolling restarts, as docs/operations.md says. No replica refuses
// another one at any time, and the cluster serves after each restart.
func TestClusterKeyRotation(t *testing.T) {
	p := newProcesses(t, 3)
	older, newer := newKey(), newKey()
	path := filepath.Join(t.TempDir(), "cluster.key")
	flag := keyFile(t, path, older)
	for i := range 3 {
		p.start(i, nil, flag)
	}
	c := p.client()
	accounts := uint64(1)
	makeAccount(t, c, accounts)
	for _, keys := range [][][config.ClusterKeyBytes]byte{{older, newer}, {newer, older}, {newer}} {
		keyFile(t, path, keys...)
		for i := range 3 {
			p.kill(i)
			said := p.replicas[i].said.String()
			p.start(i, nil, flag)
			p.awaitReady(i, true)
			want := fmt.Sprintf("cluster key: %016x", peer.KeyPrint(keys[0]))
			if len(keys) == 2 {
				want += fmt.Sprintf(", and %016x is accepted as well", peer.KeyPrint(keys[1]))
			}
			p.replicas[i].said.await(t, want)
			accounts++
			makeAccount(t, c, accounts)
			if strings.Contains(said, "refused") {
				t.Errorf("replica %d: a replica was refused: %s", i, said)
			}
		}
	}
	wantAccounts(t, c, int(accounts))
}
