//go:build !planted

package vsr

import (
	"os/exec"
	"path/filepath"
	"testing"

	"ledger/internal/mutate"
)

// Goal: the tests of this package can fail. Each bug of testdata/bugs is planted in copies of the
// source files that only the compiler of this test sees, and the test that the list names has to
// find it, for the reason that the list gives.
func TestPlantedBugs(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the package once more, and runs its tests for each bug")
	}
	bugs, err := mutate.Read("testdata/bugs")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	list, err := mutate.Overlay("..", folder, bugs, "ledger/sim/planted")
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(folder, "vsr.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", list, "-tags", "planted", "-vet=off", "-o", binary, ".")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	for _, bug := range bugs {
		output, err := exec.CommandContext(t.Context(), binary, "-test.run", "^"+bug.Effort+"$", "-bug", bug.Name).CombinedOutput()
		if err == nil || !bug.Reason.Match(output) {
			t.Errorf("not found: %s: %v, want a failure that matches %q; the output:\n%s", bug.Name, err, bug.Reason, output)
		}
	}
}
