package repl

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"ledger/wire"
)

// field is one field of a record: of an object that is typed, or of a row that is shown.
type field struct {
	name  string
	index int
	bits  uint     // of a number; 0 if the field has names
	flags []string // names of the bits of a field of flags, from bit 0; nil if it has none
}

// kind says what the field takes, for messages.
func (f *field) kind() string {
	if f.flags != nil {
		return "a flag: " + strings.Join(f.flags, ", ")
	}
	return fmt.Sprintf("a number of 0 to 2^%d-1, as in 1000, 1_000, 0x3e8 or -0 for the largest", f.bits)
}

// fieldsOf lists the fields of a record of the wire, in their order, without the reserved ones.
func fieldsOf(record reflect.Type) []field {
	var fields []field
	for i := range record.NumField() {
		one := record.Field(i)
		if one.Name == "Reserved" {
			continue
		}
		f := field{name: snake(one.Name), index: i}
		_, hasNames := reflect.Zero(one.Type).Interface().(fmt.Stringer)
		switch {
		case one.Type == reflect.TypeFor[wire.U128]():
			f.bits = 128
		case f.name == "flags" || strings.HasSuffix(f.name, "_flags"):
			f.flags = flagsOf(one.Type)
		case !hasNames:
			f.bits = uint(one.Type.Bits())
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

// fieldNamed finds a field, or nil.
func fieldNamed(fields []field, name string) *field {
	for i := range fields {
		if fields[i].name == name {
			return &fields[i]
		}
	}
	return nil
}

func namesOf(fields []field) []string {
	names := make([]string, len(fields))
	for i := range fields {
		names[i] = fields[i].name
	}
	return names
}

// set writes a number to a field of a record.
func (f *field) set(record reflect.Value, number wire.U128) {
	if target := record.Field(f.index); f.bits == 128 {
		target.Set(reflect.ValueOf(number))
	} else {
		target.SetUint(number.Lo)
	}
}

// text is the value of a field of a record; several flags are joined by "|".
func (f *field) text(record reflect.Value) string {
	value := record.Field(f.index)
	if named, ok := value.Interface().(fmt.Stringer); ok {
		return named.String()
	}
	return fmt.Sprint(value.Uint())
}
