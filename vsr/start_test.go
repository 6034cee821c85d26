package vsr

import (
	"testing"

	"ledger/prepare"
	"ledger/storage/datafile"
	"ledger/wire"
)

// texts of a list: its ops, head first.
func opsOf(l *List) (ops []uint64) {
	for i := range l.Count {
		ops = append(ops, l.Headers[i].Op)
	}
	return ops
}

func same(a, b []uint64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// A start_view's list: a pipeline from the head down, as far as it is known below what is
// committed, then hooks. It is one that a peer takes.
func TestStartList(t *testing.T) {
	headers := chained(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
	for _, c := range []struct {
		what            string
		states          string
		head, commitMax uint64
		hooks           []uint64
		want            []uint64 // none: there is no list
	}{
		{"a whole log", "hhhhhhhhhhhhh", 12, 10, nil, []uint64{12, 11, 10, 9, 8, 7, 6, 5, 4}},
		{"down to op 0", "hhhh", 3, 3, nil, []uint64{3, 2, 1, 0}},
		{"with hooks", "hhhhhhhhhhhhh", 12, 12, []uint64{3, 1}, []uint64{12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 1}},
		{"a hook that is not known", "hhh.hhhhhhhhh", 12, 12, []uint64{3, 1}, []uint64{12, 11, 10, 9, 8, 7, 6, 5, 4, 1}},
		{"a hook within the list", "hhhhhhhhhhhhh", 12, 12, []uint64{5, 1}, []uint64{12, 11, 10, 9, 8, 7, 6, 5, 4, 1}},
		{"headers without prepares", "hkkfk", 4, 2, nil, []uint64{4, 3, 2, 1, 0}},
		{"a gap below what is committed", "hh.hh", 4, 3, nil, []uint64{4, 3}},
		{"a gap at what is committed", "hh.hh", 4, 2, nil, nil},
		{"a gap above it", "hhh.h", 4, 2, nil, nil},
		{"another prepare above it", "hhhoh", 4, 2, nil, nil},
		{"another prepare below it", "hhohh", 4, 3, nil, []uint64{4, 3}},
		{"more than a pipeline", "hhhhhhhhhhhhh", 12, 3, nil, nil},
		{"a full pipeline", "hhhhhhhhhhhhh", 12, 4, nil, []uint64{12, 11, 10, 9, 8, 7, 6, 5, 4}},
	} {
		l, ok := StartList(logOf(headers, c.states), c.head, c.commitMax, c.hooks...)
		if ok != (c.want != nil) || ok && !same(opsOf(&l), c.want) {
			t.Errorf("%s: %v, %v, want %v", c.what, opsOf(&l), ok, c.want)
		}
		if ok && l.CheckStart(1, c.commitMax, PipelineMax) != "" {
			t.Errorf("%s: %s", c.what, l.CheckStart(1, c.commitMax, PipelineMax))
		}
	}
}

// The list of a checkpoint is that of the highest op that has one, and never ends below the one
// before.
func TestRefreshList(t *testing.T) {
	headers := chained(1, 1, 1, 1, 1, 1)
	before, _ := StartList(logOf(headers, "hhh"), 2, 2)
	for _, c := range []struct {
		states          string
		head, commitMax uint64
		want            uint64 // head of the list
	}{
		{"hhhhhhh", 6, 5, 6},
		{"hhhhhhh", 6, 3, 6},
		{"hhhhh.h", 6, 3, 4}, // op 6 has no chain down to op 3
		{"hhhh..h", 6, 3, 3},
		{"hhh...h", 6, 2, 2}, // the one before
		{"hh....h", 6, 1, 2}, // the same
	} {
		if l := RefreshList(logOf(headers, c.states), &before, c.head, c.commitMax); l.Head() != c.want {
			t.Errorf("%+v: head %d", c, l.Head())
		}
	}
}

// The superblock has room for a list, and what is written there is read again.
func TestListInTheSuperblock(t *testing.T) {
	var s datafile.Superblock
	if len(s.Headers) != StartHeadersMax || len(s.Uncertain) != SetBytes {
		t.Fatalf("%d headers, %d bytes of uncertain ops", len(s.Headers), len(s.Uncertain))
	}
	l := List{}
	for op := uint64(20); op > 9; op-- {
		f := prepare.Fields{Op: op, Commit: op / 2, View: uint32(op), Parent: wire.Checksum{byte(op)}, SizeBytes: prepare.HeaderBytes,
			Command: prepare.CommandPrepare}
		h := prepare.Put(s.Headers[l.Count][:], &f, prepare.Sum(nil))
		l.Headers[l.Count] = Header{Op: op, Commit: op / 2, View: uint32(op), Parent: wire.Checksum{byte(op)}, Checksum: h.Checksum()}
		if op == 15 {
			prepare.PutReserved(s.Headers[l.Count][:], wire.U128{}, op)
			l.Headers[l.Count] = Header{Op: op, Blank: true}
		}
		l.Count++
	}
	l.Uncertain.Add(21)
	l.Uncertain.Add(900)
	l.Uncertain.Put(&s.Uncertain)
	headers := make([]prepare.Header, l.Count)
	for i := range headers {
		headers[i] = s.Headers[i][:]
	}
	if got := ReadList(headers, &s.Uncertain); got != l {
		t.Errorf("%+v, want %+v", got, l)
	}
}
