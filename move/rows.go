package move

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ledger/accounting"
	"ledger/wire"
)

// Place is where a row comes from: a line of a file, or a number among the rows of a server.
type Place struct {
	Source string
	Line   int
}

func (p Place) String() string { return fmt.Sprintf("%s:%d", p.Source, p.Line) }

// RowError is what is wrong with one row. The rows behind it can be read.
type RowError struct {
	Place  Place
	Column string // "": the row as a whole
	Reason string
}

func (e *RowError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("%s: %s", e.Place, e.Reason)
	}
	return fmt.Sprintf("%s: column %s: %s", e.Place, e.Column, e.Reason)
}

// rowReader reads rows of a file, one after the other.
type rowReader[R any] struct {
	file    *os.File
	name    string
	columns []column
	buffer  *bufio.Reader
	line    int // of the row that was read last
	read    func(memory []byte) error
	csv     *csv.Reader
	order   []int    // of CSV: the index into columns for each place
	present []string // the names of the header, or of the first object
}

// lineBytesMax is more than the longest line that a file of ours can have.
const lineBytesMax = 1 << 20

// openRows opens a file of rows. The end of its name tells its form.
func openRows[R any](path string, columns []column) (*rowReader[R], error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r := &rowReader[R]{file: file, name: path, columns: columns, buffer: bufio.NewReaderSize(file, lineBytesMax)}
	if mark, _ := r.buffer.Peek(3); string(mark) == "\xef\xbb\xbf" { // of the order of bytes, from a spreadsheet
		_, _ = r.buffer.Discard(len(mark))
	}
	switch extension := filepath.Ext(path); extension {
	case ".csv":
		r.read = r.readCSV
		err = r.readHeader()
	case ".jsonl":
		r.read = r.readJSON
		r.peek()
	default:
		err = fmt.Errorf("%s: must end in .csv or .jsonl, which tells its form", path)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return r, nil
}

// next reads one row. io.EOF is the end; after a *RowError the next row can be read.
func (r *rowReader[R]) next(row *R) error {
	var zero R
	*row = zero
	return r.read(memoryOf(row))
}

func (r *rowReader[R]) place() Place { return Place{r.name, r.line} }

func (r *rowReader[R]) wrong(column, reason string) error {
	return &RowError{r.place(), column, reason}
}

// readHeader finds the columns of a file of CSV, which come in any order.
func (r *rowReader[R]) readHeader() error {
	r.csv = csv.NewReader(r.buffer)
	r.csv.ReuseRecord = true
	names, err := r.csv.Read()
	r.line = 1
	if errors.Is(err, io.EOF) {
		return r.wrong("", "is empty: the first line has the names of the columns")
	} else if err != nil {
		return r.wrong("", "the names of the columns: "+reasonOf(err))
	}
	for _, name := range names {
		name = strings.TrimSpace(name)
		index := slices.IndexFunc(r.columns, func(c column) bool { return c.name == name })
		if index < 0 {
			return r.wrong(name, "there is no such column; the columns are "+strings.Join(namesOf(r.columns), ", "))
		}
		if slices.Contains(r.order, index) {
			return r.wrong(name, "stands there twice")
		}
		r.order, r.present = append(r.order, index), append(r.present, name)
	}
	for i := range r.columns {
		if c := &r.columns[i]; c.isRequired && !slices.Contains(r.order, i) {
			return r.wrong(c.name, "is missing, and a row is nothing without it")
		}
	}
	return nil
}

// reasonOf leaves out the place that package csv has written in front.
func reasonOf(err error) string {
	if inner := errors.Unwrap(err); inner != nil {
		return inner.Error()
	}
	return err.Error()
}

func (r *rowReader[R]) readCSV(memory []byte) error {
	texts, err := r.csv.Read()
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	if parse := (*csv.ParseError)(nil); errors.As(err, &parse) {
		r.line = parse.StartLine
		if errors.Is(err, csv.ErrFieldCount) {
			return r.wrong("", fmt.Sprintf("has %d values, and the file has %d columns", len(texts), len(r.order)))
		}
		return r.wrong("", reasonOf(err))
	} else if err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	r.line, _ = r.csv.FieldPos(0)
	for i, text := range texts {
		if err := r.set(memory, r.order[i], strings.TrimSpace(text)); err != nil {
			return err
		}
	}
	return nil
}

// peek finds the names of the first object. If it is not whole, the reading of it will say so.
func (r *rowReader[R]) peek() {
	start, _ := r.buffer.Peek(lineBytesMax)
	line, _, _ := bytes.Cut(start, []byte{'\n'})
	var values map[string]json.RawMessage
	if json.Unmarshal(line, &values) == nil {
		r.present = sortedKeys(values)
	}
}

// set reads one value of the row.
func (r *rowReader[R]) set(memory []byte, index int, text string) error {
	c := &r.columns[index]
	if text == "" && c.isRequired {
		return r.wrong(c.name, "has no value")
	}
	value, err := c.parse(text)
	if err != nil {
		return r.wrong(c.name, err.Error())
	}
	c.put(memory, value)
	return nil
}

func (r *rowReader[R]) readJSON(memory []byte) error {
	line, err := r.buffer.ReadSlice('\n')
	r.line++
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return fmt.Errorf("%s: has no end within %d bytes: it is no file of lines", r.place(), lineBytesMax)
	case errors.Is(err, io.EOF) && len(bytes.TrimSpace(line)) == 0:
		return io.EOF
	case errors.Is(err, io.EOF):
		return r.wrong("", "has no line end: the file was cut off here")
	case err != nil:
		return fmt.Errorf("%s: %w", r.name, err)
	}
	if isUsual, err := r.quick(memory, line); isUsual {
		return err
	}
	return r.object(memory, line)
}

// object reads a row from one object of JSON.
func (r *rowReader[R]) object(memory []byte, line []byte) error {
	clear(memory) // of what the quick reading has put there
	var values map[string]json.RawMessage
	if err := json.Unmarshal(line, &values); err != nil {
		return r.wrong("", "is no object of JSON: "+err.Error())
	}
	found := 0
	for i := range r.columns {
		c := &r.columns[i]
		raw, isThere := values[c.name]
		if !isThere && c.isRequired {
			return r.wrong(c.name, "is missing, and a row is nothing without it")
		}
		if !isThere {
			continue
		}
		found++
		text, ok := textOf(raw)
		if !ok {
			return r.wrong(c.name, fmt.Sprintf("%s: must be a number, as a string or without quotes, or a list of flags", raw))
		}
		if err := r.set(memory, i, text); err != nil {
			return err
		}
	}
	if found == len(values) {
		return nil
	}
	for _, name := range sortedKeys(values) {
		if !slices.Contains(namesOf(r.columns), name) {
			return r.wrong(name, "there is no such field; the fields are "+strings.Join(namesOf(r.columns), ", "))
		}
	}
	return nil
}

func sortedKeys(values map[string]json.RawMessage) (names []string) {
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// textOf is the text of a value of JSON: a string's, a number's, or a list's, joined by "|".
func textOf(raw json.RawMessage) (text string, ok bool) {
	switch raw[0] {
	case '"':
		if inner := raw[1 : len(raw)-1]; bytes.IndexByte(inner, '\\') < 0 {
			return string(inner), true
		}
		return text, json.Unmarshal(raw, &text) == nil
	case '[':
		var names []string
		if json.Unmarshal(raw, &names) != nil {
			return "", false
		}
		return strings.Join(names, "|"), true
	}
	return string(raw), raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9'
}

func (r *rowReader[R]) close() error { return r.file.Close() }

// share of the file that was read, of 1.
func (r *rowReader[R]) share() float64 {
	info, err := r.file.Stat()
	if err != nil || info.Size() == 0 {
		return 0
	}
	at, err := r.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0
	}
	return float64(at) / float64(info.Size())
}

// zeroed is an account as it is created: without balances.
func zeroed(a accounting.Account) accounting.Account {
	a.DebitsPending, a.DebitsPosted, a.CreditsPending, a.CreditsPosted = wire.U128{}, wire.U128{}, wire.U128{}, wire.U128{}
	return a
}
