//go:build !planted

package vsr

import (
	"testing"

	"ledger/internal/mutate"
)

// Goal: the tests of this package can fail: each bug of testdata/bugs is found, by the test and for
// the reason that stand there.
func TestPlantedBugs(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the package once more, and runs its tests for each bug")
	}
	mutate.Hunt(t, "..")
}
