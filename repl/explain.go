package repl

import (
	"fmt"
	"io"
	"strings"

	"ledger/records"
)

// textWidth is the width of explanations and help.
const textWidth = 78

// explain writes what a status means. Without a name it lists all of them.
//
// error: the name is none of a status; it names the nearest one.
func explain(out io.Writer, name string) error {
	all := explanations()
	if name == "" {
		for i := range all {
			fmt.Fprintf(out, "%s\n", all[i].name)
		}
		return nil
	}
	names := make([]string, len(all))
	for i := range all {
		if names[i] = all[i].name; names[i] == name {
			all[i].write(out)
			return nil
		}
	}
	message := fmt.Sprintf("unknown status %s: explain lists all of them", quoted(name))
	if near := nearest(name, names); near != "" {
		message = fmt.Sprintf("unknown status %s: did you mean %s? explain lists all of them", quoted(name), near)
	}
	return fmt.Errorf("%s", message)
}

func (e *explanation) write(out io.Writer) {
	fmt.Fprintln(out, e.name)
	writeText(out, "  means: ", e.means)
	writeText(out, "  do:    ", e.do)
	if e.usesUpID {
		writeText(out, "  id:    ", "The id is used up: every later transfer with it gets id_already_failed.")
	}
}

// writeText writes a text in lines of textWidth, behind a label.
func writeText(out io.Writer, label, text string) {
	line, indent := label, strings.Repeat(" ", len(label))
	for i, word := range strings.Fields(text) {
		if i > 0 && len(line)+1+len(word) > textWidth {
			fmt.Fprintln(out, line)
			line = indent + word
			continue
		}
		if i > 0 {
			line += " "
		}
		line += word
	}
	fmt.Fprintln(out, line)
}

// help writes the list of statements, or how one is written.
func (p *parser) help(out io.Writer, name string) error {
	if name == "" {
		for _, v := range p.verbs {
			writeText(out, fmt.Sprintf("%-23s", v.name), v.help)
		}
		fmt.Fprint(out, helpRules)
		return nil
	}
	v := verbNamed(p.verbs, name)
	if v == nil {
		return fmt.Errorf("unknown statement %s: help lists all of them", quoted(name))
	}
	fmt.Fprintf(out, "%s %s.\n", v.name, v.help)
	if v.object != nil {
		writeText(out, "  fields:  ", strings.Join(records.Names(p.fields[v.object]), ", "))
		if f := records.Named(p.fields[v.object], "flags"); f != nil {
			writeText(out, "  flags:   ", strings.Join(f.Flags, ", "))
		}
	}
	fmt.Fprintf(out, "  example: %s\n", v.example)
	return nil
}

const helpRules = `
A field is written name=value; a comma separates objects, a semicolon statements.
Numbers: 1000, 1_000, 0x3e8, 0b11, 0o17; -0 is the largest one, -1 that less one.
Flags: names with | between them. A # begins a comment.
Tab completes, ctrl-C cancels, ctrl-D leaves. help STATEMENT tells its fields.
`
