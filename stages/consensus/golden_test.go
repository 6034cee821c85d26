package consensus

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ledger/peer"
	"ledger/prepare"
	"ledger/wire"
)

var updateFlag = flag.Bool("update", false, "write the golden scripts anew: read the difference")

// Goal: the protocol can be learned step by step from what the stages send, write and execute. Each
// file of testdata/scripts is a story: a command, and below the line what follows from it. An op is
// written as its number and the view in which it was prepared. Pings, heartbeats and their echoes
// are left out unless a script shows them.
//
//	cluster 3               replicas, which agree on a view and on the time, and execute a pulse
//	begun 3                 the same, and a client registers; nothing is said of it
//	register, request       a client, at the primary
//	run 300                 milliseconds pass
//	crash 0, start 0        power fails at replica 0; it comes back
//	cut 0, connect 0        replica 0 reaches nobody, and nobody reaches it; or all is well again
//	hears-nobody 0          replica 0 sends, and nothing reaches it
//	lose 0 1 prepare        messages of one kind from 0 to 1 are lost; connect ends that
//	rot 0 2                 both copies of op 2 go bad at replica 0, which is down
//	damage 0 7 8            blocks 7 and 8 are damaged at replica 0
//	mend 0 7                block 7 is whole again there
//	want 0 7 8              replica 0 cannot go on without these blocks
//	lies 2                  replica 2 answers with other blocks than those that it is asked for
//	show commit commit_echo messages of these kinds are shown from now on
//	state                   of each replica
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
				t.Errorf("%s has changed (go test ./stages/consensus -run TestScripts -update writes it):\n%s", file, after)
			}
		})
	}
}

// story is a world in which nothing happens by chance, and what it says.
type story struct {
	w     *several
	said  []string
	shown []string
	lost  []string // "from to kind"
}

// playScript returns a script with what its commands say now.
func playScript(t *testing.T, text string) string {
	var out strings.Builder
	s := &story{}
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
		s.said = nil
		s.command(t, strings.Fields(line))
		fmt.Fprintf(&out, "%s\n----\n", line)
		for i := 0; i < len(s.said); i++ { // the same line in a row is said once
			count := 1
			for ; i+1 < len(s.said) && s.said[i+1] == s.said[i]; i++ {
				count++
			}
			if fmt.Fprint(&out, s.said[i]); count > 1 {
				fmt.Fprintf(&out, " (%d times)", count)
			}
			fmt.Fprintln(&out)
		}
	}
	return out.String()
}

func (s *story) command(t *testing.T, words []string) {
	numbers := []int{}
	for _, word := range words[1:] {
		if n, err := strconv.Atoi(word); err == nil {
			numbers = append(numbers, n)
		}
	}
	pause := uint64(30)
	switch w := s.w; words[0] {
	case "cluster", "begun":
		w = newSeveral(t, numbers[0], 7)
		w.isExact = true
		w.addClients(1)
		w.quiet(true)
		s.w, pause = w, 5000
		w.onSend = s.sent
	case "register", "request":
		w.clients[0].ask(words[0] == "register")
	case "run":
		pause = uint64(numbers[0])
	case "crash":
		w.machines[numbers[0]].powerCut()
	case "start":
		w.machines[numbers[0]].start()
	case "cut":
		w.isolate(numbers[0], true)
	case "hears-nobody":
		for i := range w.machines {
			w.isCut[i][numbers[0]] = true
		}
	case "connect":
		w.isolate(numbers[0], false)
		s.lost = nil
	case "lose":
		s.lost = append(s.lost, strings.Join(words[1:], " "))
	case "rot":
		slot := &w.machines[numbers[0]].disk[numbers[1]]
		slot.p, slot.t = []byte{}, []byte{}
	case "damage", "mend":
		pause = 0
		for _, address := range numbers[1:] {
			w.machines[numbers[0]].grid.damaged[uint64(address)] = words[0] == "damage"
		}
	case "want":
		for _, address := range numbers[1:] {
			w.machines[numbers[0]].want(uint64(address), true)
		}
	case "lies":
		w.machines[numbers[0]].grid.isLiar = true
	case "show":
		s.shown = append(s.shown, words[1:]...)
	case "state":
		pause = 0
		for _, m := range w.machines {
			s.say("%d: %s", m.index, m.sum())
		}
	default:
		t.Fatalf("no command: %v", words)
	}
	s.w.say = s.say
	s.w.onLost = func(m *machine, lost LostBlocks) {
		if lost.Count == 0 {
			s.say("%d says that all blocks are whole again", m.index)
			return
		}
		s.say("%d says that %d blocks are lost, the first is %d, everywhere: %v", m.index, lost.Count, lost.Ref.Address, lost.IsEverywhere)
	}
	if s.w.run(pause * 1_000_000); words[0] == "begun" {
		s.w.clients[0].ask(true)
		s.w.run(pause * 1_000_000)
		s.said = nil
	}
}

func (s *story) say(format string, values ...any) {
	s.said = append(s.said, fmt.Sprintf(format, values...))
}

// sent says what leaves, and whether it is lost.
func (s *story) sent(from, to int, f *flight) bool {
	isLost := slices.Contains(s.lost, fmt.Sprintf("%d %d %s", from, to, f.command))
	switch f.command {
	case peer.CommandPing, peer.CommandPong, peer.CommandCommit, peer.CommandCommitEcho:
		if !slices.Contains(s.shown, f.command.String()) {
			return !isLost
		}
	}
	fate := ""
	if isLost || s.w.isCut[from][to] {
		fate = ", lost"
	}
	s.say("%d -> %d %s%s%s", from, to, f.command, s.w.content(f), fate)
	return !isLost
}

// content is what a message says, in a few words.
func (w *several) content(f *flight) string {
	e := peer.Envelope{Command: f.command, View: f.view, BodyBytes: uint32(len(f.bytes) - 256), Incarnation: 1}
	inner := f.bytes[:256]
	switch f.command {
	case peer.CommandPrepare, peer.CommandRepairPrepare:
		return " " + opOf(prepare.Header(inner))
	case peer.CommandPrepareOK:
		var m peer.PrepareOK
		m.Decode(inner, &e, &w.bounds)
		return fmt.Sprintf(" %s in view %d", w.named(m.Op, m.Checksum), f.view)
	case peer.CommandCommit:
		var m peer.Commit
		m.Decode(inner, &e, &w.bounds)
		return fmt.Sprintf(" %d", m.Op)
	case peer.CommandStartViewChange:
		var m peer.StartViewChange
		m.Decode(inner, &e, &w.bounds)
		return fmt.Sprintf(" of view %d: %v", f.view, m.Cause)
	case peer.CommandDoViewChange:
		var m peer.DoViewChange
		m.Decode(inner, &e, &w.bounds)
		var list durableLog
		list.read(f.bytes[256:], m.LogView, &m.Uncertain)
		return fmt.Sprintf(" for view %d: log view %d, %s", f.view, m.LogView, list.text(m.Present, m.Nack))
	case peer.CommandStartView:
		var m peer.StartView
		m.Decode(inner, &e, &w.bounds)
		var list durableLog
		list.read(f.bytes[256+peer.CheckpointBytes:], f.view, nil)
		return fmt.Sprintf(" of view %d: commit %d, %s", f.view, m.CommitMax, list.text(0, 0))
	case peer.CommandRequestPrepare:
		var m peer.RequestPrepare
		m.Decode(inner, &e, &w.bounds)
		return " " + w.named(m.Op, m.Checksum)
	case peer.CommandRequestHeaders:
		var m peer.RequestHeaders
		m.Decode(inner, &e, &w.bounds)
		return fmt.Sprintf(" of ops %d to %d", m.OpMin, m.OpMax)
	case peer.CommandRequestBlocks:
		var m peer.RequestBlocks
		m.Decode(inner, &e, &w.bounds)
		text := ""
		for i := range m.BlocksCount {
			text += fmt.Sprintf(" %d", m.Blocks[i].Address)
		}
		return text
	case peer.CommandBlock:
		var m peer.Block
		m.Decode(inner, &e, &w.bounds)
		return fmt.Sprintf(" %d", m.Name.Address)
	case peer.CommandBlockMissing:
		var m peer.BlockMissing
		m.Decode(inner, &e, &w.bounds)
		return fmt.Sprintf(" %d", m.Name.Address)
	case peer.CommandPrepareMissing:
		var m peer.PrepareMissing
		m.Decode(inner, &e, &w.bounds)
		return " " + w.named(m.Op, m.Checksum)
	}
	return ""
}

func opOf(h prepare.Header) string { return fmt.Sprintf("%d.%d", h.Op(), h.View()) }

func (w *several) named(op uint64, checksum wire.Checksum) string {
	if h := w.oracle.headers[checksum]; h != nil {
		return opOf(h)
	}
	return strconv.FormatUint(op, 10)
}

// text is the list, each op with what the ballot says of it: + it is here, - it never was here, ?
// neither.
func (d *durableLog) text(present, nack uint16) string {
	words := []string{}
	for i := range d.headersCount {
		h := prepare.Header(d.headers[i][:])
		word := opOf(h)
		if h.Command() != prepare.CommandPrepare {
			word = fmt.Sprintf("%d.blank", h.Op())
		}
		switch {
		case h.Op() == 0:
			word = "0"
		case present>>i&1 != 0:
			word += "+"
		case nack>>i&1 != 0:
			word += "-"
		case present|nack != 0:
			word += "?"
		}
		words = append(words, word)
	}
	list := d.list()
	if highest := list.Uncertain.Highest(0); highest > 0 {
		words = append(words, fmt.Sprintf("uncertain up to op %d", highest))
	}
	return "list " + strings.Join(words, " ")
}

// sum is the state of a machine in a line.
func (m *machine) sum() string {
	if !m.isUp {
		return "down"
	}
	s := m.stage
	role := [...]string{"normal", "view change", "uncertain head"}[s.views.is]
	if s.mayOrder() {
		role = "primary"
	} else if s.isPrimary() && s.beats.isGivingWay() {
		role = "gives way"
	}
	return fmt.Sprintf("%s, view %d, log view %d, head %d, commit %d of %d", role, s.views.now(), s.views.logView(), s.log.head(),
		s.commits.min(), s.commits.max())
}
