//go:build !planted

package sim

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var plantedFlag = flag.String("planted", "", "the one bug that TestPlantedBugs plants; empty: all")

// bug is a change to the source that the simulator has to notice.
type bug struct {
	name     string
	seedsMax string
	file     string
	old, new string
}

// readBugs reads testdata/bugs:
//
//	# a comment
//	== name, seeds: what goes wrong
//	-- file, from the root of the module
//	text that is there once
//	++
//	text in its place; it asks planted.Is("name")
//
// A bug may change several places: more of "--", "++".
func readBugs(t *testing.T) (bugs []bug) {
	content, err := os.ReadFile("testdata/bugs")
	if err != nil {
		t.Fatal(err)
	}
	var name, seeds string
	var target *string
	for number, line := range strings.Split(string(content), "\n") {
		mark, rest, _ := strings.Cut(line, " ")
		switch {
		case mark == "==":
			head, _, ok := strings.Cut(rest, ": ")
			if name, seeds, _ = strings.Cut(head, ", "); !ok || seeds == "" {
				t.Fatalf("testdata/bugs, line %d: want a name, seeds and a description", number+1)
			}
			target = nil
		case mark == "--":
			bugs = append(bugs, bug{name: name, seedsMax: seeds, file: rest})
			target = &bugs[len(bugs)-1].old
		case mark == "++":
			target = &bugs[len(bugs)-1].new
		case target != nil:
			*target += line + "\n"
		}
	}
	for i := range bugs {
		bugs[i].old, bugs[i].new = strings.TrimRight(bugs[i].old, "\n"), strings.TrimRight(bugs[i].new, "\n")
	}
	return bugs
}

// Goal: the simulator can fail. Each bug of testdata/bugs is found within a bounded number of
// seeds. The bugs are planted in copies of the source files that only the compiler of this test
// sees.
func TestPlantedBugs(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the module once more")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	var hunts []string
	last := ""
	for _, b := range readBugs(t) {
		if *plantedFlag != "" && b.name != *plantedFlag {
			continue
		}
		path := filepath.Join(root, filepath.FromSlash(b.file))
		text, seen := files[path]
		if !seen {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text = string(content)
			end := strings.Index(text, "\npackage ") + 1
			end += strings.Index(text[end:], "\n") + 1
			text = text[:end] + "\nimport \"ledger/sim/planted\"\n" + text[end:]
		}
		if count := strings.Count(text, b.old); count != 1 {
			t.Errorf("%s: the text that this bug changes is %d times in %s; testdata/bugs has to follow the code", b.name, count, b.file)
			continue
		}
		if !strings.Contains(b.new, fmt.Sprintf("planted.Is(%q)", b.name)) {
			t.Fatalf("%s: the bug is there always, or never", b.name)
		}
		files[path] = strings.Replace(text, b.old, b.new, 1)
		if b.name != last {
			hunts = append(hunts, b.name+":"+b.seedsMax)
			last = b.name
		}
	}
	folder := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for path, text := range files {
		copied := filepath.Join(folder, fmt.Sprintf("%d.go", len(overlay.Replace)))
		if err := os.WriteFile(copied, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[path] = copied
	}
	encoded, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(list, encoded, 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("go", "test", "-overlay", list, "-tags", "planted", "-vet=off", "-count=1", "-v", "-run", "^TestHunt$", ".",
		"-hunt="+strings.Join(hunts, ","))
	output, err := command.CombinedOutput()
	for line := range strings.Lines(string(output)) {
		if _, found, ok := bytes.Cut([]byte(line), []byte("found: ")); ok && !strings.Contains(line, "not found: ") {
			t.Logf("%s", bytes.TrimSpace(found))
		}
	}
	if err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}
