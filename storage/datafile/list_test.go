package datafile_test

import (
	"testing"

	"ledger/prepare"
	"ledger/storage/datafile"
	"ledger/vsr"
	"ledger/wire"
)

// The superblock has room for a list, and what is written there is read again.
func TestListInTheSuperblock(t *testing.T) {
	var s datafile.Superblock
	l := vsr.List{}
	for op := uint64(20); op > 9; op-- {
		f := prepare.Fields{Op: op, Commit: op / 2, View: uint32(op), Parent: wire.Checksum{byte(op)}, SizeBytes: prepare.HeaderBytes,
			Command: prepare.CommandPrepare}
		h := prepare.Put(s.Headers[l.Count][:], &f, prepare.Sum(nil))
		l.Headers[l.Count] = vsr.Header{Op: op, Commit: op / 2, View: uint32(op), Parent: wire.Checksum{byte(op)}, Checksum: h.Checksum()}
		if op == 15 {
			prepare.PutReserved(s.Headers[l.Count][:], wire.U128{}, op)
			l.Headers[l.Count] = vsr.Header{Op: op, Blank: true}
		}
		l.Count++
	}
	l.Uncertain.Add(21)
	l.Uncertain.Add(900)
	l.Uncertain.Put(&s.Uncertain)
	s.HeadersCount = uint8(l.Count)
	if got := s.List(); got != l {
		t.Errorf("%+v, want %+v", got, l)
	}
}
