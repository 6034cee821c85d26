package query

import (
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/storage"
)

// near draws a value near an edge of the arithmetic: the wanted one, one bit beside it, 0, or any.
func near(number, wanted uint64, bit uint) uint64 {
	switch number % 8 {
	case 0:
		return wanted
	case 1:
		return wanted ^ 1<<bit
	case 2:
		return wanted - 1
	case 3:
		return wanted + 1
	case 4:
		return 0
	case 5:
		return wanted ^ 1<<63
	}
	return number
}

// Goal: the rows of a block that have a value are found by every kind of column, as a plain
// comparison finds them, in whole blocks and in the last one: none, one, many, at any place, beside
// values that differ in one bit, by one, or in one half.
func TestEqualRowsAtEdges(t *testing.T) {
	random := seeded.Rand(t)
	const rows = 3*blockRows + 17
	for range 3000 {
		value := accounting.U128{Lo: near(random.Uint64(), random.Uint64(), 3), Hi: near(random.Uint64(), 0, 5)}
		narrow, numbers, wide := make([]uint32, rows), make([]uint64, rows), make([]accounting.U128, rows)
		rare := random.IntN(3) > 0 // most rows are far from the value
		for i := range rows {
			number := random.Uint64()
			if rare && random.IntN(40) > 0 {
				number = number&^7 | 6
			}
			narrow[i] = uint32(near(number, uint64(uint32(value.Lo)), uint(random.IntN(32))))
			numbers[i] = near(number, value.Lo, uint(random.IntN(64)))
			wide[i] = accounting.U128{Lo: near(number, value.Lo, uint(random.IntN(64))), Hi: near(random.Uint64(), value.Hi, uint(random.IntN(64)))}
		}
		for first := uint32(0); first < rows; first += blockRows {
			count := min(blockRows, rows-first)
			want := [3]uint64{}
			for i := range count {
				for kind, equal := range [3]bool{narrow[first+i] == uint32(value.Lo), numbers[first+i] == value.Lo, wide[first+i] == value} {
					if equal {
						want[kind] |= 1 << i
					}
				}
			}
			for kind, columns := range [3]storage.Columns{{Narrow: narrow}, {Numbers: numbers}, {Wide: wide}} {
				if got := equalRows(&columns, first, count, &value); got != want[kind] {
					t.Fatalf("kind %d, block at %d: rows %x, want %x, for %v", kind, first, got, want[kind], value)
				}
			}
		}
	}
}

// BenchmarkEqualRows compares blocks of which none has the value.
func BenchmarkEqualRows(b *testing.B) {
	const rows = 1 << 16
	for _, kind := range []struct {
		name    string
		columns storage.Columns
	}{
		{"narrow", storage.Columns{Narrow: make([]uint32, rows)}},
		{"numbers", storage.Columns{Numbers: make([]uint64, rows)}},
		{"wide", storage.Columns{Wide: make([]accounting.U128, rows)}},
	} {
		b.Run(kind.name, func(b *testing.B) {
			value := accounting.U128{Lo: 77}
			for b.Loop() {
				for first := uint32(0); first < rows; first += blockRows {
					if equalRows(&kind.columns, first, blockRows, &value) != 0 {
						b.Fatal("a row has the value")
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
		})
	}
}
