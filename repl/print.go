package repl

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/valyala/bytebufferpool"
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
	header []string   // of CSV: the last one written
}

// rows writes rows, a slice of records. No rows write nothing.
func (p *printer) rows(rows any) error {
	list := reflect.ValueOf(rows)
	if list.Len() == 0 {
		return nil
	}
	fields := fieldsOf(list.Type().Elem())
	buffer := bytebufferpool.Get()
	defer bytebufferpool.Put(buffer)
	switch p.format {
	case FormatJSON:
		writeJSON(buffer, fields, list)
	case FormatCSV:
		p.writeCSV(buffer, fields, list)
	default:
		writeTable(buffer, fields, list, p.width())
	}
	_, err := p.out.Write(buffer.B)
	return err
}

// writeJSON writes one object per line, its fields in the order of the protocol.
func writeJSON(out *bytebufferpool.ByteBuffer, fields []field, list reflect.Value) {
	for i := range list.Len() {
		row := list.Index(i)
		for j := range fields {
			f := &fields[j]
			_ = out.WriteByte("{,"[min(j, 1)])
			writeString(out, f.name)
			_ = out.WriteByte(':')
			if f.flags == nil {
				writeString(out, f.text(row))
				continue
			}
			_ = out.WriteByte('[')
			for k, name := range f.names(row) {
				if k > 0 {
					_ = out.WriteByte(',')
				}
				writeString(out, name)
			}
			_ = out.WriteByte(']')
		}
		_, _ = out.WriteString("}\n")
	}
}

// writeString writes a string of JSON.
func writeString(out *bytebufferpool.ByteBuffer, text string) {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string has a form in JSON
	}
	_, _ = out.Write(quoted)
}

// names lists the flags that are set in a record.
func (f *field) names(record reflect.Value) []string {
	text := f.text(record)
	if text == "" {
		return nil
	}
	return strings.Split(text, "|")
}

// writeCSV writes a line per row, behind a header where it is another one than before.
func (p *printer) writeCSV(out io.Writer, fields []field, list reflect.Value) {
	writer := csv.NewWriter(out)
	if header := namesOf(fields); !slices.Equal(header, p.header) {
		p.header = header
		_ = writer.Write(header)
	}
	line := make([]string, len(fields))
	for i := range list.Len() {
		for j := range fields {
			line[j] = fields[j].text(list.Index(i))
		}
		_ = writer.Write(line)
	}
	writer.Flush() // into a buffer, which takes all
}
