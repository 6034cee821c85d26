//go:build !planted

package journal

import (
	"testing"

	"ledger/internal/mutate"
)

// Goal: the tests of this package can fail: they find each bug of testdata/bugs.
func TestPlantedBugs(t *testing.T) { mutate.Hunt(t, "../..") }
