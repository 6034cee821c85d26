//go:build planted

package compact

import (
	"flag"
	"os"
	"testing"

	"ledger/sim/planted"
)

// TestMain runs in the build that TestPlantedBugs makes, with one of the bugs.
func TestMain(m *testing.M) {
	flag.StringVar(&planted.Name, "bug", "", "the planted bug that is there; empty: none")
	flag.Parse()
	os.Exit(m.Run())
}
