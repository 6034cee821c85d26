//go:build !planted

package sim

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"ledger/internal/mutate"
)

// plantedRaceWithin is how long the build and the run of one planted race may take together.
const plantedRaceWithin = 8 * time.Minute

// Goal: the race detector sees what the stages share. Each race of testdata/races is planted in a
// copy of the source, and a test that `make race` runs as well has to report it.
func TestPlantedRaces(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the server once more, with the race detector")
	}
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("the race detector needs a C compiler")
	}
	bugs, err := mutate.Read("testdata/races")
	if err != nil {
		t.Fatal(err)
	}
	for _, bug := range bugs {
		list, err := mutate.Overlay("..", t.TempDir(), []mutate.Bug{bug})
		if err != nil {
			t.Fatal(err)
		}
		folder, name, _ := strings.Cut(bug.Effort, " ")
		ctx, cancel := context.WithTimeout(t.Context(), plantedRaceWithin)
		command := exec.CommandContext(ctx, "go", "test", "-race", "-overlay", list, "-vet=off", "-count=1", "-run", "^"+name+"$", folder)
		command.Dir = ".."
		output, err := command.CombinedOutput()
		cancel()
		if err == nil || !bug.Reason.Match(output) {
			t.Errorf("not found: %s: %v, want a failure that matches %q; the output:\n%s", bug.Name, err, bug.Reason, output)
		}
	}
}
