package repl

import (
	"context"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// typed gives lines to a shell. A line that begins with "paste:" is pasted; "^C" is ctrl-C.
type typed struct {
	left    []string
	prompts []string
}

func (l *typed) line(prompt, _ string) (string, bool, error) {
	l.prompts = append(l.prompts, prompt)
	if len(l.left) == 0 {
		return "", false, io.EOF
	}
	line := l.left[0]
	l.left = l.left[1:]
	switch text, isPasted := strings.CutPrefix(line, "paste:"); {
	case line == "^C":
		return "", false, errInterrupted
	case line == "too long":
		return "", false, errLongLine
	default:
		return text, isPasted, nil
	}
}

// Goal: Enter ends a complete statement. An incomplete one goes on to a semicolon or an empty line,
// and so do several lines that are pasted. ctrl-C forgets what was typed; the end of the input does
// not run it, and keeps it in the history.
func TestLines(t *testing.T) {
	for _, test := range []struct {
		lines, asked, kept []string
	}{
		{[]string{"lookup_accounts id=1"}, []string{"[1]"}, []string{"lookup_accounts id=1"}},
		{[]string{"lookup_accounts id=1; lookup_accounts id=2;"}, []string{"[1]", "[2]"}, nil},
		{[]string{"lookup_accounts", "id=1,", "id=2", "", "lookup_accounts id=3"}, []string{"[1 2]", "[3]"},
			[]string{"lookup_accounts id=1, id=2", "lookup_accounts id=3"}},
		{[]string{"lookup_accounts id=1,", "id=2;", "lookup_accounts id=3"}, []string{"[1 2]", "[3]"}, nil},
		{[]string{"lookup_accounts id=1, \\", "id=2 \\ ", ", id=3;"}, []string{"[1 2 3]"}, nil},
		{[]string{"lookup_accounts id=", "7;", ""}, []string{"[7]"}, nil},
		{[]string{"lookup_accounts id=1; lookup_accounts", "id=2;"}, []string{"[1]", "[2]"}, nil},
		{[]string{"paste:lookup_accounts id=1", "paste:, id=2", ""}, []string{"[1 2]"}, nil},
		{[]string{"paste:lookup_accounts id=1;", "paste:lookup_accounts id=2;", ""}, []string{"[1]", "[2]"}, nil},
		{[]string{"paste:lookup_accounts id=1;", "lookup_accounts id=2;"}, []string{"[1]", "[2]"}, nil},
		{[]string{"lookup_accounts", "^C", "lookup_accounts id=1"}, []string{"[1]"}, nil},
		{[]string{"too long", "lookup_accounts id=1"}, []string{"[1]"}, nil},
		{[]string{"lookup_accounts idd=1", "lookup_accounts id=1"}, []string{"[1]"}, []string{"lookup_accounts idd=1", "lookup_accounts id=1"}},
		{[]string{"lookup_accounts id=1,", "id=2"}, nil, []string{"lookup_accounts id=1, id=2"}},
		{[]string{"", "# nothing", ";", "lookup_accounts id=1"}, []string{"[1]"}, nil},
	} {
		b := newBed(t, nothing)
		b.source = ""
		kept, err := openHistory(filepath.Join(t.TempDir(), "history"))
		if err != nil {
			t.Fatal(err)
		}
		s := &shell{b.runner, &typed{left: slices.Clone(test.lines)}, kept}
		if err := s.loop(context.Background()); err != nil {
			t.Errorf("%q: %v", test.lines, err)
		}
		if !slices.Equal(b.session.asked, test.asked) {
			t.Errorf("%q: asked %q, want %q; %s", test.lines, b.session.asked, test.asked, b.said.String())
		}
		if again := opened(t, kept.path); test.kept != nil && !slices.Equal(again.entries, test.kept) {
			t.Errorf("%q: kept %q, want %q", test.lines, again.entries, test.kept)
		}
	}
}

// Goal: the prompt tells whether a statement goes on.
func TestPrompts(t *testing.T) {
	b := newBed(t, nothing)
	lines := &typed{left: []string{"lookup_accounts", "id=1;", "help"}}
	if err := (&shell{b.runner, lines, &history{}}).loop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if want := []string{prompt, promptMore, prompt, prompt}; !slices.Equal(lines.prompts, want) {
		t.Errorf("%q, want %q", lines.prompts, want)
	}
}
