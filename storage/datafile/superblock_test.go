package datafile

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"ledger/limits"
	"ledger/prepare"
	"ledger/storage"
	"ledger/wire"
)

// memoryFile is a data file in memory. writesLeft < 0: no limit; else the write that finds it at 0
// fails, torn in the middle.
type memoryFile struct {
	bytes      []byte
	writesLeft int
}

var errCut = errors.New("power cut")

func (f *memoryFile) ReadAt(buffer []byte, offset uint64) error {
	clear(buffer)
	if offset < uint64(len(f.bytes)) {
		copy(buffer, f.bytes[offset:])
	}
	return nil
}

func (f *memoryFile) WriteAt(buffer []byte, offset uint64) error {
	if need := int(offset) + len(buffer); need > len(f.bytes) {
		f.bytes = append(f.bytes, make([]byte, need-len(f.bytes))...)
	}
	if f.writesLeft == 0 {
		copy(f.bytes[offset:], buffer[:len(buffer)/2])
		return errCut
	}
	f.writesLeft--
	copy(f.bytes[offset:], buffer)
	return nil
}

func (f *memoryFile) SizeBytes() (uint64, error) { return uint64(len(f.bytes)), nil }

func smallLimits() limits.Limits {
	l := limits.Production()
	l.SuperblockBytes = 4096
	return l
}

func superblockAt(sequence uint64, parent wire.Checksum) *Superblock {
	s := &Superblock{Sequence: sequence, Cluster: wire.U128{Lo: 7}, Replica: 0, ReplicasCount: 1, SessionsMax: 64,
		View: uint32(sequence), LogView: uint32(sequence), CommitMax: 100 * sequence, Parent: parent,
		Checkpoint: storage.Checkpoint{Op: 895, Roots: [storage.TrailersCount]storage.Ref{{Address: 3, Checksum: wire.Checksum{9}}},
			TrailerBytes: [storage.TrailersCount]uint64{1, 2, 3, 4}, BlocksHigh: 12, AccountsCount: 13, TransfersCount: 14, TimestampLast: 15,
			Release: limits.Release},
		Release: limits.Release, RequestBytesMax: 1 << 20, Incarnation: 77, SyncOpMin: 16, SyncOpMax: 17, HeadersCount: HeadersMax}
	for i := range s.Headers {
		s.Headers[i][0], s.Headers[i][prepare.HeaderBytes-1] = byte(i+1), byte(i+2)
	}
	s.Uncertain[0], s.Uncertain[UncertainBytes-1] = 1, 2
	return s
}

// Goal: all fields of a superblock come back as they were written.
func TestSuperblockRoundTrip(t *testing.T) {
	l, file, scratch := smallLimits(), &memoryFile{writesLeft: -1}, make([]byte, SuperblockContentBytes)
	want := superblockAt(3, wire.Checksum{1, 2})
	sum, err := WriteSuperblock(file, &l, want, scratch)
	if err != nil {
		t.Fatal(err)
	}
	got, err := OpenSuperblock(file, &l, scratch)
	if err != nil {
		t.Fatal(err)
	}
	if got.Superblock != *want || got.Checksum != sum {
		t.Fatalf("got %+v\nwant %+v", got.Superblock, *want)
	}
}

// The bytes of a superblock do not change by accident: a change is a new format version.
func TestFormatIsFixed(t *testing.T) {
	const want = "a4e6c32d9664c69bace9f5ba2874674a"
	l, buffer := smallLimits(), make([]byte, SuperblockContentBytes)
	sum := EncodeSuperblock(buffer, superblockAt(3, wire.Checksum{1, 2}), &l, 0)
	if got := hex.EncodeToString(sum[:]); got != want || limits.FormatVersion != 4 {
		t.Errorf("the superblock's checksum is %s, want %s", got, want)
	}
}

// All combinations of four copies, each older, newer or damaged: the newest superblock that two
// copies hold wins, everything else is refused, and an open repairs the file so that all four
// agree.
func TestEveryCombinationOfCopies(t *testing.T) {
	const older, newer, bad = 0, 1, 2
	l, scratch := smallLimits(), make([]byte, SuperblockContentBytes)
	layout := NewLayout(&l)
	for combination := range 81 {
		states := [4]int{combination % 3, combination / 3 % 3, combination / 9 % 3, combination / 27}
		file := &memoryFile{writesLeft: -1, bytes: make([]byte, 4*4096)}
		first := superblockAt(1, wire.Checksum{})
		parent := EncodeSuperblock(scratch, first, &l, 0)
		second := superblockAt(2, parent)
		counts := [3]int{}
		for i, state := range states {
			counts[state]++
			switch state {
			case older:
				EncodeSuperblock(scratch, first, &l, uint32(i))
			case newer:
				EncodeSuperblock(scratch, second, &l, uint32(i))
			case bad:
				clear(scratch)
			}
			copy(file.bytes[layout.SuperblockCopyAt(uint32(i)):], scratch)
		}
		want := uint64(0)
		switch {
		case counts[newer] >= 2:
			want = 2
		case counts[older] >= 2:
			want = 1
		}
		got, err := OpenSuperblock(file, &l, scratch)
		if want == 0 {
			if err == nil {
				t.Fatalf("copies %v: opened sequence %d, want a refusal", states, got.Sequence)
			}
			continue
		}
		if err != nil || got.Sequence != want {
			t.Fatalf("copies %v: sequence %v, error %v, want sequence %d", states, got, err, want)
		}
		for i := range uint32(4) {
			if !CopyIsRight(file.bytes[layout.SuperblockCopyAt(i):][:SuperblockContentBytes], got.Checksum, i) {
				t.Fatalf("copies %v: copy %d is not repaired", states, i)
			}
		}
	}
}

// A crash at any write of an update, torn in the middle, leaves the old or the new superblock; so
// does a crash of the repair.
func TestCrashAtEveryWrite(t *testing.T) {
	l, scratch := smallLimits(), make([]byte, SuperblockContentBytes)
	for crash := range 5 {
		for crashOfRepair := range 5 {
			file := &memoryFile{writesLeft: -1}
			first, err := WriteSuperblock(file, &l, superblockAt(1, wire.Checksum{}), scratch)
			if err != nil {
				t.Fatal(err)
			}
			file.writesLeft = crash
			_, err = WriteSuperblock(file, &l, superblockAt(2, first), scratch)
			if crash < 4 && !errors.Is(err, errCut) {
				t.Fatalf("crash %d: %v", crash, err)
			}
			file.writesLeft = crashOfRepair
			_, _ = OpenSuperblock(file, &l, scratch)
			file.writesLeft = -1
			got, err := OpenSuperblock(file, &l, scratch)
			if err != nil {
				t.Fatalf("crash at write %d, then at repair %d: %v", crash, crashOfRepair, err)
			}
			if crash == 4 && got.Sequence != 2 {
				t.Fatalf("a finished update was lost: sequence %d", got.Sequence)
			}
		}
	}
}

// What may not be opened says why.
func TestRefusals(t *testing.T) {
	scratch := make([]byte, SuperblockContentBytes)
	other := superblockAt(1, wire.Checksum{})
	other.CommitMax++
	cases := []struct {
		name  string
		build func(file *memoryFile, l *limits.Limits)
		want  string
	}{
		{"never formatted", func(*memoryFile, *limits.Limits) {}, "never formatted"},
		{"fork", func(file *memoryFile, l *limits.Limits) {
			layout := NewLayout(l)
			for i := range uint32(4) {
				content := superblockAt(1, wire.Checksum{})
				if i > 1 {
					content = other
				}
				EncodeSuperblock(scratch, content, l, i)
				_ = file.WriteAt(scratch, layout.SuperblockCopyAt(i))
			}
		}, "two superblocks"},
		{"misdirected copy makes no quorum", func(file *memoryFile, l *limits.Limits) {
			layout := NewLayout(l)
			EncodeSuperblock(scratch, other, l, 2)
			for _, i := range []uint32{1, 2, 3} {
				_ = file.WriteAt(scratch, layout.SuperblockCopyAt(i))
			}
		}, "no two agree"},
		{"another size", func(file *memoryFile, l *limits.Limits) {
			changed := *l
			changed.BarOps = 64
			_, _ = WriteSuperblock(file, &changed, other, scratch)
		}, "bar = 64"},
	}
	for _, c := range cases {
		l, file := smallLimits(), &memoryFile{writesLeft: -1}
		c.build(file, &l)
		_, err := OpenSuperblock(file, &l, scratch)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}

// No bytes make the decoder crash, and only what was encoded is valid.
func FuzzDecodeCopy(f *testing.F) {
	l, scratch := smallLimits(), make([]byte, SuperblockContentBytes)
	EncodeSuperblock(scratch, superblockAt(1, wire.Checksum{}), &l, 0)
	f.Add(append([]byte(nil), scratch...))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := make([]byte, SuperblockContentBytes)
		copy(b, data)
		c := decodeCopy(b)
		if !c.valid {
			return
		}
		again := make([]byte, SuperblockContentBytes)
		EncodeSuperblock(again, &c.content, &l, c.copyIndex)
		if d := decodeCopy(again); !d.valid || d.content != c.content {
			t.Fatalf("encoded again it is %+v, want %+v", d.content, c.content)
		}
	})
}

// A copy's index is outside the checksum. One that cannot be is damage: it must not count for a
// quorum, least of all twice.
func TestImpossibleCopyIndex(t *testing.T) {
	l, file, scratch := smallLimits(), &memoryFile{writesLeft: -1}, make([]byte, SuperblockContentBytes)
	if _, err := WriteSuperblock(file, &l, superblockAt(1, wire.Checksum{}), scratch); err != nil {
		t.Fatal(err)
	}
	layout := NewLayout(&l)
	for i := range uint32(3) {
		at := layout.SuperblockCopyAt(i)
		file.bytes[at+sbCopy] = 40 // 1 << 40 is 0 in 32 bits
		_, err := OpenSuperblock(&memoryFile{bytes: append([]byte(nil), file.bytes...), writesLeft: -1}, &l, scratch)
		if (err == nil) != (i < 2) {
			t.Fatalf("%d copies with an impossible index: %v", i+1, err)
		}
	}
}
