package repl

import (
	"slices"
	"strings"
	"unicode/utf8"

	"ledger/records"
)

// completion is what may stand at the cursor.
type completion struct {
	start      int      // offset of the word that is completed
	candidates []string // each would replace the word, with what follows it
}

// completeAt finds what may stand at the end of text: a verb, a field that the object does not have
// yet, a flag, or the topic of explain and help. A value has no candidates.
func (p *parser) completeAt(text string) completion {
	var before []token // of the statement, without the word at the cursor
	word, lexer := token{kind: tokenEnd, at: position{offset: len(text)}}, newLexer(text)
	for {
		one := lexer.next()
		if one.kind == tokenEnd {
			break
		}
		if one.kind == tokenWord && one.end().offset == len(text) {
			word = one
			break
		}
		if before = append(before, one); one.kind == tokenSemicolon {
			before = before[:0]
		}
	}
	c := completion{start: word.at.offset}
	if strings.Contains(text[strings.LastIndexByte(text, '\n')+1:], "#") {
		return c // a comment
	}
	for _, name := range p.expected(before) {
		if strings.HasPrefix(name, word.text) {
			c.candidates = append(c.candidates, name)
		}
	}
	return c
}

// expected lists what may follow the tokens of one statement.
func (p *parser) expected(before []token) (names []string) {
	verbNames := make([]string, len(p.verbs))
	for i, v := range p.verbs {
		verbNames[i] = v.name
	}
	if len(before) == 0 {
		for _, name := range verbNames {
			names = append(names, name+" ")
		}
		return names
	}
	v := verbNamed(p.verbs, before[0].text)
	switch {
	case v == nil:
		return nil
	case v.name == "explain" && len(before) == 1:
		for _, one := range explanations() {
			names = append(names, one.name)
		}
		return names
	case v.object == nil:
		if v.name == "help" && len(before) == 1 {
			return verbNames
		}
		return nil
	}
	fields := p.fields[v.object]
	given, flags, current := given(before[1:], fields)
	switch last := before[len(before)-1]; {
	case last.kind == tokenEqual || last.kind == tokenBar:
		if current == nil {
			return nil
		}
		for _, flag := range current.Flags {
			if !slices.Contains(flags, flag) {
				names = append(names, flag)
			}
		}
		return names
	case last.kind == tokenWord && len(before) > 1 && before[len(before)-2].kind != tokenEqual && before[len(before)-2].kind != tokenBar:
		return nil // a field without its equals sign
	}
	for i := range fields {
		if !slices.Contains(given, fields[i].Name) {
			names = append(names, fields[i].Name+"=")
		}
	}
	return names
}

// given tells which fields the last object has, and of the field at the end its flags.
func given(tokens []token, fields []records.Field) (names, flags []string, current *records.Field) {
	for i, one := range tokens {
		switch {
		case one.kind == tokenComma:
			names, flags, current = nil, nil, nil
		case one.kind == tokenWord && i+1 < len(tokens) && tokens[i+1].kind == tokenEqual:
			names, flags, current = append(names, one.text), nil, records.Named(fields, one.text)
		case one.kind == tokenWord:
			flags = append(flags, one.text)
		}
	}
	return names, flags, current
}

// prefixOf is what all candidates begin with.
func prefixOf(candidates []string) string {
	prefix := candidates[0]
	for _, one := range candidates[1:] {
		for !strings.HasPrefix(one, prefix) {
			_, size := utf8.DecodeLastRuneInString(prefix)
			prefix = prefix[:len(prefix)-size]
		}
	}
	return prefix
}
