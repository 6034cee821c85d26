package freeset

import (
	"testing"

	"ledger/limits"
	"ledger/storage/datafile"
)

// The zones before the grid count: the last block ends within the storage limit, and one more would
// not.
func TestAddressesMaxCountsTheZones(t *testing.T) {
	l := limits.Production()
	l.StorageBytesMax = 2 << 30
	gridAt, block := datafile.NewLayout(&l).GridAt, uint64(l.BlockBytes)
	end := gridAt + AddressesMax(l)*block
	if end > l.StorageBytesMax || end+block <= l.StorageBytesMax {
		t.Fatalf("the last block ends at %d, the limit is %d", end, l.StorageBytesMax)
	}

}
