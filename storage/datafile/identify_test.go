package datafile

import (
	"encoding/binary"
	"strings"
	"testing"

	"ledger/limits"
	"ledger/prepare"
	"ledger/wire"
)

// Goal: a file is known by what it holds, whatever its size: files of ours of every version,
// damaged or not, and the reference's, of which one right header is enough. Nothing else is taken
// for either, not even our log without its superblock.
func TestIdentify(t *testing.T) {
	l, scratch := limits.Production(), make([]byte, 1<<20)
	layout := NewLayout(&l)
	ours := func(version uint32) *memoryFile {
		file := &memoryFile{writesLeft: -1}
		if _, err := WriteSuperblock(file, &l, superblockAt(3, [16]byte{}), scratch); err != nil {
			t.Fatal(err)
		}
		for i := range l.SuperblockCopies {
			b := file.bytes[layout.SuperblockCopyAt(i):][:SuperblockContentBytes]
			binary.LittleEndian.PutUint32(b[sbFormatVersion:], version)
			sum := prepare.Sum(b[sbCovered:])
			copy(b, sum[:])
		}
		return file
	}
	overwritten := func(file *memoryFile, copiesCount uint32, at uint64) *memoryFile {
		for i := range copiesCount {
			clear(file.bytes[layout.SuperblockCopyAt(i)+at:][:8])
		}
		return file
	}
	reference := func(change func(h *wire.Header)) *memoryFile {
		file := &memoryFile{bytes: make([]byte, 2<<20), writesLeft: -1}
		h := wire.HeaderOf(file.bytes[referenceHeadersAt+777*wire.HeaderBytes:])
		h.SetCluster(wire.U128{Lo: 9})
		h.SetSizeBytes(4096)
		h.SetCommand(referenceCommandPrepare)
		change(h)
		h.SetChecksum(wire.ChecksumOf(h.Bytes()[16:]))
		return file
	}
	formatted := func() *memoryFile {
		file, small := &memoryFile{writesLeft: -1}, limits.Production()
		small.JournalSlotsCount = 64
		if err := Format(file, &small, &FormatOptions{Cluster: wire.U128{Lo: 7}, ReplicasCount: 1, Incarnation: 1}, scratch); err != nil {
			t.Fatal(err)
		}
		clear(file.bytes[:layout.TwinsAt])
		return file
	}
	broken := reference(func(*wire.Header) {})
	broken.bytes[referenceHeadersAt+777*wire.HeaderBytes+200]++
	for _, test := range []struct {
		name    string
		file    *memoryFile
		want    Identity
		foreign string // part of the error, "" for none
	}{
		{"ours", ours(limits.FormatVersion), Identity{ContentOurs, wire.U128{Lo: 7}, 0, 1, limits.FormatVersion}, ""},
		{"older", ours(1), Identity{ContentOurs, wire.U128{Lo: 7}, 0, 1, 1}, "use the older server"},
		{"newer", ours(99), Identity{ContentOurs, wire.U128{Lo: 7}, 0, 1, 99}, "use the newer server"},
		{"one copy left", overwritten(ours(limits.FormatVersion), 3, sbMagic),
			Identity{ContentOurs, wire.U128{Lo: 7}, 0, 1, limits.FormatVersion}, ""},
		{"damaged", overwritten(ours(1), 4, sbCluster), Identity{Content: ContentOurs}, ""},
		{"no magic", overwritten(ours(1), 4, sbMagic), Identity{}, ""},
		{"our log alone", formatted(), Identity{}, ""},
		{"the reference's", reference(func(*wire.Header) {}),
			Identity{Content: ContentReference, Cluster: wire.U128{Lo: 9}}, "TigerBeetle (cluster 9)"},
		{"its header damaged", broken, Identity{}, ""},
		{"a header of another command", reference(func(h *wire.Header) { h.SetCommand(wire.CommandRequest) }), Identity{}, ""},
		{"a header of no size", reference(func(h *wire.Header) { h.SetSizeBytes(0) }), Identity{}, ""},
		{"empty", &memoryFile{}, Identity{}, ""},
		{"zeros", &memoryFile{bytes: make([]byte, 2<<20)}, Identity{}, ""},
	} {
		got := Identify(test.file, &l, scratch)
		if got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
		if err := got.Foreign(); (err == nil) != (test.foreign == "") || err != nil && !strings.Contains(err.Error(), test.foreign) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.foreign)
		}
	}
}
