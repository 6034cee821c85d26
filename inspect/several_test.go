package inspect

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"ledger/internal/arena"
	"ledger/internal/posix"
	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/stages/journal"
	"ledger/storage/datafile"
	"ledger/vsr"
)

// severalAged is the file of aged as that of one of three replicas, whose list of durable headers
// begins with the log's head. head is its op.
func severalAged(t *testing.T) (path string, l limits.Limits, head uint64) {
	t.Helper()
	path, l = aged(t)
	file, err := posix.OpenDataFile(path, posix.OpenOptions{DirectOptional: true, SectorBytes: l.SectorBytes})
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	memory := arena.New()
	defer memory.Close()
	scratch := memory.Bytes(uint64(l.MessageBytesMax), 4096, "scratch")
	s, err := datafile.OpenSuperblock(file, &l, scratch)
	if err != nil {
		t.Fatal(err)
	}
	headers := memory.Bytes(uint64(l.JournalSlotsCount)*limits.HeaderBytes, 4096, "headers")
	r, err := journal.Recover(file, &l, &s.Superblock, headers, scratch)
	if err != nil {
		t.Fatal(err)
	}
	next := s.Superblock
	next.Sequence, next.Parent, next.ReplicasCount, next.Replica, next.HeadersCount = next.Sequence+1, s.Checksum, 3, 1, 1
	copy(next.Headers[0][:], headers[r.OpHead%uint64(l.JournalSlotsCount)*limits.HeaderBytes:])
	if _, err := datafile.WriteSuperblock(file, &l, &next, scratch); err != nil {
		t.Fatal(err)
	}
	return path, l, r.OpHead
}

// Goal: of one of several replicas, inspect shows the fields of its superblock, and judges each
// slot of the log, its head and its uncertain ops as the recovery of a server does, whatever is
// damaged.
func TestSeveral(t *testing.T) {
	path, l, head := severalAged(t)
	random := seeded.Rand(t)
	memory := arena.New()
	defer memory.Close()
	scratch := memory.Bytes(uint64(l.MessageBytesMax), 4096, "scratch")
	headers := memory.Bytes(uint64(l.JournalSlotsCount)*limits.HeaderBytes, 4096, "headers")
	verdicts := map[string]int{}
	for trial := range 40 {
		changes := map[uint64]byte{}
		layout := datafile.NewLayout(&l)
		for range random.IntN(4) * min(trial, 1) {
			slot, at := random.Uint64N(uint64(l.JournalSlotsCount)), random.Uint64N(1000)
			if random.IntN(2) == 0 {
				slot = (head + random.Uint64N(3)) % uint64(l.JournalSlotsCount)
			}
			which := random.IntN(3)
			if which != 0 {
				changes[layout.PrepareAt(slot)+at] = 0x10
			}
			if which != 1 {
				changes[layout.TwinAt(slot)+at] = 0x10
			}
		}
		f, o := opened(t, path, l, changes)
		s, err := f.inForce()
		if err != nil {
			t.Fatal(err)
		}
		want, wantErr := journal.Recover(readOnly{o}, &l, &s.Superblock, headers, scratch)
		wal, err := f.WAL(-1)
		if err != nil {
			t.Fatal(err)
		}
		if wantErr != nil {
			if wal.Verdict != "a start is refused: "+wantErr.Error() {
				t.Fatalf("changes %v: verdict %q, want %v", changes, wal.Verdict, wantErr)
			}
			continue
		}
		uncertain := vsr.Set{}
		for _, op := range wal.Uncertain {
			uncertain.Add(op)
		}
		if wal.OpHead != want.OpHead || wal.CommitMax != want.CommitMax || uncertain != want.Uncertain {
			t.Fatalf("changes %v: head %d, commit %d, uncertain %v; recovery says %d, %d, %v", changes, wal.OpHead, wal.CommitMax, wal.Uncertain,
				want.OpHead, want.CommitMax, want.Uncertain)
		}
		for i := range wal.Slots {
			slot, d := &wal.Slots[i], &want.Decisions[i]
			if slot.Row != string(d.Row) || slot.Verdict != d.Verdict.String() || slot.State == "" {
				t.Fatalf("changes %v: slot %d is row %s, %s (%s); recovery says %c, %s", changes, i, slot.Row, slot.Verdict, slot.State, d.Row,
					d.Verdict)
			}
			if d.Verdict == vsr.Faulty && len(slot.damage) == 0 {
				t.Errorf("changes %v: slot %d is faulty, and no damage", changes, i)
			}
			verdicts[slot.Verdict]++
		}
		if !strings.HasPrefix(wal.Verdict, startsText+" together with the other replicas") ||
			strings.Contains(wal.Verdict, "uncertain") == want.Uncertain.Empty() {
			t.Errorf("changes %v: verdict %q, uncertain %v", changes, wal.Verdict, wal.Uncertain)
		}
		var text bytes.Buffer
		if wal.Text(&text); !strings.Contains(text.String(), "verdict") || !strings.Contains(text.String(), "clean") {
			t.Errorf("text %.300s", text.String())
		}
		if trial > 0 {
			continue
		}
		if len(wal.Damaged) > 0 {
			t.Errorf("a whole file: damage %v", wal.Damaged)
		}
		r, err := f.Superblock()
		if err != nil || r.Chosen < 0 {
			t.Fatal(r, err)
		}
		fields := map[string]string{}
		for _, field := range r.Copies[r.Chosen].Fields {
			fields[field.Name] = fmt.Sprint(field.Value)
		}
		if fields["replica"] != "1" || fields["replica_count"] != "3" || fields["headers"] != "1" || fields["uncertain_ops"] != "0" ||
			!strings.HasPrefix(fields["header_0"], fmt.Sprintf("op %d, view ", head)) {
			t.Errorf("fields %v", fields)
		}
	}
	for _, verdict := range []vsr.Verdict{vsr.Clean, vsr.FixTwin, vsr.Faulty} {
		if verdicts[verdict.String()] == 0 {
			t.Errorf("never: %s; %v", verdict, verdicts)
		}
	}
}
