// Package records knows the records of the wire by the names of their fields, for commands that
// read and write them as text.
//
// In:     types of records; numbers as text.
// Out:    their fields; values as text; lines of JSON and CSV.
// Owns:   nothing.
// Limits: digitsMax of a number.
// Faults: a number that is none is an error that says why.
// Source: specification, "Client wire protocol", 7; docs/shell.md.
package records

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"ledger/wire"
)

// Field is one field of a record.
type Field struct {
	Name  string
	Bits  uint     // of a number; 0 if the field has names
	Flags []string // names of the bits of a field of flags, from bit 0; nil if it has none
	index int
}

// Kind says what the field takes, for messages.
func (f *Field) Kind() string {
	if f.Flags != nil {
		return "a flag: " + strings.Join(f.Flags, ", ")
	}
	return fmt.Sprintf("a number of 0 to 2^%d-1, as in 1000, 1_000, 0x3e8 or -0 for the largest", f.Bits)
}

// Fields lists the fields of a record of the wire, in their order, without the reserved ones.
func Fields(record reflect.Type) []Field {
	var fields []Field
	for i := range record.NumField() {
		one := record.Field(i)
		if one.Name == "Reserved" {
			continue
		}
		f := Field{Name: snake(one.Name), index: i}
		_, hasNames := reflect.Zero(one.Type).Interface().(fmt.Stringer)
		switch {
		case one.Type == reflect.TypeFor[wire.U128]():
			f.Bits = 128
		case f.Name == "flags" || strings.HasSuffix(f.Name, "_flags"):
			f.Flags = flagsOf(one.Type)
		case !hasNames:
			f.Bits = uint(one.Type.Bits())
		}
		fields = append(fields, f)
	}
	return fields
}

// flagsOf lists the names of a type of flags. The type names a bit without meaning by its number.
func flagsOf(flags reflect.Type) (names []string) {
	for bit := range flags.Bits() {
		value := reflect.New(flags).Elem()
		value.SetUint(1 << bit)
		name := value.Interface().(fmt.Stringer).String()
		if name == "" || unicode.IsDigit(rune(name[0])) {
			break
		}
		names = append(names, name)
	}
	return names
}

// snake writes a Go name as the protocol does: UserData128 is user_data_128.
func snake(name string) string {
	var out strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		switch {
		case i == 0:
		case unicode.IsUpper(r) && !unicode.IsUpper(runes[i-1]), unicode.IsDigit(r) && !unicode.IsDigit(runes[i-1]):
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}

// Named finds a field, or nil.
func Named(fields []Field, name string) *Field {
	for i := range fields {
		if fields[i].Name == name {
			return &fields[i]
		}
	}
	return nil
}

// Names lists the names of fields.
func Names(fields []Field) []string {
	names := make([]string, len(fields))
	for i := range fields {
		names[i] = fields[i].Name
	}
	return names
}

// Set writes a number to a field of a record; flags are a number too.
func (f *Field) Set(record reflect.Value, number wire.U128) {
	if target := record.Field(f.index); f.Bits == 128 {
		target.Set(reflect.ValueOf(number))
	} else {
		target.SetUint(number.Lo)
	}
}

// Text is the value of a field of a record; several flags are joined by "|".
func (f *Field) Text(record reflect.Value) string {
	value := record.Field(f.index)
	if named, ok := value.Interface().(fmt.Stringer); ok {
		return named.String()
	}
	return fmt.Sprint(value.Uint())
}

// Names lists the flags that are set in a record.
func (f *Field) Names(record reflect.Value) []string {
	text := f.Text(record)
	if text == "" {
		return nil
	}
	return strings.Split(text, "|")
}
