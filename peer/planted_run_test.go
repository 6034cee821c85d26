//go:build planted

package peer

import (
	"flag"
	"os"
	"testing"

	"ledger/sim/planted"
)

// TestMain runs in the build that TestPlantedBugs makes, with one of the bugs. The properties draw
// the same numbers in each run, and keep no files of what a bug breaks.
func TestMain(m *testing.M) {
	flag.StringVar(&planted.Name, "bug", "", "the planted bug that is there; empty: none")
	flag.Parse()
	for name, value := range map[string]string{"rapid.nofailfile": "true", "rapid.seed": "1", "rapid.checks": "1000"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
