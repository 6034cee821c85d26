package repl

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// entriesMax is the number of statements that the history keeps.
const entriesMax = 1000

// history holds the statements that were typed, also in earlier sessions. It is the History of a
// terminal, which reads it for the arrow keys.
type history struct {
	entries []string // the newest last
	path    string   // "": not kept on disk
}

// openHistory reads the history of earlier sessions; path "" has none. A file that has grown is cut
// to its newest entries.
//
// error: the file cannot be used, and the history works without it.
func openHistory(path string) (*history, error) {
	h := &history{}
	if path == "" {
		return h, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return h, err
	}
	file, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o600)
	if err != nil {
		return h, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, statementBytesMax)
	linesCount := 0
	for lines.Scan() {
		linesCount++
		h.remember(lines.Text())
	}
	if err := lines.Err(); err != nil {
		return h, fmt.Errorf("reading %s: %w", path, err)
	}
	h.path = path
	if linesCount > 2*entriesMax {
		return h, h.rewrite()
	}
	return h, nil
}

// rewrite writes a file of the entries in memory, and gives it the name.
func (h *history) rewrite() error {
	file, err := os.CreateTemp(filepath.Dir(h.path), filepath.Base(h.path)+".*")
	if err != nil {
		return err
	}
	_, err = file.WriteString(strings.Join(h.entries, "\n") + "\n")
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), h.path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

// remember adds an entry in memory. It tells whether the entry is another one than the last.
func (h *history) remember(entry string) bool {
	if entry == "" || len(h.entries) > 0 && h.entries[len(h.entries)-1] == entry {
		return false
	}
	if h.entries = append(h.entries, entry); len(h.entries) > entriesMax {
		h.entries = slices.Delete(h.entries, 0, len(h.entries)-entriesMax)
	}
	return true
}

// add adds a statement, in one line. It is on the disk before it is run, so that nothing that was
// typed is lost. Several shells may add to one file.
func (h *history) add(text string) error {
	entry := oneLine(text)
	if !h.remember(entry) || h.path == "" {
		return nil
	}
	file, err := os.OpenFile(h.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(entry + "\n")
	return errors.Join(err, file.Close())
}

// oneLine writes a text without comments and line ends, and with one blank where it has several.
func oneLine(text string) string {
	var out strings.Builder
	end := 0
	for lexer := newLexer(text); ; {
		one := lexer.next()
		if one.kind == tokenEnd {
			return out.String()
		}
		if out.Len() > 0 && one.at.offset > end {
			out.WriteByte(' ')
		}
		out.WriteString(printable(one.text))
		end = one.end().offset
	}
}

// Add implements term.History: it takes no lines, because add takes whole statements.
func (h *history) Add(string) {}

// Len implements term.History.
func (h *history) Len() int { return len(h.entries) }

// At implements term.History: 0 is the newest entry.
func (h *history) At(index int) string { return h.entries[len(h.entries)-1-index] }
