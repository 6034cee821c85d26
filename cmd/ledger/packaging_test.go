package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ledger/client"
)

// refusedCalls in the environment lists numbers of system calls that the kernel refuses.
const refusedCalls = "LEDGER_TEST_REFUSED_CALLS"

// callNumbers are the numbers of all system calls of this machine, by name, as the module for them
// knows them.
func callNumbers(t *testing.T) map[string]uint64 {
	t.Helper()
	folder, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output()
	if err != nil {
		without(t, "finding the module of system calls", err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(folder)), "unix", "zsysnum_linux_"+runtime.GOARCH+".go"))
	if err != nil {
		without(t, "reading the numbers of system calls", err)
	}
	numbers := map[string]uint64{}
	for _, match := range regexp.MustCompile(`SYS_([A-Z0-9_]+) += ([0-9]+)`).FindAllStringSubmatch(string(text), -1) {
		number, err := strconv.ParseUint(match[2], 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		numbers[strings.ToLower(match[1])] = number
	}
	return numbers
}

// allowed are the names in the profile.
func allowed(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../packaging/seccomp.json")
	if err != nil {
		t.Fatal(err)
	}
	var profile struct {
		DefaultAction string
		Syscalls      []struct {
			Names  []string
			Action string
		}
	}
	if err := json.Unmarshal(text, &profile); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, group := range profile.Syscalls {
		for _, name := range group.Names {
			if names[name] || group.Action != "SCMP_ACT_ALLOW" {
				t.Errorf("%s is there twice, or not allowed", name)
			}
			names[name] = true
		}
	}
	if profile.DefaultAction != "SCMP_ACT_ERRNO" {
		t.Errorf("what the profile does not name is answered with %s", profile.DefaultAction)
	}
	return names
}

// Goal: a server to which the kernel refuses every call that the profile does not name formats,
// starts with io_uring, serves a client and its metrics, and stops.
func TestSeccompProfile(t *testing.T) {
	numbers, names := callNumbers(t), allowed(t)
	var refused []string
	for name, number := range numbers {
		if !names[name] {
			refused = append(refused, strconv.FormatUint(number, 10))
		}
	}
	if runtime.GOARCH == "amd64" {
		for name := range names {
			if _, isKnown := numbers[name]; !isKnown {
				t.Errorf("there is no system call %s", name)
			}
		}
	}
	if len(refused) < 150 {
		t.Fatalf("only %d calls are refused", len(refused))
	}
	environment := []string{refusedCalls + "=" + strings.Join(refused, ",")}
	path := filepath.Join(t.TempDir(), "0.data")
	status, _, stderr := ended(t, environment, "format", "--cluster=0", "--replica=0", "--replica-count=1", "--development", path)
	if status != exitDone {
		t.Fatalf("format: status %d: %s", status, stderr)
	}
	metrics := freeAddress(t)
	s := harnessIn(t, environment, path, "--metrics-address="+metrics)
	c, err := client.New(t.Context(), client.Options{Addresses: []string{"127.0.0.1:" + s.port}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.CreateAccounts(t.Context(), []client.Account{{ID: client.U128{Lo: 1}, Ledger: 1, Code: 1}}); err != nil {
		t.Fatal(err)
	}
	if status, stdout, stderr := ended(t, environment, "status", "--metrics="+metrics, "--interval=100ms"); status != exitDone {
		t.Errorf("status: status %d: %s%s", status, stdout, stderr)
	}
	s.signal(t, syscall.SIGTERM)
	if status := wait(t, s.Cmd); status != exitDone {
		t.Errorf("status %d: %s", status, s.stderr)
	}
	if strings.Contains(s.stderr.String(), "io_uring_") { // a warning names a call of it
		t.Errorf("io_uring does not work under the profile:\n%s", s.stderr)
	}
}

// Goal: systemd accepts the unit, with a program that is there, and all that the unit reads from
// its environment is in the file with the settings.
func TestUnit(t *testing.T) {
	text, err := os.ReadFile("../../packaging/systemd/ledger.service")
	if err != nil {
		t.Fatal(err)
	}
	settings, err := os.ReadFile("../../packaging/systemd/ledger.env")
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(`\$\{?(LEDGER_[A-Z_]+)`).FindAllStringSubmatch(string(text), -1) {
		if !strings.Contains(string(settings), "\n"+match[1]+"=") {
			t.Errorf("ledger.env does not have %s", match[1])
		}
	}
	for _, want := range []string{"Type=notify", "WatchdogSec=", "LimitMEMLOCK=infinity", "RestartPreventExitStatus=1 3 5 6"} {
		if !strings.Contains(string(text), "\n"+want) {
			t.Errorf("the unit does not have %s", want)
		}
	}
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		without(t, "checking the unit", err)
	}
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	unit := strings.ReplaceAll(string(text), "/usr/bin/ledger", own)
	unit = strings.ReplaceAll(unit, "Documentation=man:ledger(1)\n", "")
	path := filepath.Join(t.TempDir(), "ledger.service")
	if err := os.WriteFile(path, []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-analyze", "verify", path).CombinedOutput()
	if err != nil || strings.Contains(string(out), "ledger.service") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// Goal: the unit formats the missing file of a single server. It never formats that of one of
// several replicas, which may be lost or not mounted: the start is refused with the way out.
func TestUnitFormats(t *testing.T) {
	text, err := os.ReadFile("../../packaging/systemd/ledger.service")
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`(?m)^ExecStartPre=/bin/sh -c '(.*)'$`).FindStringSubmatch(string(text))
	if match == nil {
		t.Fatal("the unit has no ExecStartPre")
	}
	script := strings.ReplaceAll(match[1], "/usr/bin/ledger", "echo ledger") // a program of its own: exec needs one
	script = strings.ReplaceAll(script, "exec echo", "exec /bin/echo")
	there, missing := filepath.Join(t.TempDir(), "0.data"), filepath.Join(t.TempDir(), "1.data")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, file, count string
		status            int
		want              string
	}{
		{"a file that is there", there, "3", 0, ""},
		{"a single server", missing, "1", 0, "ledger format --cluster=7 --replica=0 --replica-count=1 --clients-max=64 " + missing + "\n"},
		{"one of three", missing, "3", 1, "do not format another one"},
	} {
		command := exec.Command("/bin/sh", "-c", script)
		command.Env = []string{"LEDGER_FILE=" + c.file, "LEDGER_REPLICA_COUNT=" + c.count, "LEDGER_CLUSTER=7", "LEDGER_REPLICA=0",
			"LEDGER_CLIENTS_MAX=64"}
		out, _ := command.CombinedOutput()
		if command.ProcessState.ExitCode() != c.status || !strings.Contains(string(out), c.want) || c.want == "" && len(out) > 0 {
			t.Errorf("%s: status %d, %q; want %d, %q", c.name, command.ProcessState.ExitCode(), out, c.status, c.want)
		}
	}
}
