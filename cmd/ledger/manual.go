package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCommand writes what a shell needs to complete the command line.
type completionCommand struct {
	Shell string `arg:"" help:"bash, zsh or fish."`
}

// manCommand writes the manual page.
type manCommand struct{}

// leaf is a command that has none below it.
type leaf struct {
	words []string
	node  *kong.Node
}

// leaves of the command line, in the order of its definition.
func leaves(node *kong.Node, words ...string) (list []leaf) {
	for _, child := range node.Children {
		name := append(slices.Clone(words), child.Name)
		if len(child.Children) == 0 {
			list = append(list, leaf{name, child})
		} else {
			list = append(list, leaves(child, name...)...)
		}
	}
	return list
}

// flags that people see.
func (l *leaf) flags() (list []*kong.Flag) {
	for _, flag := range l.node.Flags {
		if !flag.Hidden {
			list = append(list, flag)
		}
	}
	return list
}

// synopsis of a flag, as in --cluster=N.
func synopsis(flag *kong.Flag) string {
	if isBool(flag) {
		return "--" + flag.Name
	}
	return "--" + flag.Name + "=" + flag.FormatPlaceHolder()
}

// model is the definition of the command line.
func model() (*kong.Application, error) {
	parser, err := newParser(&commandLine{}, io.Discard, io.Discard, func(int) {})
	if err != nil {
		return nil, err
	}
	return parser.Model, nil
}

// Run implements the command.
func (c *completionCommand) Run(s *streams) error {
	application, err := model()
	if err != nil {
		return err
	}
	list := leaves(application.Node)
	switch c.Shell {
	case "bash":
		completeBash(s.out, list)
	case "zsh":
		fmt.Fprintln(s.out, "#compdef ledger\nautoload -U +X bashcompinit && bashcompinit")
		completeBash(s.out, list)
	case "fish":
		completeFish(s.out, list)
	default:
		return fmt.Errorf("%s: must be bash, zsh or fish", c.Shell)
	}
	return nil
}

// completeBash writes a function that offers, behind the words of a command, the words below it,
// its flags, or files.
func completeBash(out io.Writer, list []leaf) {
	below := map[string][]string{} // of words, the next ones
	var order []string
	add := func(words, next string) {
		if _, isKnown := below[words]; !isKnown {
			order = append(order, words)
		}
		if !slices.Contains(below[words], next) {
			below[words] = append(below[words], next)
		}
	}
	for _, l := range list {
		for i, word := range l.words {
			add(strings.Join(l.words[:i], " "), word)
		}
		for _, flag := range l.flags() {
			text := "--" + flag.Name
			if !isBool(flag) {
				text += "="
			}
			add(strings.Join(l.words, " "), text)
		}
	}
	fmt.Fprintln(out, "_ledger() {\n\tlocal current=${COMP_WORDS[COMP_CWORD]} words= word\n"+
		"\tfor word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"+
		"\t\tcase $word in -*|=) ;; *) case \"$words $word\" in")
	var patterns []string
	for _, words := range order {
		if words != "" {
			patterns = append(patterns, `" `+words+`"`)
		}
	}
	fmt.Fprintf(out, "\t\t\t%s) words=\"$words $word\" ;;\n\t\tesac ;; esac\n\tdone\n\tlocal offered=\n\tcase \"$words\" in\n",
		strings.Join(patterns, "|"))
	for _, words := range order {
		key := ""
		if words != "" {
			key = " " + words
		}
		fmt.Fprintf(out, "\t\t\"%s\") offered=\"%s\" ;;\n", key, strings.Join(below[words], " "))
	}
	fmt.Fprintln(out, "\tesac\n\tCOMPREPLY=($(compgen -W \"$offered\" -- \"$current\"))\n"+
		"\t[[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null\n"+
		"\t[[ ${#COMPREPLY[@]} -eq 0 ]] && COMPREPLY=($(compgen -f -- \"$current\"))\n\treturn 0\n}\n"+
		"complete -F _ledger ledger")
}

// completeFish writes a line for each word and flag.
func completeFish(out io.Writer, list []leaf) {
	quote := func(text string) string { return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'" }
	seen := map[string]bool{}
	for _, l := range list {
		first := l.words[0]
		if !seen[first] {
			seen[first] = true
			help := l.node.Help
			if len(l.words) > 1 {
				help = l.node.Parent.Help
			}
			fmt.Fprintf(out, "complete -c ledger -n __fish_use_subcommand -f -a %s -d %s\n", first, quote(help))
		}
		condition := quote("__fish_seen_subcommand_from " + l.words[len(l.words)-1])
		if len(l.words) > 1 {
			fmt.Fprintf(out, "complete -c ledger -n %s -f -a %s -d %s\n", quote("__fish_seen_subcommand_from "+first), l.words[1],
				quote(l.node.Help))
		}
		for _, flag := range l.flags() {
			argument := " -r"
			if isBool(flag) {
				argument = ""
			}
			fmt.Fprintf(out, "complete -c ledger -n %s -l %s%s -d %s\n", condition, flag.Name, argument, quote(describe(flag.Value)))
		}
	}
}

// Run implements the command.
func (c *manCommand) Run(s *streams) error {
	application, err := model()
	if err != nil {
		return err
	}
	writeManual(s.out, application, leaves(application.Node))
	return nil
}

// roff escapes a text for the macros of manual pages.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}

func writeManual(out io.Writer, application *kong.Application, list []leaf) {
	fmt.Fprintf(out, ".TH LEDGER 1 \"\" \"ledger %s\" \"User Commands\"\n.SH NAME\nledger \\- %s\n.SH SYNOPSIS\n", version,
		roff(application.Help))
	for _, l := range list {
		fmt.Fprintf(out, ".B ledger %s\n", roff(strings.Join(l.words, " ")))
		if len(l.flags()) > 1 { // --help is one
			fmt.Fprintln(out, "[\\fIflags\\fR]")
		}
		for _, argument := range l.node.Positional {
			fmt.Fprintf(out, "\\fI%s\\fR\n", roff(strings.ToUpper(argument.Name)))
		}
		fmt.Fprintln(out, ".br")
	}
	fmt.Fprintln(out, ".SH DESCRIPTION\nA flag and its value are one word, as in\n.BR \\-\\-cluster=7 .\n"+
		"A boolean flag without a value is true. Each flag may be given once.\n.SH COMMANDS")
	for _, l := range list {
		fmt.Fprintf(out, ".SS ledger %s\n%s\n", roff(strings.Join(l.words, " ")), roff(l.node.Help))
		for _, flag := range l.flags() {
			fmt.Fprintf(out, ".TP\n.B %s\n%s\n", roff(synopsis(flag)), roff(describe(flag.Value)))
		}
		for _, argument := range l.node.Positional {
			fmt.Fprintf(out, ".TP\n.I %s\n%s\n", roff(strings.ToUpper(argument.Name)), roff(describe(argument)))
		}
		if provider, ok := l.node.Target.Addr().Interface().(kong.HelpProvider); ok {
			fmt.Fprintln(out, ".PP\n.nf")
			for line := range strings.Lines(provider.Help()) {
				fmt.Fprintln(out, roff(strings.TrimSuffix(line, "\n")))
			}
			fmt.Fprintln(out, ".fi")
		}
	}
	fmt.Fprintln(out, ".SH EXIT STATUS")
	for _, e := range exitStatuses {
		fmt.Fprintf(out, ".TP\n.B %d\n%s\n", e.status, roff(e.means))
	}
}
