package cluster

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"ledger/interop/server"
)

// The rule that a wrong server has different: it books one too much, for one transfer in a hundred.
const (
	rightRule = "		debit.DebitsPosted, credit.CreditsPosted = debitsPosted, creditsPosted\n"
	wrongRule = rightRule + "		if timestamp%100 == 0 {\n			debit.DebitsPosted, _ = debitsPosted.Add(U128{Lo: 1})\n		}\n"
)

// wrongBinary is a server that computes something else than the others.
func wrongBinary(t *testing.T) string {
	t.Helper()
	_, source, _, _ := runtime.Caller(0)
	root, folder := filepath.Join(filepath.Dir(source), "..", ".."), t.TempDir()
	original := filepath.Join(root, "accounting", "transfers.go")
	text, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), rightRule) != 1 {
		t.Fatalf("%s does not have this line once: %s", original, rightRule)
	}
	changed, overlay := filepath.Join(folder, "transfers.go"), filepath.Join(folder, "overlay.json")
	replaced, _ := json.Marshal(map[string]map[string]string{"Replace": {original: changed}})
	for name, content := range map[string][]byte{
		changed: []byte(strings.Replace(string(text), rightRule, wrongRule, 1)), overlay: replaced,
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(folder, "ledger")
	command := exec.Command("go", "build", "-overlay="+overlay, "-ldflags=-checklinkname=0", "-o", path, "./cmd/ledger")
	command.Dir, command.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("building a server that computes something else: %v\n%s", err, output)
	}
	return path
}

// TestWrongReplica runs a backup that computes something else than the others. It has to find out
// at a checkpoint, stop with a status and say why. The others go on, and their data is right.
func TestWrongReplica(t *testing.T) {
	isLong(t)
	wrong := wrongBinary(t)
	right := filepath.Join(t.TempDir(), "ledger") // a link, so that one start can have another server
	target := server.Binary(t)
	use := func(binary string) {
		_ = os.Remove(right)
		if err := os.Symlink(binary, right); err != nil {
			t.Fatal(err)
		}
	}
	use(target)
	g := newGroup(t, options{binary: right})
	r := &rotting{T: t, g: g, p: newProbe(t, g), l: newLoad(t, g, 4)}
	backup := (r.p.primary(g) + 1) % replicas
	g.kill(backup)
	use(wrong)
	g.start(backup)
	use(target)
	g.awaitCaughtUp(backup)
	r.p.hurry(true)
	begun := time.Now()
	r.l.begin(100, 0)
	g.await("the backup stops", func() bool {
		g.alive(backup)
		return !g.processes[backup].Running()
	})
	status, err := g.processes[backup].Ended(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if status != statusDisk || !r.says("a majority of the replicas has another one") {
		t.Errorf("the backup ended with status %d, want %d and the reason: %s", status, statusDisk, g.files[backup].LogTail(1))
	}
	op := g.newest().commit
	r.l.awaitCalls(g, 8, backup)
	r.l.end()
	r.l.audit()
	r.p.hurry(false)
	r.row("a backup computes something else", begun, "it stopped by op %d with status %d; 0 lost, balances right", op, status)
}
