package datafile

import (
	"encoding/binary"
	"fmt"

	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/limits"
	"ledger/prepare"
	"ledger/storage"
	"ledger/wire"
)

// Superblock is the content of the superblock: the state that a replica must not lose. Source:
// consensus, 8.4.
type Superblock struct {
	Sequence      uint64
	Cluster       wire.U128
	Replica       uint8
	ReplicasCount uint8
	SessionsMax   uint32
	View          uint32
	LogView       uint32
	CommitMax     uint64 // a hint
	Checkpoint    storage.Checkpoint
	Parent        wire.Checksum // checksum of the superblock before this one

	// Release is the newest one that has prepared an op here or written a checkpoint, and before the
	// first checkpoint of one of several replicas that of its format. An older server refuses the
	// file.
	Release uint32
	// RequestBytesMax is the largest request that the cluster was formatted for.
	RequestBytesMax uint32
	// Incarnation is a random number of this data file, never 0. A replica that was lost and formatted
	// anew has another one. Source: the cluster's decisions, section 9.
	Incarnation uint64
	// IsRecovered: the file was made in the place of a lost one, for a cluster whose state names it.
	IsRecovered bool
	// SyncOpMin and SyncOpMax bound the ops whose blocks may be missing because the replica took its
	// checkpoint from others. Both are 0 if it did not.
	SyncOpMin, SyncOpMax uint64
	// Headers are the newest prepares of the log as of LogView, by falling op: what a view change
	// relies on. A single replica has none.
	HeadersCount uint8
	Headers      [HeadersMax][prepare.HeaderBytes]byte
	// Uncertain is the set of ops above the list whose slots were found damaged. It has a bit for each
	// slot of the log, the bit of op is op modulo their number.
	Uncertain [UncertainBytes]byte
}

// HeadersMax is the largest number of headers in a superblock: those of a full pipeline and of the
// op before it, which follow each other, and two that lie further back. Source: consensus, "headers
// in a durable view record".
const HeadersMax = 11

// UncertainBytes holds a bit for each of the 1024 slots of the log.
const UncertainBytes = 1024 / 8

// SuperblockContentBytes is what of a copy is written and read: the rest of its 24 KiB is reserve.
// The simulator's sectors are smaller, but whole copies are not: the content is always below one
// production sector.
const SuperblockContentBytes = limits.SuperblockContentBytes

const (
	superblockMagic = 0x7265_6764_656c_0001 // "ledger" and 1
	readQuorum      = 2                     // equal copies that prove a superblock
	verifyQuorum    = 3                     // copies that must be right after a write
	copiesCount     = 4                     // limits.Check proves it for every configuration
)

// Offsets in a copy. The checksum covers everything behind the copy's index, so all copies have the
// same checksum.
const (
	sbChecksum      = 0
	sbCopy          = 16
	sbCovered       = 24
	sbMagic         = 24
	sbFormatVersion = 32
	sbReplica       = 36
	sbReplicasCount = 37
	sbSequence      = 40
	sbCluster       = 48
	sbParent        = 64
	sbView          = 80
	sbLogView       = 84
	sbCommitMax     = 88
	sbLimits        = 96
	sbRequestMax    = 152
	sbRelease       = 156
	sbIncarnation   = 160
	sbSyncOpMin     = 168
	sbSyncOpMax     = 176
	sbHeadersCount  = 184
	sbRecovered     = 185
	sbCheckpoint    = 256
	sbUncertain     = 512
	sbHeaders       = 640
	sbEnd           = sbHeaders + HeadersMax*prepare.HeaderBytes
)

// Each line fails to compile when its claim is false.
const (
	_ = uint(sbUncertain - sbCheckpoint - CheckpointBytes) // the checkpoint ends before what follows
	_ = uint(SuperblockContentBytes - sbEnd)               // all of it fits
)

// fixedLimits are the sizes that are stored in the file.
func fixedLimits(l *limits.Limits) [13]uint32 {
	return [13]uint32{
		l.SectorBytes, l.PageBytes, l.BlockBytes, l.MessageBytesMax, l.JournalSlotsCount, l.BarOps, l.SlackOps,
		l.PipelineOpsMax, l.MemtableRowsSeal, l.SuperblockBytes, l.SuperblockCopies, l.PostingRunsMerged,
		l.TwinBytes,
	}
}

// EncodeSuperblock writes the copy with copyIndex into buffer (SuperblockContentBytes) and returns
// its checksum, which is the same for all copies.
func EncodeSuperblock(buffer []byte, s *Superblock, l *limits.Limits, copyIndex uint32) wire.Checksum {
	b := buffer[:SuperblockContentBytes]
	clear(b)
	binary.LittleEndian.PutUint16(b[sbCopy:], uint16(copyIndex))
	binary.LittleEndian.PutUint64(b[sbMagic:], superblockMagic)
	binary.LittleEndian.PutUint32(b[sbFormatVersion:], limits.FormatVersion)
	b[sbReplica], b[sbReplicasCount] = s.Replica, s.ReplicasCount
	binary.LittleEndian.PutUint64(b[sbSequence:], s.Sequence)
	s.Cluster.PutBytes(b[sbCluster : sbCluster+16])
	copy(b[sbParent:], s.Parent[:])
	binary.LittleEndian.PutUint32(b[sbView:], s.View)
	binary.LittleEndian.PutUint32(b[sbLogView:], s.LogView)
	binary.LittleEndian.PutUint64(b[sbCommitMax:], s.CommitMax)
	at := sbLimits
	for _, value := range fixedLimits(l) {
		binary.LittleEndian.PutUint32(b[at:], value)
		at += 4
	}
	binary.LittleEndian.PutUint32(b[at:], s.SessionsMax)
	binary.LittleEndian.PutUint32(b[sbRequestMax:], s.RequestBytesMax)
	binary.LittleEndian.PutUint32(b[sbRelease:], s.Release)
	binary.LittleEndian.PutUint64(b[sbIncarnation:], s.Incarnation)
	binary.LittleEndian.PutUint64(b[sbSyncOpMin:], s.SyncOpMin)
	binary.LittleEndian.PutUint64(b[sbSyncOpMax:], s.SyncOpMax)
	assert.AtMost(s.HeadersCount, HeadersMax, "headers of a superblock")
	b[sbHeadersCount] = s.HeadersCount
	if s.IsRecovered {
		b[sbRecovered] = 1
	}
	EncodeCheckpoint(b[sbCheckpoint:], &s.Checkpoint)
	copy(b[sbUncertain:], s.Uncertain[:])
	for i := range s.HeadersCount {
		copy(b[sbHeaders+int(i)*prepare.HeaderBytes:], s.Headers[i][:])
	}
	sum := prepare.Sum(b[sbCovered:])
	copy(b[sbChecksum:], sum[:])
	return sum
}

// CheckpointBytes is the size of an encoded checkpoint. The table of members is at its end.
const (
	CheckpointBytes   = checkpointUnnamed + prepare.MembersBytes
	checkpointUnnamed = 8 + 16 + 16 + int(storage.TrailersCount)*(8+16+8) + 4*8 + 4
)

// EncodeCheckpoint writes c into buffer.
func EncodeCheckpoint(buffer []byte, c *storage.Checkpoint) {
	b := buffer[:0:CheckpointBytes]
	b = binary.LittleEndian.AppendUint64(b, c.Op)
	b = append(b, c.PrepareChecksum[:]...)
	b = append(b, c.ParentID[:]...)
	for i := range c.Roots {
		b = binary.LittleEndian.AppendUint64(b, c.Roots[i].Address)
		b = append(b, c.Roots[i].Checksum[:]...)
		b = binary.LittleEndian.AppendUint64(b, c.TrailerBytes[i])
	}
	b = binary.LittleEndian.AppendUint64(b, c.BlocksHigh)
	b = binary.LittleEndian.AppendUint64(b, c.AccountsCount)
	b = binary.LittleEndian.AppendUint64(b, c.TransfersCount)
	b = binary.LittleEndian.AppendUint64(b, c.TimestampLast)
	binary.LittleEndian.AppendUint32(b, c.Release)
	c.Members.Put(buffer[checkpointUnnamed:CheckpointBytes])
}

// DecodeCheckpoint reads what EncodeCheckpoint has written.
func DecodeCheckpoint(b []byte) (c storage.Checkpoint) {
	next := func() uint64 {
		value := binary.LittleEndian.Uint64(b)
		b = b[8:]
		return value
	}
	sum := func() wire.Checksum {
		value := wire.Checksum(b[:16])
		b = b[16:]
		return value
	}
	c.Op, c.PrepareChecksum, c.ParentID = next(), sum(), sum()
	for i := range c.Roots {
		c.Roots[i].Address, c.Roots[i].Checksum, c.TrailerBytes[i] = next(), sum(), next()
	}
	c.BlocksHigh, c.AccountsCount, c.TransfersCount, c.TimestampLast = next(), next(), next(), next()
	c.Release = binary.LittleEndian.Uint32(b)
	c.Members = prepare.ReadMembers(b[4:])
	return c
}

// CheckpointID is the checksum of a checkpoint. Equal states have equal ids. ParentID links the ids
// to a chain. A table that names nobody is not part of what is hashed, so such a checkpoint has the
// id that it had before there were tables.
func CheckpointID(c *storage.Checkpoint) wire.Checksum {
	var buffer [CheckpointBytes]byte
	EncodeCheckpoint(buffer[:], c)
	if !c.Members.AreNamed() {
		return prepare.Sum(buffer[:checkpointUnnamed])
	}
	return prepare.Sum(buffer[:])
}

// copyState is the content of one copy in the file.
type copyState struct {
	valid      bool
	hasMagic   bool // the damaged copy was a superblock once
	unreadable error
	copyIndex  uint32
	checksum   wire.Checksum
	content    Superblock
	version    uint32
	sizes      [13]uint32
}

func decodeCopy(b []byte) (c copyState) {
	c.checksum = wire.Checksum(b[sbChecksum : sbChecksum+16])
	if sum := prepare.Sum(b[sbCovered:]); sum != c.checksum ||
		binary.LittleEndian.Uint64(b[sbMagic:]) != superblockMagic {
		return copyState{hasMagic: binary.LittleEndian.Uint64(b[sbMagic:]) == superblockMagic}
	}
	c.copyIndex = uint32(binary.LittleEndian.Uint16(b[sbCopy:]))
	if c.copyIndex >= copiesCount {
		return copyState{} // the checksum does not cover the index: this copy is damaged
	}
	c.valid = true
	c.version = binary.LittleEndian.Uint32(b[sbFormatVersion:])
	at := sbLimits
	for i := range c.sizes {
		c.sizes[i] = binary.LittleEndian.Uint32(b[at:])
		at += 4
	}
	s := &c.content
	s.SessionsMax = binary.LittleEndian.Uint32(b[at:])
	s.Replica, s.ReplicasCount = b[sbReplica], b[sbReplicasCount]
	s.Sequence = binary.LittleEndian.Uint64(b[sbSequence:])
	s.Cluster = wire.U128FromBytes(b[sbCluster : sbCluster+16])
	s.Parent = wire.Checksum(b[sbParent : sbParent+16])
	s.View = binary.LittleEndian.Uint32(b[sbView:])
	s.LogView = binary.LittleEndian.Uint32(b[sbLogView:])
	s.CommitMax = binary.LittleEndian.Uint64(b[sbCommitMax:])
	s.RequestBytesMax = binary.LittleEndian.Uint32(b[sbRequestMax:])
	s.Release = binary.LittleEndian.Uint32(b[sbRelease:])
	s.Incarnation = binary.LittleEndian.Uint64(b[sbIncarnation:])
	s.SyncOpMin = binary.LittleEndian.Uint64(b[sbSyncOpMin:])
	s.SyncOpMax = binary.LittleEndian.Uint64(b[sbSyncOpMax:])
	s.IsRecovered = b[sbRecovered] == 1
	s.HeadersCount = min(b[sbHeadersCount], HeadersMax) // more is of another version, which is refused
	s.Checkpoint = DecodeCheckpoint(b[sbCheckpoint:])
	s.Uncertain = [UncertainBytes]byte(b[sbUncertain:])
	for i := range s.HeadersCount {
		s.Headers[i] = [prepare.HeaderBytes]byte(b[sbHeaders+int(i)*prepare.HeaderBytes:])
	}
	return c
}

// remedy is what an operator can do about a damaged superblock. A backup has forgotten what its
// replica has acknowledged since.
const remedy = "restore a single replica from a backup; for a replica of several make a new file with ledger recover"

// DamageError is damage of the superblock that a single replica cannot repair.
type DamageError struct{ Reason string }

func damaged(format string, arguments ...any) error {
	return &DamageError{fmt.Sprintf(format, arguments...)}
}

func (e *DamageError) Error() string { return "the superblock is damaged: " + e.Reason }

// Fault is the error with which the server refuses to start.
func (e *DamageError) Fault() storage.Fault {
	return storage.Fault{What: storage.FaultSuperblock, Reason: e.Reason}
}

// choose returns the index of a copy that holds the superblock in force, by the rules of consensus
// 8.4. If there is none, the error is the reason.
func choose(copies []copyState) (int, error) {
	validCount := 0
	for i := range copies {
		if copies[i].valid {
			validCount++
			if copies[i].version != limits.FormatVersion {
				return 0, versionError(copies[i].version)
			}
		}
	}
	if validCount == 0 {
		for i := range copies {
			if copies[i].hasMagic {
				return 0, &DamageError{"no copy of the superblock is whole: " + remedy}
			}
		}
		return 0, fmt.Errorf("it holds no superblock: it was never formatted: name the right file, " +
			"or make a new one under another name with ledger format")
	}
	best := -1
	for i := range copies {
		if !copies[i].valid {
			continue
		}
		// Each copy index counts once. Otherwise a misdirected write could make a quorum of one
		// copy.
		seen, equal := uint32(0), 0
		for j := range copies {
			if copies[j].valid && copies[j].checksum == copies[i].checksum && seen&(1<<copies[j].copyIndex) == 0 {
				seen |= 1 << copies[j].copyIndex
				equal++
			}
		}
		if equal >= readQuorum && (best < 0 || copies[i].content.Sequence > copies[best].content.Sequence) {
			best = i
		}
	}
	if best < 0 {
		return 0, damaged("only %d of 4 copies of the superblock are readable and no two agree: "+remedy, validCount)
	}
	chosen := &copies[best]
	for i := range copies {
		c := &copies[i]
		if !c.valid || c.checksum == chosen.checksum {
			continue
		}
		switch {
		case c.content.Sequence == chosen.content.Sequence:
			return 0, damaged("two superblocks have sequence %d and differ: the data file was written by two servers at once", c.content.Sequence)
		case c.content.Sequence > chosen.content.Sequence+1:
			return 0, damaged("a copy of the superblock is %d ahead of the others: "+remedy,
				c.content.Sequence-chosen.content.Sequence)
		case c.content.Sequence == chosen.content.Sequence+1 && c.content.Parent != chosen.checksum:
			return 0, damaged("the newest copy of the superblock does not continue the others: " + remedy)
		case c.content.Cluster != chosen.content.Cluster || c.content.Replica != chosen.content.Replica:
			return 0, damaged("copies of the superblock belong to different clusters or replicas: " + remedy)
		}
	}
	return best, nil
}

// Opened is a superblock that was read, and its checksum, which is the parent of the next one.
type Opened struct {
	Superblock
	Checksum    wire.Checksum
	CopiesFixed int // number of rewritten copies, damaged or older
}

// readCopies reads the four copies. An unreadable one counts as damaged.
func readCopies(file ports.File, layout *Layout, buffer []byte) (copies [copiesCount]copyState) {
	for i := range copies {
		if err := file.ReadAt(buffer, layout.SuperblockCopyAt(uint32(i))); err != nil {
			copies[i].unreadable = err
			continue
		}
		copies[i] = decodeCopy(buffer)
	}
	return copies
}

// inForce returns the index of a copy that holds the superblock in force. The error says why there
// is none, or why this release cannot use it.
func inForce(copies []copyState, l *limits.Limits) (int, error) {
	index, err := choose(copies)
	if err != nil {
		return 0, err
	}
	chosen := &copies[index]
	if err := refusedRelease(&chosen.content, l); err != nil {
		return 0, err
	}
	names := [13]string{"sector", "page", "block", "message", "log slots", "bar", "slack", "pipeline", "memtable seal", "superblock copy",
		"superblock copies", "runs of a merge", "twin"}
	for i, have := range fixedLimits(l) {
		if chosen.sizes[i] != have {
			return 0, fmt.Errorf("the data file was formatted with %s = %d, this server uses %d: use the server that formatted it", names[i],
				chosen.sizes[i], have)
		}
	}
	return index, nil
}

// OpenSuperblock reads the four copies and chooses the superblock in force. It checks that the file
// has the sizes of l, and rewrites damaged or older copies. scratch is aligned memory of at least
// SuperblockContentBytes.
func OpenSuperblock(file ports.File, l *limits.Limits, scratch []byte) (*Opened, error) {
	layout := NewLayout(l)
	buffer := scratch[:SuperblockContentBytes]
	copies := readCopies(file, &layout, buffer)
	index, err := inForce(copies[:], l)
	if err != nil {
		return nil, err
	}
	chosen := &copies[index]
	// Lost copies come first, then copies that a later write had begun. So a crash between two
	// repairs leaves a quorum.
	fixed := 0
	for _, lost := range [2]bool{true, false} {
		for i := range copies {
			c := &copies[i]
			right := c.valid && c.checksum == chosen.checksum && c.copyIndex == uint32(i)
			if right || c.valid == lost {
				continue
			}
			EncodeSuperblock(buffer, &chosen.content, l, uint32(i))
			if err := file.WriteAt(buffer, layout.SuperblockCopyAt(uint32(i))); err != nil {
				return nil, fmt.Errorf("repairing copy %d of the superblock: %w", i, err)
			}
			fixed++
		}
	}
	return &Opened{chosen.content, chosen.checksum, fixed}, nil
}

// WriteSuperblock writes all four copies, one after another, and reads them back. It returns the
// checksum.
func WriteSuperblock(file ports.File, l *limits.Limits, s *Superblock, scratch []byte) (wire.Checksum, error) {
	layout := NewLayout(l)
	buffer := scratch[:SuperblockContentBytes]
	var sum wire.Checksum
	for i := range l.SuperblockCopies {
		sum = EncodeSuperblock(buffer, s, l, i)
		if err := file.WriteAt(buffer, layout.SuperblockCopyAt(i)); err != nil {
			return sum, fmt.Errorf("writing copy %d of the superblock: %w", i, err)
		}
	}
	right := 0
	for i := range l.SuperblockCopies {
		if err := file.ReadAt(buffer, layout.SuperblockCopyAt(i)); err == nil && CopyIsRight(buffer, sum, i) {
			right++
		}
	}
	if right < verifyQuorum {
		return sum, damaged("only %d of 4 copies of the superblock were right after writing them: the disk loses writes", right)
	}
	return sum, nil
}

// CopyIsRight tells whether buffer holds the copy copyIndex of the superblock with checksum sum.
func CopyIsRight(buffer []byte, sum wire.Checksum, copyIndex uint32) bool {
	c := decodeCopy(buffer[:SuperblockContentBytes])
	return c.valid && c.checksum == sum && c.copyIndex == copyIndex
}

// VerifyQuorum is how many copies must be right after a write.
const VerifyQuorum = verifyQuorum
