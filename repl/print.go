package repl

import (
	"fmt"
	"io"
	"reflect"

	"github.com/valyala/bytebufferpool"

	"ledger/records"
)

// Format of results.
type Format string

const (
	FormatTable Format = "table" // for people
	FormatJSON  Format = "json"  // one object per line; numbers are strings, flags are lists of names
	FormatCSV   Format = "csv"   // a header where the columns change, then a line per row
)

// ParseFormat reads the name of a format.
func ParseFormat(text string) (Format, error) {
	if f := Format(text); f == FormatTable || f == FormatJSON || f == FormatCSV {
		return f, nil
	}
	return "", fmt.Errorf("must be table, json or csv")
}

// printer writes rows.
type printer struct {
	out    io.Writer
	format Format
	width  func() int // columns of the terminal; 0 is unbounded
	header string     // of CSV: the last one written
}

// rows writes rows, a slice of records. No rows write nothing.
func (p *printer) rows(rows any) error {
	list := reflect.ValueOf(rows)
	if list.Len() == 0 {
		return nil
	}
	fields := records.Fields(list.Type().Elem())
	buffer := bytebufferpool.Get()
	defer bytebufferpool.Put(buffer)
	if p.format == FormatTable {
		writeTable(buffer, fields, list, p.width())
	}
	if header := string(records.AppendHeader(nil, fields)); p.format == FormatCSV && p.header != header {
		p.header = header
		buffer.B = append(buffer.B, header...)
	}
	for i := range list.Len() {
		switch p.format {
		case FormatJSON:
			buffer.B = records.AppendJSON(buffer.B, fields, list.Index(i))
		case FormatCSV:
			buffer.B = records.AppendCSV(buffer.B, fields, list.Index(i))
		}
	}
	_, err := p.out.Write(buffer.B)
	return err
}
