package sim

import (
	"flag"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"ledger/internal/mutate"
)

// bugsList is the list of the planted bugs; package mutate describes its form. The effort of a bug
// is a number of seeds from 1 on, as 300, or with the seed that is tried first, as 300@217.
const bugsList = "testdata/bugs"

// clusterBugsList is that of bugs that seeds of clusters find.
const clusterBugsList = "testdata/bugs-clusters"

// huntMark begins what TestHunt says to TestPlantedBugs.
const huntMark = "hunt: "

// huntEnd is in the last line of a hunt that has found all bugs.
const huntEnd = "no bug: nothing found in"

var (
	plantedFlag = flag.String("planted", "", "the one bug that TestPlantedBugs plants, or name,name...; empty: the turn of the commit")
	anewFlag    = flag.Bool("planted-anew", false, "look for each bug with the seeds from 1 on, not with the one that has found it before")
)

// Goal: the simulator can fail, and it fails for a reason. Each bug of testdata/bugs is found
// within its number of seeds by the failure that the list names, and the same build without any bug
// finds nothing in the seeds that found the bugs. The bugs are planted in copies of the source
// files that only the compiler of this test sees. One run takes its turn of the list.
func TestPlantedBugs(t *testing.T) { plant(t, bugsList) }

// Goal: the same for bugs of the protocol between replicas.
func TestPlantedClusterBugs(t *testing.T) { plant(t, clusterBugsList) }

// plant builds the package with all bugs of a list, and hunts for them.
func plant(t *testing.T, file string) {
	if testing.Short() {
		t.Skip("builds the module once more")
	}
	bugs, err := mutate.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if *plantedFlag == "" {
		bugs = mutate.Turn(t, bugs)
	} else {
		wanted := strings.Split(*plantedFlag, ",")
		bugs = slices.DeleteFunc(bugs, func(b mutate.Bug) bool { return !slices.Contains(wanted, b.Name) })
	}
	if len(bugs) == 0 {
		t.Fatalf("-planted=%s: %s has no such bug", *plantedFlag, file)
	}
	var names []string
	for _, bug := range bugs {
		names = append(names, bug.Name)
		for _, e := range bug.Edits {
			if e.Old == "import (" {
				continue
			}
			if !strings.Contains(e.New, fmt.Sprintf("planted.Is(%q)", bug.Name)) {
				t.Errorf("%s: the change to %s does not ask planted.Is(%q), so it is there always or never", bug.Name, e.File, bug.Name)
			}
		}
	}
	if t.Failed() {
		return
	}
	list, err := mutate.Overlay("..", t.TempDir(), bugs, "ledger/sim/planted")
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command("go", "test", "-overlay", list, "-tags", "planted", "-vet=off", "-count=1", "-timeout", "60m", "-v",
		"-run", "^TestHunt$", ".", "-hunt="+strings.Join(names, ","), "-bugs="+file, fmt.Sprintf("-hunt-from-one=%v", *anewFlag))
	output, err := command.CombinedOutput()
	if !strings.Contains(string(output), huntEnd) && err == nil {
		t.Error("the hunt did not come to its end") // a test that was not run passes, too
	}
	for line := range strings.Lines(string(output)) {
		if _, said, ok := strings.Cut(line, huntMark); ok {
			t.Log(strings.TrimSpace(said))
		}
	}
	if err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}
