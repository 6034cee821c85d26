package repl

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// Goal: keys that terminals send in several ways reach the editor in one, and ctrl-C ends the line
// and keeps what was typed behind it.
func TestKeys(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"abc\r", "abc\r"},
		{"a\x1b[1~b\x1bOHc\x1b[4~d\x1bOF", "a\x01b\x01c\x05d\x05"},
		{"\x1b[1;5C\x1bf\x1b[1;5D\x1bb", "\x1b[1;3C\x1b[1;3C\x1b[1;3D\x1b[1;3D"},
		{"ab\x03cd\x03\x03e", "ab\x05^Ccd\x05^C\x05^Ce"},
	} {
		k, got := &keys{in: strings.NewReader(test.in)}, ""
		for {
			buffer := make([]byte, 16)
			count, err := k.Read(buffer)
			got += string(buffer[:count])
			if errors.Is(err, io.EOF) {
				break
			}
			if errors.Is(err, errInterrupted) {
				got += "^C"
			}
		}
		if got != test.want {
			t.Errorf("%q: %q, want %q", test.in, got, test.want)
		}
	}
}

// Goal: Tab inserts what is certain, lists what is not, and leaves the rest of the line alone.
func TestTab(t *testing.T) {
	var screen bytes.Buffer
	p := newParser(verbs())
	e := &editor{out: &screen, size: func() (int, int) { return 40, 10 }, keys: &keys{in: strings.NewReader("")}, history: &history{},
		suggest: p.completeAt}
	e.renew()
	for _, test := range []struct{ before, line, want, lists string }{ // "^" is the cursor
		{"", "look^", "lookup_^", ""},
		{"", "lookup_a^", "lookup_accounts ^", ""},
		{"", "lookup_a^ id=1", "lookup_accounts^ id=1", ""},
		{"", "lookup_^", "lookup_^", "lookup_accounts    lookup_transfers \r\n"},
		{"", "create_accounts fl^, id=2", "create_accounts flags=^, id=2", ""},
		{"create_accounts\n", "fl^", "flags=^", ""},
		{"", "lookup_accounts id=1^", "lookup_accounts id=1^", ""},
		{"", "nonsense ^", "nonsense ^", ""},
		{"", "explain exi^", "explain exists^", ""},
	} {
		screen.Reset()
		at := strings.IndexByte(test.line, '^')
		e.before = test.before
		line, newAt, ok := e.complete(strings.Replace(test.line, "^", "", 1), at, '\t')
		if got := line[:newAt] + "^" + line[newAt:]; !ok || got != test.want {
			t.Errorf("%q: %q, want %q", test.line, got, test.want)
		}
		if got := screen.String(); got != test.lists {
			t.Errorf("%q: lists %q, want %q", test.line, got, test.lists)
		}
	}
	if _, _, ok := e.complete("x", 1, 'x'); ok {
		t.Error("a letter is taken for a Tab")
	}
}
