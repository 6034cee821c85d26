package repl

import (
	"io"
	"reflect"
	"strings"
	"unicode/utf8"

	"ledger/records"
)

// column is one column of a table.
type column struct {
	name    string
	cells   []string
	width   int
	isText  bool // aligned left
	isBlank bool // all cells are zero or empty
}

const columnGap = 2

// writeTable writes rows under a header. If that is wider than the terminal, the columns that are
// zero in all rows are left out, and named below the table. If it is still too wide, each row
// becomes a block with a line per field.
func writeTable(out io.Writer, fields []records.Field, list reflect.Value, width int) {
	columns := make([]column, len(fields))
	for i := range fields {
		f := &fields[i]
		c := column{name: f.Name, width: len(f.Name), isText: f.Bits == 0, isBlank: true}
		for j := range list.Len() {
			cell := f.Text(list.Index(j))
			c.cells = append(c.cells, cell)
			c.width = max(c.width, utf8.RuneCountInString(cell))
			c.isBlank = c.isBlank && (cell == "0" || cell == "")
		}
		columns[i] = c
	}
	var zero []string
	if width > 0 && widthOf(columns) > width {
		var kept []column
		for _, c := range columns {
			if c.isBlank {
				zero = append(zero, c.name)
				continue
			}
			kept = append(kept, c)
		}
		if len(kept) == 0 || widthOf(kept) > width {
			writeBlocks(out, columns, list.Len())
			return
		}
		columns = kept
	}
	line := func(cell func(*column) string) {
		var text strings.Builder
		for i := range columns {
			c := &columns[i]
			gap := strings.Repeat(" ", c.width-utf8.RuneCountInString(cell(c)))
			if c.isText {
				text.WriteString(cell(c) + gap)
			} else {
				text.WriteString(gap + cell(c))
			}
			text.WriteString(strings.Repeat(" ", columnGap))
		}
		_, _ = io.WriteString(out, strings.TrimRight(text.String(), " ")+"\n")
	}
	line(func(c *column) string { return c.name })
	for row := range list.Len() {
		line(func(c *column) string { return c.cells[row] })
	}
	if len(zero) > 0 {
		writeZero(out, zero, width)
	}
}

// writeZero names the columns that were left out, in lines of the terminal's width.
func writeZero(out io.Writer, names []string, width int) {
	text := "zero in all rows:"
	for i, name := range names {
		if i < len(names)-1 {
			name += ","
		}
		if len(text)+1+len(name) > width {
			_, _ = io.WriteString(out, text+"\n")
			text = " "
		}
		text += " " + name
	}
	_, _ = io.WriteString(out, text+"\n")
}

func widthOf(columns []column) (width int) {
	for _, c := range columns {
		width += c.width + columnGap
	}
	return width - columnGap
}

// writeBlocks writes a line per field, and an empty line between rows.
func writeBlocks(out io.Writer, columns []column, rowsCount int) {
	width := 0
	for _, c := range columns {
		width = max(width, len(c.name))
	}
	for row := range rowsCount {
		if row > 0 {
			_, _ = io.WriteString(out, "\n")
		}
		for _, c := range columns {
			line := c.name + strings.Repeat(" ", width-len(c.name)+columnGap) + c.cells[row]
			_, _ = io.WriteString(out, strings.TrimRight(line, " ")+"\n")
		}
	}
}
