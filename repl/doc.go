// Package repl is the shell: it reads statements, sends them to a server, and prints the results.
//
//	terminal --lines--> [editor] --statement--.
//	                                           +--> [parser] --> [runner] --client--> server
//	--command, --file, stdin --> [splitter] --'                     |
//	                                                                +--> [printer]: table, JSON, CSV
//
// In:     text. A statement is a verb and objects, which are fields with values; a comma separates
// objects, a semicolon statements.
// Out:    rows on the output; errors, notes and prompts elsewhere.
// Owns:   the terminal's mode while it reads a line, the history file while it adds to it, and one
// client session.
// Limits: a statement's text, and the events of one request.
// Faults: a wrong statement is reported with its position and what was expected, and the next one
// runs. A server that does not answer is reported after a bounded time; the statement goes on to
// wait until the timeout, or until the user cancels it. An evicted session is replaced for the next
// statement.
// Source: docs/shell.md.
package repl
