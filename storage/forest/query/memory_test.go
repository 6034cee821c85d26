package query

import (
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/storage"
)

// Goal: a block of rows is compared as row by row, for each width of a column, with and without
// rows that have no value, and for a last block that is not full.
func TestEqualRows(t *testing.T) {
	random := seeded.Rand(t)
	for range 2000 {
		count := uint32(1 + random.IntN(4*blockRows))
		width, gaps := random.IntN(3), random.IntN(2) == 0
		var c storage.Columns
		values := make([]accounting.U128, count) // zero for none
		for row := range values {
			value := accounting.U128{Lo: 1 + random.Uint64N(3)}
			if width == 2 && random.IntN(2) == 0 {
				value.Hi = random.Uint64N(2) << 63
			}
			if width == 1 && random.IntN(3) == 0 {
				value.Lo |= 1 << 40
			}
			if gaps && random.IntN(3) == 0 {
				continue
			}
			values[row] = value
			if gaps {
				c.Rows = append(c.Rows, uint32(row))
			}
			switch width {
			case 0:
				c.Narrow = append(c.Narrow, uint32(value.Lo))
			case 1:
				c.Numbers = append(c.Numbers, value.Lo)
			default:
				c.Wide = append(c.Wide, value)
			}
		}
		if gaps && c.Rows == nil {
			continue // no row has a value: a scan has no column then
		}
		wanted := accounting.U128{Lo: 1 + random.Uint64N(3)}
		if width == 2 && random.IntN(3) == 0 {
			wanted.Hi = 1 << 63
		}
		for first := uint32(0); first < count; first += blockRows {
			size := min(blockRows, count-first)
			mask := equalRows(&c, first, size, &wanted)
			for i := range size {
				if got, want := mask>>i&1 == 1, values[first+i] == wanted; got != want {
					t.Fatalf("row %d of %d, width %d, gaps %v: %v, want %v", first+i, count, width, gaps, got, want)
				}
			}
			if size < blockRows && mask>>size != 0 {
				t.Fatalf("rows behind the last are equal: %x", mask)
			}
		}
	}
}
