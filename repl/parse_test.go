package repl

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// show writes what was parsed: the fields that are not zero, or the error and its place.
func (p *parser) show(text string) string {
	var out strings.Builder
	for _, one := range p.parse(text) {
		if one.err != nil {
			open := ""
			if one.err.isOpen {
				open = " (open)"
			}
			fmt.Fprintf(&out, "%v%s\n%s", one.err, open, excerpt(text, one.err.at))
			continue
		}
		s := one.statement
		fmt.Fprintf(&out, "%d:%d %s", s.at.line, s.at.column, s.verb.name)
		if s.verb.object == nil {
			fmt.Fprintf(&out, " %s\n", s.topic)
			continue
		}
		for i := range s.objects.Len() {
			if i > 0 {
				out.WriteByte(',')
			}
			for _, f := range p.fields[s.verb.object] {
				if value := f.Text(s.objects.Index(i)); value != "0" && value != "" {
					fmt.Fprintf(&out, " %s=%s", f.Name, value)
				}
			}
		}
		out.WriteByte('\n')
	}
	return out.String()
}

// Goal: statements are read as the reference's shell reads them. An error has its place, and tells
// what was expected there.
func TestParse(t *testing.T) { golden(t, "testdata/parse.txt", newParser(verbs()).show) }

// Goal: the fields of all objects and rows are those of the protocol, in its order.
func TestFields(t *testing.T) {
	p := newParser(verbs())
	golden(t, "testdata/fields.txt", func(name string) string {
		v := verbNamed(p.verbs, name)
		if v == nil {
			return "no such statement"
		}
		var out strings.Builder
		for _, f := range p.fields[v.object] {
			if f.Flags != nil {
				fmt.Fprintf(&out, "%s %s\n", f.Name, strings.Join(f.Flags, "|"))
				continue
			}
			fmt.Fprintf(&out, "%s of %d bits\n", f.Name, f.Bits)
		}
		return out.String()
	})
}

// Goal: every example of the help is a statement.
func TestExamples(t *testing.T) {
	p := newParser(verbs())
	for _, v := range p.verbs {
		all := p.parse(v.example)
		if len(all) != 1 || all[0].err != nil || all[0].statement.verb.name != v.name {
			t.Errorf("%s: %s: %v", v.name, v.example, all)
		}
	}
}

// Goal: no text stops the parser, each error has a place within the text, a stream that is cut into
// statements gives the same as the whole text, and completion works at its end.
func FuzzParse(f *testing.F) {
	for _, v := range verbs() {
		f.Add(v.example)
		f.Add(v.example + ";" + v.name + " x=1,; # comment ;\n" + v.name)
	}
	for _, text := range []string{"create_accounts id=-0 flags=linked|\n history , id = 2;;", "lookup_accounts id=1\xff;\xff", "#;\n\t;",
		"id=ж;\u00a0x"} {
		f.Add(text)
	}
	p := newParser(verbs())
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 {
			return
		}
		whole := ""
		for _, one := range p.parse(text) {
			if one.err != nil {
				at := one.err.at
				line := strings.Count(text[:at.offset], "\n")
				column := utf8.RuneCountInString(text[strings.LastIndexByte(text[:at.offset], '\n')+1 : at.offset])
				if at.line != line+1 || at.column != column+1 || one.err.message == "" {
					t.Fatalf("%q: error %v at offset %d", text, one.err, at.offset)
				}
				_ = excerpt(text, at)
				whole += fmt.Sprintf("%d:%d %s\n", at.line, at.column, one.err.message)
				continue
			}
			whole += fmt.Sprintf("%d:%d %s %v\n", one.statement.at.line, one.statement.at.column, one.statement.verb.name, one.statement.objects)
		}
		pieces := ""
		for s := newSplitter(strings.NewReader(text)); ; {
			piece, start, err := s.next()
			if err != nil {
				break
			}
			for _, one := range p.parse(piece) {
				if one.err != nil {
					at := one.err.at.moved(start)
					pieces += fmt.Sprintf("%d:%d %s\n", at.line, at.column, one.err.message)
					continue
				}
				at := one.statement.at.moved(start)
				pieces += fmt.Sprintf("%d:%d %s %v\n", at.line, at.column, one.statement.verb.name, one.statement.objects)
			}
		}
		if utf8.ValidString(text) && whole != pieces {
			t.Fatalf("%q: the whole gives\n%s, its pieces\n%s", text, whole, pieces)
		}
		if found := p.completeAt(text); found.start > len(text) || len(found.candidates) > 0 &&
			!strings.HasPrefix(prefixOf(found.candidates), text[found.start:]) {
			t.Fatalf("%q: completion %v", text, found)
		}
		if again := oneLine(text); strings.ContainsAny(again, "\n\r\x00") {
			t.Fatalf("%q: in one line %q", text, again)
		}
	})
}
