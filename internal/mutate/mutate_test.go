package mutate

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const goodList = `# a comment
== first, 30: what goes wrong
?? ^a reason \d+
-- folder/a.go
	x := 1
++
	x := 2
-- folder/a.go
	y := 1
++
	y := 2

== second, 5 seeds: another
?? .
-- folder/b.go
	z := 1
++
	z := planted.Is("second")
`

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Goal: a list says what it says, and one that lacks a part of a bug is refused with what is wrong.
func TestRead(t *testing.T) {
	bugs, err := Read(write(t, filepath.Join(t.TempDir(), "bugs"), goodList))
	if err != nil {
		t.Fatal(err)
	}
	if len(bugs) != 2 || bugs[0].Name != "first" || bugs[0].Effort != "30" || len(bugs[0].Edits) != 2 || bugs[1].Effort != "5 seeds" {
		t.Fatalf("%+v", bugs)
	}
	if e := bugs[0].Edits[1]; e != (Edit{File: "folder/a.go", Old: "\ty := 1", New: "\ty := 2"}) {
		t.Errorf("%+v", e)
	}
	if !bugs[0].Reason.MatchString("a reason 7") || bugs[0].Reason.MatchString("not a reason 7") {
		t.Errorf("reason %q", bugs[0].Reason)
	}
	for _, c := range []struct{ name, old, new, why string }{
		{"no effort", "first, 30:", "first:", "want a name, an effort"},
		{"no description", "first, 30: what", "first, 30", "want a name, an effort"},
		{"no reason", "?? ^a reason \\d+\n", "", "first lacks the reason"},
		{"no change", goodList[strings.Index(goodList, "-- folder/b.go"):], "", "second lacks the reason"},
		{"a reason that is no expression", "^a reason", "(", "line 3"},
	} {
		_, err := Read(write(t, filepath.Join(t.TempDir(), "bugs"), strings.Replace(goodList, c.old, c.new, 1)))
		if err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.why)
		}
	}
}

// Goal: all changes of a file are in one copy, which imports what it is told to; a text that is not
// there exactly once is refused.
func TestOverlay(t *testing.T) {
	bugs, err := Read(write(t, filepath.Join(t.TempDir(), "bugs"), goodList))
	if err != nil {
		t.Fatal(err)
	}
	root, folder := t.TempDir(), t.TempDir()
	a := write(t, filepath.Join(root, "folder", "a.go"), "// Package a.\npackage a\n\nfunc f() {\n\tx := 1\n\ty := 1\n}\n")
	b := write(t, filepath.Join(root, "folder", "b.go"), "// Package b.\npackage b\n\nfunc f() {\n\tz := 1\n}\n")
	list, err := Overlay(root, folder, bugs, "ledger/sim/planted")
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	var overlay struct{ Replace map[string]string }
	if err := json.Unmarshal(encoded, &overlay); err != nil || len(overlay.Replace) != 2 {
		t.Fatalf("%v, %s", err, encoded)
	}
	for path, want := range map[string]string{
		a: "// Package a.\npackage a\n\nimport \"ledger/sim/planted\"\n\nfunc f() {\n\tx := 2\n\ty := 2\n}\n",
		b: "// Package b.\npackage b\n\nimport \"ledger/sim/planted\"\n\nfunc f() {\n\tz := planted.Is(\"second\")\n}\n",
	} {
		if text, err := os.ReadFile(overlay.Replace[path]); err != nil || string(text) != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", path, err, text, want)
		}
	}
	for _, text := range []string{"package a\n", "package a\n\tx := 1\n\tx := 1\n\ty := 1\n"} {
		write(t, a, text)
		if _, err := Overlay(root, folder, bugs); err == nil || !strings.Contains(err.Error(), "want 1") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
