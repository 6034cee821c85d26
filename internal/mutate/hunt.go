package mutate

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"ledger/internal/seeded"
)

// All is the environment variable with which a run plants all bugs of a list ("1": make planted).
const All = "LEDGER_PLANTED_ALL"

// turns is the number of commits that it takes, on average, until each bug was hunted.
const turns = 4

// Turn returns the bugs that this run plants: a quarter of them, which the seed of the code
// chooses. Bugs are planted to show what the tests can find, which few commits change, and all of
// them take longer than all other tests of their packages.
func Turn(t *testing.T, bugs []Bug) []Bug {
	t.Helper()
	if os.Getenv(All) != "" {
		return bugs
	}
	var chosen []Bug
	for i := int(seeded.First() % turns); i < len(bugs); i += turns {
		chosen = append(chosen, bugs[i])
	}
	t.Logf("%d of %d bugs; all: %s=1", len(chosen), len(bugs), All)
	return chosen
}

// Hunt plants each bug of testdata/bugs in copies of the source files that only the compiler of
// this test sees. The test of the caller's package that the list names as the effort has to find
// the bug, for the reason that the list gives; and without a bug it has to pass. In a build with
// the tag "planted", the package's TestMain sets planted.Name from the flag -bug. One run takes its
// turn of the list; see Turn.
//
// root: of the module, from the folder of the package.
func Hunt(t *testing.T, root string) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the package once more, and runs its tests for each bug")
	}
	bugs, err := Read("testdata/bugs")
	if err != nil {
		t.Fatal(err)
	}
	for i := range bugs { // no bug may need another one, which another commit does not plant with it
		if _, err := Overlay(root, t.TempDir(), bugs[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	bugs = Turn(t, bugs)
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
	run := func(test, bug string) (output []byte, err error) {
		start := time.Now()
		command := exec.CommandContext(t.Context(), binary, "-test.run", "^"+test+"$", "-bug", bug)
		command.Env = append(os.Environ(), seeded.Environment+"=1") // what finds a bug today finds it in the next commit
		output, err = command.CombinedOutput()
		t.Logf("%.1f s for %s by %s", time.Since(start).Seconds(), bug, test)
		return output, err
	}
	// Each bug has a process of its own, so as many as there are cores go side by side.
	var hunts sync.WaitGroup
	cores := make(chan struct{}, runtime.GOMAXPROCS(0))
	hunt := func(one func()) {
		cores <- struct{}{}
		hunts.Go(func() {
			defer func() { <-cores }()
			one()
		})
	}
	passes := map[string]bool{}
	for _, bug := range bugs {
		hunt(func() {
			if output, err := run(bug.Effort, bug.Name); err == nil || !bug.Reason.Match(output) {
				t.Errorf("not found: %s: %v, want a failure that matches %q; the output:\n%s", bug.Name, err, bug.Reason, output)
			}
		})
		// A part of a test, as TestX/part, need not pass alone: TestX may judge what all parts have met.
		if passes[bug.Effort] || strings.Contains(bug.Effort, "/") {
			continue
		}
		passes[bug.Effort] = true
		hunt(func() {
			if output, err := run(bug.Effort, ""); err != nil {
				t.Errorf("%s fails without a bug: %v\n%s", bug.Effort, err, output)
			}
		})
	}
	hunts.Wait()
}
