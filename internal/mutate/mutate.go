// Package mutate changes the source on the way to the compiler, for tests that plant bugs.
//
// In:     a list of bugs: the original text, the new text, and the reason of the expected failure.
// Out:    an overlay file for the go command. The files of the tree do not change.
// Limits: a text occurs exactly once in its file, so the list has to follow the code.
//
// Only tests import this package.
package mutate

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Bug is a change of the source that a test has to find.
type Bug struct {
	Name   string
	Effort string         // how long to look for it, in the units of the test
	Reason *regexp.Regexp // the reason of the failure must match; another failure does not count
	Edits  []Edit
}

// Edit replaces a text in one file.
type Edit struct {
	File     string // from the root of the module
	Old, New string
}

// Read reads a list of bugs:
//
//	# a comment
//	== name, effort: what goes wrong
//	?? a regular expression that the failure's reason has to match
//	-- file, from the root of the module
//	text that is there once
//	++
//	text in its place
//
// A bug may change several places: more of "--", "++".
func Read(path string) (bugs []Bug, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var target *string
	for i, line := range strings.Split(string(content), "\n") {
		mark, rest, _ := strings.Cut(line, " ")
		var bug *Bug
		if len(bugs) > 0 {
			bug = &bugs[len(bugs)-1]
		}
		switch {
		case mark == "==":
			head, _, ok := strings.Cut(rest, ": ")
			name, effort, _ := strings.Cut(head, ", ")
			if !ok || effort == "" {
				return nil, fmt.Errorf("%s, line %d: %q: want a name, an effort and a description", path, i+1, line)
			}
			bugs, target = append(bugs, Bug{Name: name, Effort: effort}), nil
		case mark == "??" && bug != nil:
			if bug.Reason, err = regexp.Compile(rest); err != nil {
				return nil, fmt.Errorf("%s, line %d: %w", path, i+1, err)
			}
		case mark == "--" && bug != nil:
			bug.Edits = append(bug.Edits, Edit{File: rest})
			target = &bug.Edits[len(bug.Edits)-1].Old
		case mark == "++" && bug != nil && len(bug.Edits) > 0:
			target = &bug.Edits[len(bug.Edits)-1].New
		case target != nil:
			*target += line + "\n"
		}
	}
	for i := range bugs {
		if bugs[i].Reason == nil || len(bugs[i].Edits) == 0 {
			return nil, fmt.Errorf("%s: the bug %s lacks the reason by which it is found, or a change", path, bugs[i].Name)
		}
		for j := range bugs[i].Edits {
			e := &bugs[i].Edits[j]
			e.Old, e.New = strings.TrimRight(e.Old, "\n"), strings.TrimRight(e.New, "\n")
		}
	}
	return bugs, nil
}

// Overlay writes copies of the changed files, with all bugs, into folder. It returns the path of
// the list that `go build -overlay` reads. Each copy imports the packages of imports.
func Overlay(root, folder string, bugs []Bug, imports ...string) (list string, err error) {
	// The go command resolves relative paths of an overlay from its own folder, and ignores files
	// that do not exist.
	if root, err = filepath.Abs(root); err != nil {
		return "", err
	}
	files := map[string]string{}
	for _, bug := range bugs {
		for _, e := range bug.Edits {
			path := filepath.Join(root, filepath.FromSlash(e.File))
			text, seen := files[path]
			if !seen {
				content, err := os.ReadFile(path)
				if err != nil {
					return "", err
				}
				text = string(content)
				end := strings.Index(text, "\npackage ") + 1
				end += strings.Index(text[end:], "\n") + 1
				for _, name := range imports {
					text = text[:end] + fmt.Sprintf("\nimport %q\n", name) + text[end:]
				}
			}
			if count := strings.Count(text, e.Old); count != 1 {
				return "", fmt.Errorf("%s: the text that this bug changes is %d times in %s, want 1; the list of bugs has to follow the code:\n%s",
					bug.Name, count, e.File, e.Old)
			}
			files[path] = strings.Replace(text, e.Old, e.New, 1)
		}
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for path, text := range files {
		copied := filepath.Join(folder, fmt.Sprintf("%d.go", len(overlay.Replace)))
		if err := os.WriteFile(copied, []byte(text), 0o600); err != nil {
			return "", err
		}
		overlay.Replace[path] = copied
	}
	encoded, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	list = filepath.Join(folder, "overlay.json")
	return list, os.WriteFile(list, encoded, 0o600)
}
