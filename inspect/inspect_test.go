package inspect

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/datafile"
)

// Goal: a file that a server wrote is whole, and every report agrees with the others about it.
// Every kind of damage is found and named. A file that changes while it is read is not damaged.
func TestFile(t *testing.T) {
	path, l := aged(t)
	t.Run("whole", func(t *testing.T) {
		f, _ := opened(t, path, l, nil)
		testWhole(t, f)
	})
	f, _ := opened(t, path, l, nil)
	s, err := f.inForce()
	if err != nil {
		t.Fatal(err)
	}
	c := f.read(s)
	wal, err := f.WAL(-1)
	if err != nil {
		t.Fatal(err)
	}
	cases := damages(t, f, c, wal)
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			damaged, _ := opened(t, path, l, map[uint64]byte{test.at: 0x10})
			testDamage(t, damaged, &test.want)
		})
		if !strings.Contains(name, "transfer_id") && !strings.Contains(name, "manifest") && !strings.Contains(name, "head") {
			continue // the others are read in the same way
		}
		t.Run("changing "+name, func(t *testing.T) {
			changing, o := opened(t, path, l, map[uint64]byte{test.at: 0x10})
			o.once = true
			r, err := changing.Verify(nil)
			if err != nil || len(r.Damaged) > 0 {
				t.Errorf("damage %v, error %v", r.Damaged, err)
			}
		})
	}
	t.Run("any damage", func(t *testing.T) { testAnyDamage(t, path, f, c) })
}

// Goal: a file that a server uses is never called damaged, however often it is looked at, and the
// server is not disturbed.
func TestInUse(t *testing.T) {
	l := small()
	path := format(t, l)
	address, stop := serve(t, path, l)
	done := make(chan error, 1)
	go func() { done <- transfer(t.Context(), address, 500) }() // two checkpoints, and ops that write over slots
	f, _ := opened(t, path, l, nil)
	checkpoints := map[uint64]bool{}
	for isLast := false; !isLast; {
		select {
		case err := <-done:
			if isLast = true; err != nil {
				t.Fatal(err)
			}
		default:
		}
		r, err := f.Verify(nil)
		if err != nil || len(r.Damaged) > 0 {
			t.Fatalf("damage %v, changed %v, error %v", r.Damaged, r.Changed, err)
		}
		checkpoints[r.CheckpointOp] = true
		wal, err := f.WAL(-1)
		if err != nil || len(wal.Damaged) > 0 || wal.Verdict != movingText && !strings.HasPrefix(wal.Verdict, startsText) {
			t.Fatalf("verdict %q, damage %v, error %v", wal.Verdict, wal.Damaged, err)
		}
		if _, damaged, err := f.Digest(nil); err != nil || len(damaged) > 0 {
			t.Fatal(damaged, err)
		}
	}
	stop()
	if len(checkpoints) < 2 {
		t.Errorf("only the checkpoints %v were seen", checkpoints)
	}
}

func testWhole(t *testing.T, f *File) {
	var last, all uint64
	r, err := f.Verify(func(done, of uint64) { last, all = done, of })
	if err != nil || len(r.Damaged) > 0 || len(r.Notes) > 0 || r.Changed || r.CheckpointOp == 0 || r.OpHead < 300 || r.Tables == 0 {
		t.Fatalf("%+v, error %v", r, err)
	}
	if last == 0 || last > all {
		t.Errorf("progress ends at %d of %d", last, all)
	}
	checkpoint, err := f.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	tables, err := f.Tables("")
	if err != nil {
		t.Fatal(err)
	}
	count, entries := uint64(0), uint64(0)
	for _, tree := range checkpoint.Trees {
		count += tree.Tables
		if tree.Tree == "transfer_log" {
			entries = tree.Entries
		}
		of, err := f.Tables(tree.Tree)
		if err != nil || uint64(len(of.Tables)) != tree.Tables {
			t.Errorf("%s: %d tables, the checkpoint counts %d; error %v", tree.Tree, len(of.Tables), tree.Tables, err)
		}
	}
	if int(count) != r.Tables || len(tables.Tables) != r.Tables {
		t.Errorf("tables: %d, %d and %d", count, len(tables.Tables), r.Tables)
	}
	if s, _ := f.inForce(); entries != s.Checkpoint.TransfersCount {
		t.Errorf("the row log has %d rows, the checkpoint %d transfers", entries, s.Checkpoint.TransfersCount)
	}
	for _, table := range tables.Tables {
		b, err := f.Block(table.Address)
		if err != nil || b.IsDamaged() || b.Table == nil || *b.Table != table || len(b.Pages) != int(table.Pages)-1 {
			t.Errorf("block %d: %+v, error %v", table.Address, b, err)
		}
	}
	sessions, err := f.Sessions()
	if err != nil || len(sessions.Sessions) != 1 || sessions.Sessions[0].Operation != "create_transfers" || len(sessions.Damaged) > 0 {
		t.Errorf("%+v, error %v", sessions, err)
	}
	wal, err := f.WAL(-1)
	if err != nil || wal.Verdict != startsText || wal.OpHead != r.OpHead || len(wal.Slots) != 256 {
		t.Errorf("verdict %q, head %d, %d slots, error %v", wal.Verdict, wal.OpHead, len(wal.Slots), err)
	}
	one, err := f.WAL(17)
	if err != nil || len(one.Slots) != 1 || one.Slots[0].Slot != 17 || one.Slots[0].State != stateWhole {
		t.Errorf("%+v, error %v", one, err)
	}
	if _, err := f.WAL(256); err == nil || !strings.Contains(err.Error(), "0 to 255") {
		t.Errorf("slot 256: error %v", err)
	}
	for _, address := range []uint64{0, 1 << 40, ^uint64(0)} {
		if _, err := f.Block(address); err == nil {
			t.Errorf("block %d is there", address)
		}
	}
	superblock, err := f.Superblock()
	if err != nil || superblock.Chosen < 0 || len(superblock.Differences) > 0 || len(superblock.Copies) != 4 {
		t.Errorf("%+v, error %v", superblock, err)
	}
	testJSON(t, f, []Report{r, checkpoint, tables, sessions, wal, superblock})
}

// testJSON holds the forms that others read, and that every report is an object and a text.
func testJSON(t *testing.T, f *File, reports []Report) {
	layout, err := f.Layout()
	if err != nil {
		t.Fatal(err)
	}
	digest, damaged, err := f.Digest(nil)
	if err != nil || len(damaged) > 0 {
		t.Fatal(damaged, err)
	}
	again, _, _ := f.Digest(nil)
	if *again != *digest {
		t.Errorf("digests %+v and %+v", digest, again)
	}
	s, _ := f.inForce()
	id := datafile.CheckpointID(&s.Checkpoint)
	if digest.CheckpointOp != s.Checkpoint.Op || digest.CheckpointID != hexOf(id) || len(digest.Digest) != 64 {
		t.Errorf("%+v", digest)
	}
	var names []string
	end := uint64(0)
	for _, zone := range layout.Zones {
		names = append(names, zone.Name)
		if zone.Offset < end {
			t.Errorf("zone %s begins at %d, the one before ends at %d", zone.Name, zone.Offset, end)
		}
		end = zone.Offset + zone.Size
	}
	if got := strings.Join(names, " "); got != "superblock-0 superblock-1 superblock-2 superblock-3 log-twins log-prepares grid" ||
		end != f.sizeBytes {
		t.Errorf("zones %s, up to %d", got, end)
	}
	keys := func(r Report, want string) {
		encoded, err := json.Marshal(r)
		if err != nil || !strings.HasPrefix(string(encoded), want) {
			t.Errorf("%s, error %v; want %s", encoded, err, want)
		}
	}
	keys(layout, `{"zones":[{"name":"superblock-0","offset":0,"size":24576},{"name":"superblock-1","offset":24576,"size":24576},`)
	keys(digest, `{"checkpoint_op":`)
	if encoded, _ := json.Marshal(digest); strings.Count(string(encoded), `":`) != 3 || !strings.Contains(string(encoded), `","digest":"`) {
		t.Errorf("digest %s", encoded)
	}
	for _, r := range append(reports, layout, digest) {
		var text bytes.Buffer
		if r.Text(&text); text.Len() == 0 {
			t.Errorf("%T has no text", r)
		}
		keys(r, "{")
	}
}

// damaging is a byte of the file, and what verify has to say of it.
type damaging struct {
	at   uint64
	want Damage
}

// damages has each kind of damage once.
func damages(t *testing.T, f *File, c *contents, wal *WAL) map[string]damaging {
	t.Helper()
	cases := map[string]damaging{}
	page := func(n uint32) *uint32 { return &n }
	for i := range 4 {
		copyIndex := i
		cases["superblock copy "+string(rune('0'+i))] = damaging{f.layout.SuperblockCopyAt(uint32(i)) + 300,
			Damage{Kind: DamageSuperblock, Copy: &copyIndex, Offset: f.layout.SuperblockCopyAt(uint32(i)), Reason: "its checksum does not match"}}
	}
	for i := range wal.Slots {
		s := &wal.Slots[i]
		if s.Slot == (wal.OpHead+1)%uint64(len(wal.Slots)) {
			continue // a crash may leave it like that
		}
		slot, age := s.Slot, "old"
		if s.Prepare.Op > wal.CheckpointOp {
			age = "new"
		}
		if s.Prepare.Op == wal.OpHead {
			age = "head"
		}
		size := "large"
		if s.Twin.Kind == CopyWhole {
			size = "small"
			cases["body of a twin, "+age] = damaging{s.Twin.Offset + 300,
				Damage{Kind: DamageTwin, Slot: &slot, Offset: s.Twin.Offset, Reason: "the body's checksum does not match"}}
		}
		cases["header of a twin, "+size+", "+age] = damaging{s.Twin.Offset + 100,
			Damage{Kind: DamageTwin, Slot: &slot, Offset: s.Twin.Offset, Reason: "the header's checksum does not match"}}
		cases["header of a prepare, "+size+", "+age] = damaging{s.Prepare.Offset + 100,
			Damage{Kind: DamagePrepare, Slot: &slot, Offset: s.Prepare.Offset, Reason: "the header's checksum does not match"}}
		cases["body of a prepare, "+size+", "+age] = damaging{s.Prepare.Offset + 300,
			Damage{Kind: DamagePrepare, Slot: &slot, Offset: s.Prepare.Offset, Reason: "the body's checksum does not match"}}
	}
	for i := range c.blocks {
		n := &c.blocks[i]
		kind := DamageTrailer
		if n.table != nil {
			kind = DamageTable
		}
		at := f.blockOffset(n.ref.Address)
		want := Damage{Kind: kind, Tree: n.treeName(), Address: n.ref.Address, Page: page(0), Offset: at,
			Reason: "the header page's checksum does not match"}
		cases["header page of "+n.treeName()] = damaging{at + 100, want}
		want.Page, want.Offset, want.Reason = page(1), at+uint64(f.limits.PageBytes), "the page's checksum does not match"
		cases["page 1 of "+n.treeName()] = damaging{want.Offset + 5, want}
		if n.table != nil && storage.Trees[n.table.Tree].Filter {
			last := uint32(n.table.PagesUsed) - 1
			want.Page, want.Offset = page(last), at+uint64(last)*uint64(f.limits.PageBytes)
			cases["last page of "+n.treeName()] = damaging{want.Offset + uint64(f.limits.PageBytes) - 1, want}
		}
	}
	if len(cases) < 50 {
		t.Errorf("only %d kinds of damage", len(cases))
	}
	return cases
}

func testDamage(t *testing.T, f *File, want *Damage) {
	t.Helper()
	r, err := f.Verify(nil)
	if err != nil || r.Changed || len(r.Damaged) == 0 {
		t.Fatalf("damage %v, changed %v, error %v; want %v", r.Damaged, r.Changed, err, want)
	}
	found := 0
	for i := range r.Damaged {
		if d := &r.Damaged[i]; d.String() == want.String() {
			found++
		} else if d.Kind != DamageCheckpoint { // of a trailer others follow
			t.Errorf("damage %v beside %v", d, want)
		}
	}
	if found != 1 {
		t.Errorf("%v is found %d times", want, found)
	}
	var text bytes.Buffer
	if r.Text(&text); !strings.Contains(text.String(), "damaged: "+want.String()+"\n") {
		t.Errorf("text %s", text.String())
	}
	if want.Kind == DamageTable || want.Kind == DamageTrailer {
		if digest, damaged, err := f.Digest(nil); digest != nil || len(damaged) == 0 || err != nil {
			t.Errorf("digest %v, damage %v, error %v", digest, damaged, err)
		}
		if b, err := f.Block(want.Address); err != nil || !b.IsDamaged() {
			t.Errorf("block %+v, error %v", b, err)
		}
	}
}

// testAnyDamage changes bytes anywhere that matters: there is a report or an error, never a panic.
func testAnyDamage(t *testing.T, path string, whole *File, c *contents) {
	random := seeded.Rand(t)
	var places []uint64
	for i := range whole.limits.SuperblockCopies {
		places = append(places, whole.layout.SuperblockCopyAt(i))
	}
	for i := range uint64(whole.limits.JournalSlotsCount) {
		places = append(places, whole.layout.TwinAt(i), whole.layout.PrepareAt(i))
	}
	for i := range c.blocks {
		at := whole.blockOffset(c.blocks[i].ref.Address)
		places = append(places, at, at, at+uint64(whole.limits.PageBytes))
	}
	for range 20 {
		changes := map[uint64]byte{}
		for range 1 + random.IntN(8) {
			changes[places[random.IntN(len(places))]+random.Uint64N(600)] = byte(1 + random.IntN(255))
		}
		if random.IntN(3) == 0 {
			for i := range whole.limits.SuperblockCopies {
				changes[whole.layout.SuperblockCopyAt(i)+random.Uint64N(600)] ^= 0x80
			}
		}
		f, _ := opened(t, path, whole.limits, changes)
		everything(f)
		f.Close()
	}
}

// everything asks a file all questions.
func everything(f *File) {
	var out bytes.Buffer
	show := func(r Report, err error) {
		if err == nil {
			r.Text(&out)
		}
	}
	if r, err := f.Superblock(); err == nil {
		show(r, err)
	}
	if r, err := f.Layout(); err == nil {
		show(r, err)
	}
	if r, err := f.WAL(-1); err == nil {
		show(r, err)
	}
	if r, err := f.Checkpoint(); err == nil {
		show(r, err)
	}
	if r, err := f.Tables(""); err == nil {
		show(r, err)
	}
	if r, err := f.Sessions(); err == nil {
		show(r, err)
	}
	if r, err := f.Block(1); err == nil {
		show(r, err)
	}
	_, _, _ = f.Digest(nil)
	if r, err := f.Verify(nil); err == nil {
		show(r, err)
	}
}
