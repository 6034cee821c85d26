package repl

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"ledger/records"
	"ledger/wire"
)

// syntaxError tells where a statement is wrong, and what was expected there.
type syntaxError struct {
	at      position
	message string
	isOpen  bool // the text ends where more was expected
}

func (e *syntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.at.line, e.at.column, e.message)
}

// parsed is one statement of a text, or the reason why it is none.
type parsed struct {
	statement *statement
	err       *syntaxError
}

// parser reads statements.
type parser struct {
	verbs  []*verb
	fields map[reflect.Type][]records.Field
	lexer  *lexer
	token  token // the current one
	before position
}

// newParser makes a parser of the statements in list.
func newParser(list []*verb) *parser {
	p := &parser{verbs: list, fields: map[reflect.Type][]records.Field{}}
	for _, one := range list {
		if one.object != nil {
			p.fields[one.object] = records.Fields(one.object)
		}
	}
	return p
}

// parse reads all statements of a text. A wrong one is skipped up to its semicolon.
func (p *parser) parse(text string) (all []parsed) {
	p.lexer, p.before = newLexer(text), position{0, 1, 1}
	p.token = p.lexer.next()
	for p.token.kind != tokenEnd {
		if p.token.kind == tokenSemicolon {
			p.advance()
			continue
		}
		one, err := p.statement()
		if err != nil {
			for p.token.kind != tokenEnd && p.token.kind != tokenSemicolon {
				p.advance()
			}
			all = append(all, parsed{err: err})
			continue
		}
		all = append(all, parsed{statement: one})
	}
	return all
}

func (p *parser) advance() {
	p.before = p.token.end()
	p.token = p.lexer.next()
}

// atEnd tells whether the statement ends here.
func (p *parser) atEnd() bool { return p.token.kind == tokenEnd || p.token.kind == tokenSemicolon }

// wanted is the error that something else stands where what was expected.
func (p *parser) wanted(what string) *syntaxError {
	switch p.token.kind {
	case tokenEnd:
		return &syntaxError{p.before, "expected " + what + ", found the end", true}
	case tokenSemicolon:
		return &syntaxError{p.token.at, "expected " + what + ", found \";\"", false}
	}
	message := fmt.Sprintf("expected %s, found %s", what, quoted(p.token.text))
	if p.token.kind == tokenWord && verbNamed(p.verbs, p.token.text) != nil {
		message += ": a semicolon stands between statements"
	}
	return &syntaxError{p.token.at, message, false}
}

// quoted quotes a word of a statement; a long one is cut.
func quoted(text string) string {
	const runesMax = 60
	if runes := []rune(text); len(runes) > runesMax {
		return fmt.Sprintf("%q…", string(runes[:runesMax]))
	}
	return fmt.Sprintf("%q", text)
}

// statement reads one statement, up to its semicolon or the end of the text.
func (p *parser) statement() (*statement, *syntaxError) {
	names := make([]string, len(p.verbs))
	for i, one := range p.verbs {
		names[i] = one.name
	}
	if p.token.kind != tokenWord {
		return nil, p.wanted("a statement: " + strings.Join(names, ", "))
	}
	v := verbNamed(p.verbs, p.token.text)
	if v == nil {
		return nil, p.unknown("statement", names)
	}
	s := &statement{verb: v, at: p.token.at}
	p.advance()
	if v.object == nil {
		return s, p.topic(s)
	}
	s.objects = reflect.MakeSlice(reflect.SliceOf(v.object), 0, 1)
	for {
		object := reflect.New(v.object).Elem()
		if err := p.object(s, object); err != nil {
			return nil, err
		}
		s.objects = reflect.Append(s.objects, object)
		if p.atEnd() {
			return s, nil
		}
		if !v.many {
			return nil, &syntaxError{p.token.at, v.name + " takes one object, and a comma begins a second one", false}
		}
		p.advance() // over the comma
	}
}

// topic reads the one word behind explain and help.
func (p *parser) topic(s *statement) *syntaxError {
	if p.token.kind == tokenWord {
		s.topic = p.token.text
		p.advance()
	}
	if !p.atEnd() {
		return p.wanted("the end of the statement")
	}
	return nil
}

// object reads the fields of one object, up to a comma or the end of the statement.
func (p *parser) object(s *statement, object reflect.Value) *syntaxError {
	fields := p.fields[s.verb.object]
	start := p.token.at
	s.given = nil
	for p.token.kind != tokenComma && !p.atEnd() {
		if p.token.kind != tokenWord {
			return p.wanted("a field such as " + fields[0].Name + "=1")
		}
		f := records.Named(fields, p.token.text)
		switch {
		case f == nil && verbNamed(p.verbs, p.token.text) != nil:
			return p.wanted("a field such as " + fields[0].Name + "=1")
		case f == nil && hasFlag(fields, p.token.text):
			return &syntaxError{p.token.at, fmt.Sprintf("%s is a flag: a \"|\" stands between flags, as in flags=%s|%s", p.token.text,
				records.Named(fields, "flags").Flags[0], p.token.text), false}
		case f == nil:
			return p.unknown("field", records.Names(fields))
		case slices.Contains(s.given, f.Name):
			message := fmt.Sprintf("%s is given twice for one object", f.Name)
			if s.verb.many {
				message += ": a comma stands between objects"
			}
			return &syntaxError{p.token.at, message, false}
		}
		p.advance()
		if p.token.kind != tokenEqual {
			return p.wanted(fmt.Sprintf("\"=\" after %s, as in %s=%s", f.Name, f.Name, exampleOf(f)))
		}
		p.advance()
		if err := p.value(f, object); err != nil {
			return err
		}
		s.given = append(s.given, f.Name)
	}
	needsField := s.verb.many || s.verb.required != ""
	switch {
	case len(s.given) == 0 && (needsField || p.token.kind == tokenComma):
		return p.wanted("a field such as " + fields[0].Name + "=1")
	case s.verb.required != "" && !slices.Contains(s.given, s.verb.required):
		return &syntaxError{start, fmt.Sprintf("%s needs %s=…", s.verb.name, s.verb.required), false}
	}
	return nil
}

// hasFlag tells whether name is a flag of an object with these fields.
func hasFlag(fields []records.Field, name string) bool {
	flags := records.Named(fields, "flags")
	return flags != nil && slices.Contains(flags.Flags, name)
}

func exampleOf(f *records.Field) string {
	if f.Flags != nil {
		return f.Flags[0]
	}
	return "1"
}

// value reads what stands behind the equals sign.
func (p *parser) value(f *records.Field, object reflect.Value) *syntaxError {
	if f.Flags != nil {
		return p.flags(f, object)
	}
	if p.token.kind != tokenWord {
		return p.wanted("a value for " + f.Name + ", " + f.Kind())
	}
	number, err := records.ParseNumber(p.token.text, f.Bits)
	if err != nil {
		return &syntaxError{p.token.at, fmt.Sprintf("%s=%s: %v; expected %s", f.Name, cut(p.token.text), err, f.Kind()), false}
	}
	f.Set(object, number)
	p.advance()
	return nil
}

// cut shortens a long value for a message.
func cut(text string) string { return strings.Trim(quoted(text), "\"") }

// flags reads names of flags, with a bar between them.
func (p *parser) flags(f *records.Field, object reflect.Value) *syntaxError {
	set := uint64(0)
	for {
		if p.token.kind != tokenWord {
			return p.wanted(f.Kind())
		}
		bit := slices.Index(f.Flags, p.token.text)
		if bit < 0 {
			return p.unknown("flag", f.Flags)
		}
		if set&(1<<bit) != 0 {
			return &syntaxError{p.token.at, fmt.Sprintf("the flag %s is given twice", p.token.text), false}
		}
		set |= 1 << bit
		p.advance()
		if p.token.kind != tokenBar {
			break
		}
		p.advance()
	}
	f.Set(object, wire.U128From(set))
	return nil
}

// unknown is the error that a name is none of those that may stand here.
func (p *parser) unknown(what string, names []string) *syntaxError {
	message := fmt.Sprintf("unknown %s %s; expected one of %s", what, quoted(p.token.text), strings.Join(names, ", "))
	if near := nearest(p.token.text, names); near != "" {
		message = fmt.Sprintf("unknown %s %s: did you mean %s? Expected one of %s", what, quoted(p.token.text), near, strings.Join(names, ", "))
	}
	return &syntaxError{p.token.at, message, false}
}
