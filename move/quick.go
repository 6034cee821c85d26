package move

import (
	"bytes"
	"slices"
	"unsafe"

	"ledger/wire"
)

// quick reads a row from an object of the usual form: names and values without escapes, none of
// them twice. For another one it returns false, and package json reads it or says what is wrong.
func (r *rowReader[R]) quick(memory, line []byte) (isUsual bool, err error) {
	s := scanner{line}
	if !s.skip('{') {
		return false, nil
	}
	seen, next := uint64(0), 0
	for isFirst := true; !s.skip('}'); isFirst = false {
		if !isFirst && !s.skip(',') {
			return false, nil
		}
		name, ok := s.quoted()
		if !ok || !s.skip(':') {
			return false, nil
		}
		if next >= len(r.columns) || r.columns[next].name != string(name) {
			next = slices.IndexFunc(r.columns, func(c column) bool { return c.name == string(name) })
		}
		if next < 0 || seen&(1<<next) != 0 {
			return false, nil
		}
		seen |= 1 << next
		c := &r.columns[next]
		if s.skip('[') {
			flags, ok := s.flags(c.flags)
			if !ok {
				return false, nil
			}
			c.put(memory, wire.U128From(flags))
		} else {
			text, ok := s.value()
			if !ok {
				return false, nil
			}
			if err := r.set(memory, next, text); err != nil {
				return true, err
			}
		}
		next++
	}
	for i := range r.columns {
		if r.columns[i].isRequired && seen&(1<<i) == 0 {
			return false, nil
		}
	}
	return len(bytes.TrimSpace(s.rest)) == 0, nil
}

// scanner reads the parts of a line.
type scanner struct{ rest []byte }

// skip takes a character, and blanks in front of it, if it is the next one.
func (s *scanner) skip(want byte) bool {
	for len(s.rest) > 0 && (s.rest[0] == ' ' || s.rest[0] == '\t') {
		s.rest = s.rest[1:]
	}
	if len(s.rest) == 0 || s.rest[0] != want {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// quoted takes a string without escapes.
func (s *scanner) quoted() (text []byte, ok bool) {
	if !s.skip('"') {
		return nil, false
	}
	end := bytes.IndexByte(s.rest, '"')
	if end < 0 || bytes.IndexByte(s.rest[:end], '\\') >= 0 {
		return nil, false
	}
	text, s.rest = s.rest[:end], s.rest[end+1:]
	return text, true
}

// value takes a string or a number of digits. It is a view of the line.
func (s *scanner) value() (text string, ok bool) {
	inner, ok := s.quoted()
	if !ok {
		end := 0
		for end < len(s.rest) && s.rest[end] >= '0' && s.rest[end] <= '9' {
			end++
		}
		isNumber := end > 0 && (s.rest[0] != '0' || end == 1) // JSON has no leading zeros
		if !isNumber || end == len(s.rest) || bytes.IndexByte([]byte(",} \t"), s.rest[end]) < 0 {
			return "", false
		}
		inner, s.rest = s.rest[:end], s.rest[end:]
	}
	return unsafe.String(unsafe.SliceData(inner), len(inner)), true
}

// flags takes the rest of a list of names.
func (s *scanner) flags(names []string) (value uint64, ok bool) {
	for isFirst := true; !s.skip(']'); isFirst = false {
		if !isFirst && !s.skip(',') {
			return 0, false
		}
		name, ok := s.quoted()
		bit := slices.Index(names, string(name))
		if !ok || bit < 0 {
			return 0, false
		}
		value |= 1 << bit
	}
	return value, true
}
