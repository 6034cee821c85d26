package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Goal: the manual page has every command, flag, example and exit status, and groff has nothing to
// say about it.
func TestManual(t *testing.T) {
	status, page, stderr := ran(t, "man")
	if status != exitDone {
		t.Fatalf("status %d: %s", status, stderr)
	}
	application, err := model()
	if err != nil {
		t.Fatal(err)
	}
	list := leaves(application.Node)
	if len(list) < 15 {
		t.Errorf("%d commands", len(list))
	}
	for _, l := range list {
		if !strings.Contains(page, "\n.SS ledger "+roff(strings.Join(l.words, " "))+"\n") {
			t.Errorf("the page lacks the command %s", l.words)
		}
		for _, flag := range l.flags() {
			if !strings.Contains(page, "\n.B "+roff(synopsis(flag))+"\n"+roff(describe(flag.Value))+"\n") {
				t.Errorf("the page lacks %s of %s", synopsis(flag), l.words)
			}
		}
	}
	for _, e := range exitStatuses {
		if !strings.Contains(page, fmt.Sprintf("\n.B %d\n", e.status)) {
			t.Errorf("the page lacks the status %d", e.status)
		}
	}
	if _, err := exec.LookPath("groff"); err != nil {
		without(t, "formatting the page", err)
	}
	command := exec.Command("groff", "-man", "-Tutf8", "-ww")
	command.Stdin = strings.NewReader(page)
	var said strings.Builder
	command.Stderr = &said
	if _, err := command.Output(); err != nil || said.Len() > 0 {
		t.Errorf("groff: %v\n%s", err, said.String())
	}
}

// Goal: bash offers commands, the commands below them, flags and files; zsh's file is the same
// behind its own head; fish's has each flag; and another shell is refused.
func TestCompletion(t *testing.T) {
	status, script, stderr := ran(t, "completion", "bash")
	if status != exitDone {
		t.Fatalf("status %d: %s", status, stderr)
	}
	if status, zsh, _ := ran(t, "completion", "zsh"); status != exitDone || !strings.HasPrefix(zsh, "#compdef ledger\n") ||
		!strings.HasSuffix(zsh, script) {
		t.Errorf("zsh: status %d:\n%s", status, zsh)
	}
	status, fish, _ := ran(t, "completion", "fish")
	for _, want := range []string{"-a start -d ", "-l addresses -r -d ", "__fish_seen_subcommand_from inspect' -f -a wal"} {
		if status != exitDone || !strings.Contains(fish, want) {
			t.Errorf("fish: status %d, does not say %q:\n%s", status, want, fish)
		}
	}
	if status, _, stderr := ran(t, "completion", "csh"); status != exitRefused || !strings.Contains(stderr, "csh: must be bash, zsh or fish") {
		t.Errorf("status %d: %s", status, stderr)
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		without(t, "completing with bash", err)
	}
	folder := t.TempDir()
	path := filepath.Join(folder, "ledger.bash")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ typed, want string }{
		{"st", "start status"}, {"inspect ", "superblock layout wal checkpoint tables block sessions digest"},
		{"inspect w", "wal"}, {"start --addr", "--addresses="}, {"inspect wal --", "--slot= --json"}, {"ping --reg", "--register"},
		{"verify led", "ledger.bash"},
	} {
		words := strings.Split("ledger "+test.typed, " ")
		quoted := "'" + strings.Join(words, "' '") + "'"
		command := exec.Command(bash, "--norc", "-c", fmt.Sprintf("source %s; COMP_WORDS=(%s); COMP_CWORD=%d; _ledger; echo \"${COMPREPLY[*]}\"",
			path, quoted, len(words)-1))
		command.Dir = folder
		out, err := command.CombinedOutput()
		got := strings.TrimSpace(string(out))
		if err != nil || got != test.want {
			t.Errorf("%q: %q, %v, want %q", test.typed, got, err, test.want)
		}
	}
}
