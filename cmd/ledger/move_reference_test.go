package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// referenceBinary in the environment is the path of the reference's program, which is not part of
// this repository.
const referenceBinary = "LEDGER_REFERENCE"

// Goal: a million transfers, of which a third is pending and expires, are moved live from the
// reference, and every balance is the same.
func TestMoveReference(t *testing.T) {
	program := os.Getenv(referenceBinary)
	if program == "" {
		t.Skipf("%s does not name the reference's program", referenceBinary)
	}
	data, address := filepath.Join(t.TempDir(), "0_0.tigerbeetle"), freeAddress(t)
	formatting := exec.Command(program, "format", "--cluster=0", "--replica=0", "--replica-count=1", "--development", data)
	if out, err := formatting.CombinedOutput(); err != nil {
		t.Fatalf("format: %v\n%s", err, out)
	}
	reference := exec.Command(program, "start", "--addresses="+address, "--development", data)
	var said bytes.Buffer
	reference.Stderr = &said
	if err := reference.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = reference.Process.Kill()
		_ = reference.Wait()
	})
	for deadline := time.Now().Add(endsWithin); ; time.Sleep(10 * time.Millisecond) {
		if status, _, _ := ended(t, nil, "ping", "--addresses="+address, "--cluster=0"); status == exitDone {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the reference does not serve: %s", said.String())
		}
	}
	to := harness(t, formatted(t))
	for _, one := range []struct {
		arguments []string
		want      string
	}{
		{[]string{"benchmark", "--addresses=" + address, "--transfer-count=1000000", "--transfer-pending", "--transfer-batch-count=253",
			"--account-batch-count=253", "--query-count=0"}, "load accepted"},
		{[]string{"import", "--addresses=" + to.port, "--from=" + address}, "balances: 10000 accounts compared, 0 differences\n"},
	} {
		process, began := command(nil, one.arguments...), time.Now()
		out, err := process.Output()
		if err != nil || !strings.Contains(string(out), one.want) {
			t.Fatalf("%s: %v\n%s", one.arguments, err, out)
		}
		usage := process.ProcessState.SysUsage().(*syscall.Rusage)
		t.Logf("%s took %.1f s, %.1f s of the processor, and %d MiB of memory at most:\n%s", one.arguments[0], time.Since(began).Seconds(),
			(process.ProcessState.UserTime() + process.ProcessState.SystemTime()).Seconds(), usage.Maxrss>>10, out)
	}
}
