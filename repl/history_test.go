package repl

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func opened(t *testing.T, path string) *history {
	t.Helper()
	h, err := openHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Goal: a session finds the statements of earlier ones, each in one line. The file is for its user
// only. Two sessions may add to it.
func TestHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "folder", "history")
	h, other := opened(t, path), opened(t, path)
	for _, text := range []string{"help;\n", "create_accounts # new\n id=1,\n\tid=2 flags=linked|history;\n", "help", "help", " \n",
		"help \x1b[2J"} {
		if err := h.add(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.add("explain exists"); err != nil {
		t.Fatal(err)
	}
	want := []string{"help;", "create_accounts id=1, id=2 flags=linked|history;", "help", "help ?[2J", "explain exists"}
	again := opened(t, path)
	if !slices.Equal(again.entries, want) {
		t.Errorf("%q, want %q", again.entries, want)
	}
	if again.Len() != 5 || again.At(0) != "explain exists" || again.At(4) != "help;" {
		t.Errorf("%d entries, the newest %q", again.Len(), again.At(0))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, error %v", info.Mode(), err)
	}
}

// Goal: the file stays small, and keeps the newest statements.
func TestHistoryIsCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	var text strings.Builder
	for i := range 2*entriesMax + 1 {
		fmt.Fprintf(&text, "lookup_accounts id=%d\n", i)
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	h := opened(t, path)
	content, err := os.ReadFile(path)
	if last := fmt.Sprintf("lookup_accounts id=%d", 2*entriesMax); err != nil || h.Len() != entriesMax || h.At(0) != last ||
		strings.Count(string(content), "\n") != entriesMax || !strings.HasSuffix(string(content), last+"\n") {
		t.Errorf("%d entries, the newest %q, in the file %d, error %v", h.Len(), h.At(0), strings.Count(string(content), "\n"), err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("%d files are left", len(left))
	}
}

// Goal: a file that cannot be used is an error, and the history works without it.
func TestHistoryWithoutFile(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{folder, filepath.Join(folder, "file", "history")} {
		h, err := openHistory(path)
		if err == nil {
			t.Errorf("%s: no error", path)
		}
		if err := h.add("help"); err != nil || h.Len() != 1 {
			t.Errorf("%s: %d entries, error %v", path, h.Len(), err)
		}
	}
	if h := opened(t, ""); h.add("help") != nil || h.Len() != 1 {
		t.Error("no history without a name")
	}
}
