package mutate

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// Find plants each bug of testdata/bugs in copies of the source files that only the compiler of
// this test sees. The test of the caller's package that the list names as the effort has to find
// the bug, for the reason that the list gives; and without a bug it has to pass. In a build with
// the tag "planted", the package's TestMain sets planted.Name from the flag -bug.
//
// root: of the module, from the folder of the package.
func Find(t *testing.T, root string) {
	if testing.Short() {
		t.Skip("builds the package once more, and runs its tests for each bug")
	}
	bugs, err := Read("testdata/bugs")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	list, err := Overlay(root, folder, bugs, "ledger/sim/planted")
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(folder, "package.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", list, "-tags", "planted", "-vet=off", "-o", binary, ".")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	run := func(test, bug string) (string, error) {
		output, err := exec.CommandContext(t.Context(), binary, "-test.run", "^"+test+"$", "-bug", bug).CombinedOutput()
		return string(output), err
	}
	passes := map[string]bool{}
	for _, bug := range bugs {
		if output, err := run(bug.Effort, bug.Name); err == nil || !bug.Reason.MatchString(output) {
			t.Errorf("not found: %s: %v, want a failure that matches %q; the output:\n%s", bug.Name, err, bug.Reason, output)
		}
		if passes[bug.Effort] {
			continue
		}
		passes[bug.Effort] = true
		if output, err := run(bug.Effort, ""); err != nil {
			t.Errorf("%s fails without a bug: %v\n%s", bug.Effort, err, output)
		}
	}
}
