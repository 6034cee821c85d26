package vsr

import (
	"fmt"
	"strings"
)

// lazy is a text that is made only if it is read.
type lazy func() string

func (l lazy) String() string { return l() }

// text of a header: its op and the view that prepared it.
func (h *Header) text() string {
	if h.Blank {
		return fmt.Sprintf("%d.?", h.Op)
	}
	return fmt.Sprintf("%d.%d", h.Op, h.View)
}

func (l *List) text() string {
	texts := []string{}
	for i := range l.Count {
		texts = append(texts, l.Headers[i].text())
	}
	return "[" + strings.Join(texts, " ") + "]"
}

func (s *Set) text() string {
	texts := []string{}
	for op := range uint64(machineSlots) {
		if s.Has(op) {
			texts = append(texts, fmt.Sprint(op))
		}
	}
	if len(texts) == 0 {
		return "none"
	}
	return strings.Join(texts, " ")
}

// text of a ballot: each header with what is said of it.
func (b *Ballot) text() string {
	texts := []string{fmt.Sprintf("log_view %d", b.LogView)}
	for i := range b.List.Count {
		text := b.List.Headers[i].text()
		switch {
		case b.Present>>i&1 != 0:
			text += " present"
		case b.Nack>>i&1 != 0:
			text += " nacked"
		}
		texts = append(texts, text)
	}
	if !b.List.Uncertain.Empty() {
		texts = append(texts, "uncertain: "+b.List.Uncertain.text())
	}
	return strings.Join(texts, ", ")
}

// text of a node: what it is, and its log. An op of which only the header is known stands in
// brackets, a damaged one has an x.
func (n *node) text() string {
	what := [...]string{"normal", "view change", "recovering head"}[n.status]
	log := []string{}
	for op := uint64(1); op <= n.head; op++ {
		e := &n.entries[op]
		text := e.Header.text()
		switch {
		case e.IsFaulty:
			text += "x"
		case !e.IsHeld && !e.Header.Blank:
			text = "(" + text + ")"
		}
		log = append(log, text)
	}
	return fmt.Sprintf("%s, view %d, log_view %d, log [%s], executed %d", what, n.view, n.logView, strings.Join(log, " "), n.commitMin)
}

// slotsText shows both copies of each slot up to the last one that is used.
func (n *node) slotsText() string {
	texts, used := []string{}, 0
	for op := 1; op < machineSlots; op++ {
		text := ""
		for _, c := range [...]Copy{n.slots[op].P, n.slots[op].T} {
			switch c.Kind {
			case KindBad:
				text += " bad"
			case KindReserved:
				text += " empty"
			case KindTorn:
				text += " torn"
			default:
				text += fmt.Sprintf(" %d.%d", c.Op, c.View)
			}
		}
		if texts = append(texts, text[1:]); text != " empty empty" {
			used = op
		}
	}
	return "[" + strings.Join(texts[:used], " | ") + "]"
}
