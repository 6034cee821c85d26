package vsr

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var updateFlag = flag.Bool("update", false, "write the golden scripts anew: read the difference")

// Goal: the protocol can be read step by step. Each file of testdata/scripts is a story: a command,
// and below the line what the replicas do.
//
//	cluster 3              replicas; replica 1 is the primary of view 1
//	request 1: 0 2         replica 1 prepares an op; 0 and 2 receive, write and acknowledge it
//	write 1: 0             the same, but the power fails at 0, or at 1 itself, while it writes
//	elect 2: 0 2           0 and 2 enter view 2 and vote; its primary chooses if it can
//	resend 1: 0            the primary's last op reaches 0 as well
//	follow 0               the newest start_view reaches 0
//	heartbeat 0            0 hears what is committed, and executes it
//	repair 0 from 1        0 asks 1 for what is missing
//	crash 0, start 0       the power fails, and comes back
//	rot 0 2                both copies of op 2 go bad at 0
//	state                  of each replica
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/scripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			before, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			after := playScript(t, string(before))
			if *updateFlag {
				if err := os.WriteFile(file, []byte(after), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if after != string(before) {
				t.Errorf("%s has changed (go test ./vsr -run TestScripts -update writes it):\n%s", file, after)
			}
		})
	}
}

// playScript returns a script with what its commands say now.
func playScript(t *testing.T, text string) string {
	var out strings.Builder
	var w *world
	random := rand.New(rand.NewPCG(1, 1))
	isOutput := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case isOutput && line != "":
			continue
		case line == "----":
			isOutput = true
			continue
		case line == "" || strings.HasPrefix(line, "#"):
			isOutput = false
			fmt.Fprintln(&out, line)
			continue
		}
		fmt.Fprintf(&out, "%s\n----\n", line)
		if strings.HasPrefix(line, "cluster ") {
			w = newWorld(number(t, strings.TrimPrefix(line, "cluster ")), "")
			w.isTraced = true
			w.log("%d replicas: q_r %d, q_v %d, q_n %d", w.q.Replicas, w.q.Replication, w.q.ViewChange, w.q.Nack)
		} else {
			w.command(t, random, line)
		}
		for _, said := range w.trace {
			fmt.Fprintln(&out, said)
		}
		if w.trace = nil; w.failure != "" {
			fmt.Fprintln(&out, "LOST:", w.failure)
		}
	}
	return out.String()
}

func number(t *testing.T, text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// command plays one line.
func (w *world) command(t *testing.T, random *rand.Rand, line string) {
	words := strings.Fields(strings.ReplaceAll(line, ":", ""))
	ids := []int{}
	for _, word := range words[1:] {
		if word != "from" {
			ids = append(ids, number(t, word))
		}
	}
	switch words[0] {
	case "request":
		w.send(ids[0], ids[1:]...)
	case "write":
		w.nodes[ids[0]].prepare()
		for _, id := range ids[1:] {
			n := w.nodes[id]
			n.take(&w.prepares[len(w.prepares)-1])
			for op := range n.writes { // of what is being written, only the first sector of the twin lands
				if n.writes[op] != 0 {
					torn := wholeCopy(&n.entries[op].Header)
					torn.Kind = KindTorn
					n.slots[op], n.writes[op] = Slot{Copy{}, torn}, 0
				}
			}
			n.crash(random)
		}
	case "resend":
		for _, id := range ids[1:] {
			w.nodes[id].take(&w.prepares[len(w.prepares)-1])
			w.nodes[id].settle()
		}
	case "elect":
		w.elect(uint32(ids[0]), ids[1:]...)
	case "follow":
		for _, id := range ids {
			w.nodes[id].follow(w.lastStart())
			w.nodes[id].persist()
			w.nodes[id].settle()
		}
	case "heartbeat":
		for _, id := range ids {
			n := w.nodes[id]
			n.commitMax = max(n.commitMax, min(w.nodes[w.q.PrimaryOf(n.view)].commitMax, n.head))
			w.execute(n)
		}
	case "repair":
		for range worldOps {
			w.nodes[ids[0]].repair(w.nodes[ids[1]])
			w.nodes[ids[0]].settle()
		}
		w.nodes[ids[0]].lead()
		w.nodes[ids[0]].settle()
	case "crash":
		w.nodes[ids[0]].crash(random)
	case "start":
		w.nodes[ids[0]].restart(random)
	case "rot":
		w.nodes[ids[0]].slots[ids[1]] = Slot{}
	case "state":
		for _, n := range w.nodes {
			if n.up {
				w.log("%d: %s", n.id, n.text())
			} else {
				w.log("%d: down, slots %s", n.id, n.slotsText())
			}
		}
	default:
		t.Fatalf("no command: %s", line)
	}
}
