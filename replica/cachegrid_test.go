package replica

import (
	"strings"
	"testing"

	"ledger/limits"
)

// Goal: a production start with a grid cache below the size that is enough warns and names both
// sizes; with that size, and by default, it does not, and --development never does.
// TestCacheGridBytesEnough (package forest) has the reason for the size.
func TestCacheGridSmall(t *testing.T) {
	l := limits.Production()
	if warning := cacheGridSmall(&l); warning != "" {
		t.Errorf("by default: %q", warning)
	}
	development := limits.Development()
	development.CacheGridBytes = 8 << 20
	if warning := cacheGridSmall(&development); warning != "" {
		t.Errorf("with --development: %q", warning)
	}
	l.JournalSlotsCount, l.CacheGridBytes, l.CacheAccountsMax = 256, 8<<20, 1<<16
	r, err := opened(t, formatted(t, l), l, IOPosix)
	if err != nil {
		t.Fatal(err)
	}
	defer r.file.Close()
	defer r.server.Close()
	said := strings.Join(r.server.Warnings(), "\n")
	if !strings.Contains(said, "--cache-grid: 8 MiB are too small for full batches") || !strings.Contains(said, "; 1024 MiB are enough") {
		t.Errorf("the start says: %q", said)
	}
}
