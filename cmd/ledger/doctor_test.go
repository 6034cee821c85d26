package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"ledger/doctor"
)

// states of the checks of a run, as JSON says them.
func states(t *testing.T, want int, arguments ...string) map[string]doctor.Result {
	t.Helper()
	status, stdout, stderr := ran(t, append([]string{"doctor", "--json", "--timeout=500ms"}, arguments...)...)
	var report doctorReport
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || status != want {
		t.Fatalf("status %d, want %d, %v:\n%s%s", status, want, err, stdout, stderr)
	}
	results := map[string]doctor.Result{}
	for _, r := range report.Checks {
		results[r.Check] = r
	}
	return results
}

// Goal: doctor finds a real file and server in order, and says what is wrong with them when the
// server is gone, another cluster is named, and the file is damaged or open to others. The machine
// of the test may lack things; that does not count here.
func TestDoctor(t *testing.T) {
	metrics := freeAddress(t)
	path := formatted(t)
	s := harness(t, path, "--metrics-address="+metrics)
	server := "127.0.0.1:" + s.port
	expect := func(results map[string]doctor.Result, state doctor.State, names ...string) {
		t.Helper()
		for _, name := range names {
			if results[name].State != state {
				t.Errorf("want %s: %+v", state, results[name])
			}
		}
	}
	addresses, metricsFlag := "--addresses="+server, "--metrics="+metrics
	status, stdout, _ := ran(t, "doctor", addresses, metricsFlag, path)
	if status != exitDone && status != exitFailure {
		t.Errorf("status %d:\n%s", status, stdout)
	}
	for _, want := range []string{"ok       reachable         a server listens", "file_lock         process ",
		"warning  batch_limit       requests hold 32 KiB"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("does not say %q:\n%s", want, stdout)
		}
	}
	results := states(t, status, addresses, metricsFlag, path)
	expect(results, doctor.OK, "file_format", "file_permissions", "file_owner", "file_lock", "names", "ports", "reachable", "cluster",
		"release", "primary", "replicas", "metrics", "sessions")
	expect(states(t, exitFailure, addresses, "--cluster=9"), doctor.Failure, "cluster")
	expect(states(t, exitFailure, "--addresses="+freeAddress(t), path), doctor.Failure, "reachable", "file_lock")
	expect(states(t, exitFailure, metricsFlag[:len("--metrics=")]+freeAddress(t)), doctor.Failure, "metrics")
	expect(states(t, exitFailure, "--addresses="+metrics), doctor.Failure, "reachable", "ports")
	expect(states(t, exitFailure, path+".none"), doctor.Failure, "file_format")

	if err := s.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.Wait() // killed
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	edit(t, path, func(file *os.File) {
		if _, err := file.WriteAt(make([]byte, 4*24<<10), 0); err != nil {
			t.Fatal(err)
		}
	})
	results = states(t, exitFailure, path)
	expect(results, doctor.Failure, "file_format")
	expect(results, doctor.Warning, "file_permissions")
	if status, _, stderr := ran(t, "doctor", path); status != exitFailure || strings.Count(stderr, "\n") != 1 {
		t.Errorf("status %d: %s", status, stderr)
	}
}
