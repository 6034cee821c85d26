package mutate

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// Hunt plants the bugs of a list, one at a time, in the package of the running test. The effort of
// a bug is the test that has to find it, for the reason that the list gives. root is the root of
// the module. The package's tests set planted.Name from a flag -bug, in a file with the tag
// planted.
func Hunt(t *testing.T, root, list string) {
	t.Helper()
	bugs, err := Read(list)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	overlay, err := Overlay(root, folder, bugs, "ledger/sim/planted")
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(folder, "package.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", overlay, "-tags", "planted", "-vet=off", "-o", binary, ".")
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
