//go:build !planted

package peer

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"ledger/internal/seeded"
)

// TestMain gives the properties the seed of the other random tests.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("rapid.seed"); f.Value.String() == "0" {
		if err := f.Value.Set(fmt.Sprint(seeded.First())); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
