package rowlog

import (
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"ledger/accounting"
	"ledger/limits"
	"ledger/storage/block"
)

// The bytes of row blocks do not change by accident: a change is a new encoder number, and the old
// one is read for ever.
func TestFormatIsFixed(t *testing.T) {
	const want = "01c83d3bbaf13b640e1e94bab992b990"
	s := ShapeOf(limits.Production())
	rng := rand.New(rand.NewPCG(1, 2))
	var rows []accounting.TransferRow
	var last accounting.TransferRow
	for i := range uint64(2000) {
		row := typical(rng, i)
		if i < 1000 {
			row = anyRow(rng, &last)
		} else {
			row.Transfer.Timestamp += last.Transfer.Timestamp
		}
		rows = append(rows, row)
		if i < 1000 {
			last = row
		}
	}
	tables, _ := pack(&s, 77, rows)
	var all []byte
	for _, table := range tables {
		all = append(all, table.Checksum[:]...)
	}
	sum := block.Checksum(all)
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("the blocks' checksum is %s, want %s", got, want)
	}
}
