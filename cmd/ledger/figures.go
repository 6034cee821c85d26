package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"ledger/admin"
)

// figures are two looks at a server. Rates and shares are those of the time between them; what
// counts since the start is left out of both.
type figures struct {
	then, now *admin.Status
}

// newFigures leaves the first look out if the server was started again since then.
func newFigures(then, now *admin.Status) *figures {
	if then != nil && (then.UpNs >= now.UpNs || len(then.Threads) != len(now.Threads) || len(then.Stages) != len(now.Stages) ||
		len(then.Disk) != len(now.Disk)) {
		then = nil
	}
	return &figures{then: then, now: now}
}

// seconds between the two looks, by the server's clock; 0 if there is only one.
func (f *figures) seconds() float64 {
	if f.then == nil {
		return 0
	}
	return float64(f.now.UpNs-f.then.UpNs) / 1e9
}

// perSecond is the rate of a counter.
func (f *figures) perSecond(counter func(s *admin.Status) uint64) float64 {
	seconds := f.seconds()
	if seconds == 0 {
		return 0
	}
	now, then := counter(f.now), counter(f.then)
	return float64(now-min(then, now)) / seconds
}

// column of a table.
type column struct {
	name   string
	isText bool // else a number, which sorts from the largest to the smallest
}

// cell of a table: what is shown, and a number to sort by.
type cell struct {
	text  string
	value float64
}

func textCell(text string) cell { return cell{text: text} }
func countCell(value uint64) cell {
	return cell{text: fmt.Sprint(value), value: float64(value)}
}
func rateCell(value float64) cell     { return cell{shortNumber(value), value} }
func shareCell(part float64) cell     { return cell{fmt.Sprintf("%.1f%%", 100*part), part} }
func timeCell(ns uint64) cell         { return cell{shortTime(ns), float64(ns)} }
func bytesCell(bytes float64) cell    { return cell{shortBytes(bytes), bytes} }
func (c cell) compare(other cell) int { return cmp.Compare(c.value, other.value) }

// table is one part of the state.
type table struct {
	name    string
	columns []column
	rows    [][]cell
}

// sortBy sorts by a column; numbers from the largest, texts from the first. What is equal keeps its
// order.
func (t *table) sortBy(index int, reverse bool) {
	if index < 0 || index >= len(t.columns) {
		return
	}
	slices.SortStableFunc(t.rows, func(a, b []cell) int {
		order := b[index].compare(a[index])
		if t.columns[index].isText {
			order = strings.Compare(a[index].text, b[index].text)
		}
		if reverse {
			order = -order
		}
		return order
	})
}

// lines writes the table in at most width columns: the first column gives way, then what does not
// fit is cut. sorted is the column whose name is marked; -1: none.
func (t *table) lines(width, sorted int) []string {
	widths := make([]int, len(t.columns))
	name := func(i int) string {
		if i == sorted {
			return t.columns[i].name + "*"
		}
		return t.columns[i].name
	}
	for i := range t.columns {
		widths[i] = len(name(i))
		for _, row := range t.rows {
			widths[i] = max(widths[i], len(row[i].text))
		}
	}
	all := 2 * (len(widths) - 1)
	for _, w := range widths {
		all += w
	}
	widths[0] = max(len(name(0)), widths[0]-max(0, all-width))
	line := func(texts func(i int) string) string {
		var b strings.Builder
		for i, w := range widths {
			text := texts(i)
			if len(text) > w {
				text = text[:w]
			}
			if i > 0 {
				b.WriteString("  ")
			}
			if t.columns[i].isText {
				fmt.Fprintf(&b, "%-*s", w, text)
			} else {
				fmt.Fprintf(&b, "%*s", w, text)
			}
		}
		return cut(strings.TrimRight(b.String(), " "), width)
	}
	out := []string{line(name)}
	for _, row := range t.rows {
		out = append(out, line(func(i int) string { return row[i].text }))
	}
	return out
}

func cut(line string, width int) string {
	if len(line) > width {
		return line[:width]
	}
	return line
}

// shortNumber has four digits or so.
func shortNumber(value float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e4, "k"}} {
		if value >= unit.size {
			if unit.name == "k" {
				unit.size = 1e3
			}
			return fmt.Sprintf("%.1f%s", value/unit.size, unit.name)
		}
	}
	if value < 10 && value != float64(int64(value)) {
		return fmt.Sprintf("%.1f", value)
	}
	return fmt.Sprintf("%.0f", value)
}

func shortBytes(bytes float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if bytes >= unit.size {
			return fmt.Sprintf("%.1f %s", bytes/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%.0f B", bytes)
}

// shortTime has three digits or so.
func shortTime(ns uint64) string {
	d := time.Duration(ns)
	for unit := time.Nanosecond; unit < time.Second; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit).String()
		}
	}
	return d.Round(time.Second / 10).String()
}

// quantiles of the times that were recorded between the two looks.
type quantiles struct {
	count         uint64
	sumNs         uint64
	p50, p99, max uint64
}

// between subtracts the cells of two looks at a histogram. The largest value is that of the highest
// cell that grew, which is at most an eighth too large.
func between(then, now *admin.StatusTime) (q quantiles) {
	before := map[uint64]uint64{}
	if then != nil {
		for _, c := range then.Cells {
			before[c[0]] = c[1]
		}
		q.sumNs = now.SumNs - min(then.SumNs, now.SumNs)
	} else {
		q.sumNs = now.SumNs
	}
	var grown [][2]uint64
	for _, c := range now.Cells {
		if count := c[1] - min(before[c[0]], c[1]); count > 0 {
			grown = append(grown, [2]uint64{min(c[0], now.MaxNs), count})
			q.count += count
		}
	}
	at := func(part float64) uint64 {
		rank, seen := max(1, uint64(part*float64(q.count)+0.5)), uint64(0)
		for _, c := range grown {
			if seen += c[1]; seen >= rank {
				return c[0]
			}
		}
		return 0
	}
	q.p50, q.p99 = at(0.5), at(0.99)
	if len(grown) > 0 {
		q.max = grown[len(grown)-1][0]
	}
	return q
}
