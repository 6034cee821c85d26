package repl

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// position is a place in a text. Lines and columns count from 1, columns in characters.
type position struct {
	offset, line, column int
}

// tokenKind tells what a token is.
type tokenKind uint8

const (
	tokenEnd   tokenKind = iota // of the text
	tokenWord                   // a verb, a field, a number or a flag
	tokenComma                  // between objects
	tokenSemicolon
	tokenEqual
	tokenBar // between flags
)

// token is a piece of a statement, with its place.
type token struct {
	kind tokenKind
	text string
	at   position
}

// end is the place right after the token.
func (t *token) end() position {
	return position{t.at.offset + len(t.text), t.at.line, t.at.column + utf8.RuneCountInString(t.text)}
}

// separators are the characters that end a word. A "#" begins a comment, up to the end of its line.
const separators = ",;=|#"

// lexer cuts a text into tokens.
type lexer struct {
	text string
	at   position
}

func newLexer(text string) *lexer { return &lexer{text: text, at: position{0, 1, 1}} }

// next returns the next token; at the end always tokenEnd.
func (l *lexer) next() token {
	l.skipBlanks()
	start := l.at
	if start.offset == len(l.text) {
		return token{tokenEnd, "", start}
	}
	kind := tokenWord
	switch l.text[start.offset] {
	case ',':
		kind = tokenComma
	case ';':
		kind = tokenSemicolon
	case '=':
		kind = tokenEqual
	case '|':
		kind = tokenBar
	}
	if kind != tokenWord {
		l.step()
		return token{kind, l.text[start.offset:l.at.offset], start}
	}
	for l.at.offset < len(l.text) {
		character, _ := utf8.DecodeRuneInString(l.text[l.at.offset:])
		if unicode.IsSpace(character) || strings.ContainsRune(separators, character) {
			break
		}
		l.step()
	}
	return token{tokenWord, l.text[start.offset:l.at.offset], start}
}

// skipBlanks skips white space and comments.
func (l *lexer) skipBlanks() {
	isComment := false
	for l.at.offset < len(l.text) {
		character, _ := utf8.DecodeRuneInString(l.text[l.at.offset:])
		switch {
		case character == '\n':
			isComment = false
		case character == '#':
			isComment = true
		case !isComment && !unicode.IsSpace(character):
			return
		}
		l.step()
	}
}

// step goes on by one character.
func (l *lexer) step() {
	character, size := utf8.DecodeRuneInString(l.text[l.at.offset:])
	l.at.offset += size
	if character == '\n' {
		l.at.line++
		l.at.column = 1
		return
	}
	l.at.column++
}
