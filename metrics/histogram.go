package metrics

import "math/bits"

const (
	cellsPerOctaveLog = 3 // 8 cells from one power of two to the next
	valueBitsMax      = 40

	// CellsCount of a histogram.
	CellsCount = (valueBitsMax-cellsPerOctaveLog)<<cellsPerOctaveLog + 1<<cellsPerOctaveLog
	// valueMax is the first value that no longer has a cell of its own: 18 minutes, in nanoseconds.
	valueMax = 1 << valueBitsMax
)

var _ [304]struct{} = [CellsCount]struct{}{} // the size for which memory is calculated

// Histogram counts values in cells that are an eighth of an octave wide; below 16 each value has a
// cell. The zero value is empty. It belongs to one thread; others get copies.
type Histogram struct {
	Cells [CellsCount]uint64
	Sum   uint64
	Max   uint64
}

// Record counts value.
func (h *Histogram) Record(value uint64) {
	// The bits below the highest four do not choose the cell.
	shift := uint(bits.Len64(value|1<<cellsPerOctaveLog)) - cellsPerOctaveLog - 1
	cell := uint64(shift)<<cellsPerOctaveLog + value>>shift
	h.Cells[min(cell, CellsCount-1)]++
	h.Sum += value
	h.Max = max(h.Max, value)
}

// Count is the number of values recorded.
func (h *Histogram) Count() (count uint64) {
	for _, n := range h.Cells {
		count += n
	}
	return count
}

// CellMax is the largest value of a cell. For the last cell, it is the largest value that is not
// shared.
func CellMax(cell int) uint64 {
	if cell < 2<<cellsPerOctaveLog {
		return uint64(cell)
	}
	shift := cell>>cellsPerOctaveLog - 1
	return (uint64(cell&(1<<cellsPerOctaveLog-1)|1<<cellsPerOctaveLog)+1)<<shift - 1
}

// Quantile returns a value that a part (0 to 1) of all values does not exceed. It is at most an
// eighth too large. It returns 0 if there are no values.
func (h *Histogram) Quantile(part float64) uint64 {
	count := h.Count()
	if count == 0 {
		return 0
	}
	rank := max(1, uint64(part*float64(count)+0.5))
	seen := uint64(0)
	for cell, n := range h.Cells {
		if seen += n; seen >= rank {
			if cell == CellsCount-1 {
				break
			}
			return min(CellMax(cell), h.Max)
		}
	}
	return h.Max
}

// Mean of the values, 0 if there are none.
func (h *Histogram) Mean() float64 {
	if count := h.Count(); count > 0 {
		return float64(h.Sum) / float64(count)
	}
	return 0
}

// CumulativeAt fills out with the number of values in cells that end at or below each of the
// ascending bounds. If a bound is the CellMax of a cell that is not the last one, this is the exact
// number of values up to the bound.
func (h *Histogram) CumulativeAt(bounds []uint64, out []uint64) {
	cell, count := 0, uint64(0)
	for i, bound := range bounds {
		for ; cell < CellsCount-1 && CellMax(cell) <= bound; cell++ {
			count += h.Cells[cell]
		}
		out[i] = count
	}
}
