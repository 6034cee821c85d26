package peer

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"ledger/limits"
)

// layout is a table of fields. Neighbours of the same name are one line.
func layout(fields func(c *cursor), bytes int) string {
	type line struct {
		name      string
		at, bytes int
	}
	var lines []line
	note := func(name string, at, n int) {
		if last := len(lines) - 1; last >= 0 && lines[last].name == name {
			lines[last].bytes += n
			return
		}
		lines = append(lines, line{name, at, n})
	}
	c := cursor{b: make([]byte, bytes), writing: true, reserved: -1, note: note}
	fields(&c)
	if c.at < bytes {
		c.pad(bytes - c.at)
	}
	text := "| offset | bytes | field |\n|---:|---:|---|\n"
	for _, l := range lines {
		text += fmt.Sprintf("| %d | %d | %s |\n", l.at, l.bytes, l.name)
	}
	return text
}

// tables are the layouts of everything on the wire.
func tables() string {
	b := testBounds()
	text := "### Frames of a handshake\n\n" + layout(new(Frame).fields, frameTagAt) + fmt.Sprintf("| %d | %d | tag |\n", frameTagAt, TagBytes)
	text += "\n`fixed` are, in this order: " + strings.Join(fixedNames[:], ", ") + ".\n"
	text += "\n### Envelope\n\n" + layout(new(Envelope).fields, EnvelopeBytes)
	text += "\n### Messages\n\nOffsets are those of the inner header.\n"
	for _, s := range samples() {
		least, most := b.bodyBytes(s.command)
		body := "no body"
		if most > 0 {
			body = fmt.Sprintf("a body of %d to %d bytes", least, most)
		}
		class := [...]string{"urgent", "normal", "repair"}[s.command.Class()]
		text += fmt.Sprintf("\n#### %d %s\n\nClass %s, %s.\n\n", s.command, s.command, class, body)
		switch s.command {
		case CommandPrepare, CommandRepairPrepare:
			text += "The inner header is the prepare's (package `prepare`).\n"
		case CommandRequest:
			text += "The inner header is the client's (package `wire`).\n"
		default:
			text += layout(s.inner.fields, InnerBytes)
		}
	}
	return text
}

// Goal: the documents have the layouts of the code, and name each message and reason.
func TestDocuments(t *testing.T) {
	const path = "../docs/design/peer.md"
	const begin, end = "<!-- tables: written by go test ./peer -update -->\n", "<!-- end of tables -->\n"
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(content), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s lacks the marks of the tables", path)
	}
	want := head + begin + "\n" + tables() + "\n" + end + tail
	if *updateFlag {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		content = []byte(want)
	}
	if string(content) != want {
		t.Errorf("the tables of %s are not those of the code: go test ./peer -update", path)
	}
	for reason := ReasonNone + 1; reason < reasonsCount; reason++ {
		if line := fmt.Sprintf("| %d | %s |", reason, strings.TrimRight(reason.String(), ",")); !strings.Contains(string(content), line) {
			t.Errorf("%s lacks the reason of a refusal: %s", path, line)
		}
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for command := Command(1); command < commandsCount; command++ {
		if line := fmt.Sprintf("//\t%4d  %-20s", command, command); !strings.Contains(string(doc), line) {
			t.Errorf("doc.go lacks %q", line)
		}
	}
}

// Goal: bounds follow the limits, also those of the simulator.
func TestBounds(t *testing.T) {
	l := limits.Production()
	l.PipelineOpsMax, l.MessageBytesMax, l.BlockBytes, l.ReplicasCount = 2, 4096, 16384, 6
	b := NewBounds(&l, testCluster)
	if b.headersVoteMax() != 3 || b.headersViewMax() != 5 || b.BodyBytesMax() != 16384 {
		t.Errorf("%+v", b)
	}
	for _, count := range []uint32{0, 1, 7} {
		l.ReplicasCount = count
		mustPanic(t, func() { NewBounds(&l, testCluster) })
	}
	b = testBounds()
	for _, command := range []Command{CommandDoViewChange, CommandStartView} {
		if _, most := b.bodyBytes(command); InnerBytes+most > limits.SmallSlotBytes {
			t.Errorf("%s of %d bytes: it does not fit a small slot", command, InnerBytes+most)
		}
	}
}
