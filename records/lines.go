package records

import (
	"reflect"
)

// No name and no value of a record needs quoting beyond the marks around it: they are digits,
// letters, "_" and "|". So lines are appended as they are.

// AppendJSON appends a record as one object and a line end, its fields in the order of the
// protocol. Numbers and names are strings, flags are lists of names.
func AppendJSON(out []byte, fields []Field, record reflect.Value) []byte {
	for i := range fields {
		f := &fields[i]
		out = append(append(append(out, "{,"[min(i, 1)], '"'), f.Name...), `":`...)
		if f.Flags == nil {
			out = append(append(append(out, '"'), f.Text(record)...), '"')
			continue
		}
		out = append(out, '[')
		for j, name := range f.Names(record) {
			if j > 0 {
				out = append(out, ',')
			}
			out = append(append(append(out, '"'), name...), '"')
		}
		out = append(out, ']')
	}
	return append(out, "}\n"...)
}

// AppendCSV appends a record as a line of CSV; flags are joined by "|".
func AppendCSV(out []byte, fields []Field, record reflect.Value) []byte {
	for i := range fields {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, fields[i].Text(record)...)
	}
	return append(out, '\n')
}

// AppendHeader appends the header of CSV.
func AppendHeader(out []byte, fields []Field) []byte {
	for i := range fields {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, fields[i].Name...)
	}
	return append(out, '\n')
}
