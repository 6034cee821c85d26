package replica

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/internal/portstest"
)

const refusedEnvironment = "LEDGER_TEST_REFUSED"

// Goal: a server in a sandbox that refuses one of io_uring's system calls starts on plain system
// calls, with a warning that names the call, and serves; with --io=uring it refuses to start. The
// filter binds all threads of a child.
func TestStartWithRefusedCalls(t *testing.T) {
	calls := map[string]uintptr{
		"io_uring_setup": unix.SYS_IO_URING_SETUP, "io_uring_register": unix.SYS_IO_URING_REGISTER, "io_uring_enter": unix.SYS_IO_URING_ENTER,
	}
	if name := os.Getenv(refusedEnvironment); name != "" {
		if err := portstest.RefuseCalls(unix.EPERM, true, portstest.Refusal{Call: calls[name]}); err != nil {
			t.Fatal(err)
		}
		l := shapes()["development"]
		path := formatted(t, l)
		if r, err := opened(t, path, l, IOUring); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("with --io=uring: %v, error %v, want one that names %s", r, err, name)
		}
		server := started(t, path, l, IOAuto)
		if server.server.kindUsed != IOPosix {
			t.Errorf("the kind used is %v, want plain system calls", server.server.kindUsed)
		}
		warnings := strings.Join(server.server.Warnings(), "\n")
		if !strings.Contains(warnings, name) || !strings.Contains(warnings, "plain system calls") {
			t.Errorf("warnings %q do not name %s and what is used instead", warnings, name)
		}
		return
	}
	for name := range calls {
		child := exec.Command(os.Args[0], "-test.run=^TestStartWithRefusedCalls$")
		child.Env = append(os.Environ(), refusedEnvironment+"="+name)
		if output, err := child.CombinedOutput(); err != nil || !strings.Contains(string(output), "PASS") {
			t.Errorf("%s: %v\n%s", name, err, output)
		}
	}
}
