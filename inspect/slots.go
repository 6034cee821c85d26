package inspect

import (
	"fmt"
	"sync"

	"ledger/prepare"
	"ledger/storage/datafile"
	"ledger/vsr"
)

// Kinds of a copy of a slot.
const (
	CopyWhole    = "whole"    // a prepare, header and body
	CopyHeader   = "header"   // a twin: the header of a prepare that is larger than a twin
	CopyReserved = "reserved" // never used
	CopyTorn     = "torn"     // a right header, and another body
	CopyBad      = "bad"      // no header of this slot
)

// Slot of the log.
type Slot struct {
	Slot    uint64   `json:"slot"`
	State   string   `json:"state"`
	Row     string   `json:"row,omitempty"`     // of the decision table, in a cluster of several
	Verdict string   `json:"verdict,omitempty"` // of a start, in a cluster of several
	Twin    SlotCopy `json:"twin"`
	Prepare SlotCopy `json:"prepare"`

	damage []Damage
}

// SlotCopy is one of the two places of a slot. A bad or reserved one has no op.
type SlotCopy struct {
	Kind         string `json:"kind"`
	Offset       uint64 `json:"offset"`
	Reason       string `json:"reason,omitempty"` // why it is bad or torn
	Op           uint64 `json:"op"`
	View         uint32 `json:"view"`
	Checksum     string `json:"checksum,omitempty"` // of the header
	Parent       string `json:"parent,omitempty"`
	CheckpointID string `json:"checkpoint_id,omitempty"`
	SizeBytes    uint32 `json:"size_bytes"`
	Timestamp    uint64 `json:"timestamp"`
	Operation    string `json:"operation,omitempty"`
	Requests     uint16 `json:"requests"`

	headerAlone bool // torn: zeros follow the header
	isZero      bool // bad: nothing but zeros, or unreadable
	isUnread    bool // bad or torn: some of it could not be read
	header      vsr.Header
}

// names tells whether the copy has the header of a prepare.
func (c *SlotCopy) names() bool {
	return c.Kind == CopyWhole || c.Kind == CopyHeader || c.Kind == CopyTorn
}

// log is the slots of the log as of one reading.
type log struct {
	superblock *datafile.Copy
	slots      []Slot
	changed    []bool // of a slot: the copies have different sectors that are mostly right
	head       uint64
	several    several // of one of several replicas
}

func (f *File) newLog(s *datafile.Copy) *log {
	slots := uint64(f.limits.JournalSlotsCount)
	return &log{superblock: s, slots: make([]Slot, slots), changed: make([]bool, slots)}
}

// reader has buffers of its own, so several read side by side.
type reader struct {
	f           *File
	first, next []byte
}

// readAll reads and judges all slots. done is called after each with the bytes read, by any of the
// readers.
//
// A server may write meanwhile: an op may lie in a slot that was read before, while a later op is
// seen. So slots that seem damaged are read again, as long as that changes anything. The superblock
// is read behind the slots: no slot that it needs has been written over by then.
func (l *log) readAll(readers []reader, done func(bytes uint64)) {
	share(readers, len(l.slots), func(r *reader, i int) { done(l.read(r, uint64(i))) })
	f := readers[0].f
	for round, before := 0, ""; round < roundsMax; round++ {
		if s, err := f.inForce(); err == nil {
			l.superblock = s
		}
		l.judge(f)
		again := complaint(l.damages())
		if again == before {
			break
		}
		before = again
		for i := range l.slots {
			if len(l.slots[i].damage) > 0 {
				l.read(&readers[0], uint64(i))
			}
		}
	}
}

// roundsMax bounds how often slots are read again.
const roundsMax = 100

// share lets all readers work on items in order.
func share(readers []reader, count int, work func(r *reader, i int)) {
	var all sync.WaitGroup
	var lock sync.Mutex
	next := 0
	take := func() int {
		lock.Lock()
		defer lock.Unlock()
		next++
		return next - 1
	}
	for i := range readers {
		all.Go(func() {
			for item := take(); item < count; item = take() {
				work(&readers[i], item)
			}
		})
	}
	all.Wait()
}

// read fills in the copies of a slot. The bodies of all prepares are verified, while recovery
// verifies only those above the checkpoint.
func (l *log) read(r *reader, i uint64) (bytes uint64) {
	f, s := r.f, &l.slots[i]
	*s = Slot{Slot: i}
	twinBytes := r.next[:f.limits.TwinBytes]
	s.Twin = f.copyOf(twinBytes, f.layout.TwinAt(i), i, l.superblock, func(uint32) error { return nil })
	// The twin tells how much is to be read, as a rule; else the first sector does.
	first := r.first[:f.limits.SectorBytes]
	if s.Twin.names() {
		first = r.first[:f.sectorsUp(s.Twin.SizeBytes)]
	}
	bytes = uint64(len(twinBytes) + len(first))
	s.Prepare = f.copyOf(first, f.layout.PrepareAt(i), i, l.superblock, func(size uint32) error {
		padded := r.first[:f.sectorsUp(size)]
		bytes += uint64(len(padded))
		return f.file.ReadAt(padded, f.layout.PrepareAt(i))
	})
	l.changed[i] = false
	for _, right := range []*SlotCopy{&s.Twin, &s.Prepare} {
		if right.Kind == CopyWhole && right.SizeBytes <= f.limits.TwinBytes {
			padded := f.sectorsUp(right.SizeBytes)
			if s.Prepare.Kind != CopyWhole { // only its first sector may be there
				if f.file.ReadAt(r.first[:padded], f.layout.PrepareAt(i)) != nil {
					continue
				}
			}
			a, b := twinBytes[:padded], r.first[:padded]
			if right == &s.Prepare {
				a, b = b, a
			}
			l.changed[i] = l.changed[i] || mostlyRight(a, b, int(f.limits.SectorBytes))
		}
	}
	return bytes
}

// mostlyRight tells whether a sector of found differs from right in less than half of right's bytes
// that are not zero. A sector is written as a whole or not at all, so a crash leaves none such.
func mostlyRight(right, found []byte, sectorBytes int) bool {
	for at := 0; at < len(right); at += sectorBytes {
		differs, nonzero := 0, 0
		for i := at; i < at+sectorBytes; i++ {
			if right[i] != found[i] {
				differs++
			}
			if right[i] != 0 {
				nonzero++
			}
		}
		if differs > 0 && 2*differs < nonzero {
			return true
		}
	}
	return false
}

func (f *File) sectorsUp(bytes uint32) uint32 {
	return (bytes + f.limits.SectorBytes - 1) &^ (f.limits.SectorBytes - 1)
}

// copyOf reads a copy into buffer and classifies it. more reads as many bytes of a prepare that
// buffer is too small for; buffer has to be their beginning.
func (f *File) copyOf(buffer []byte, offset, slot uint64, s *datafile.Copy, more func(size uint32) error) (c SlotCopy) {
	c.Offset, c.Kind = offset, CopyBad
	if err := f.file.ReadAt(buffer, offset); err != nil {
		c.Reason, c.isZero, c.isUnread = err.Error(), true, true
		return c
	}
	h := prepare.Header(buffer[:prepare.HeaderBytes])
	slots := uint64(f.limits.JournalSlotsCount)
	c.isZero = isZero(buffer)
	switch valid := prepare.ValidHeader(h, s.Cluster, f.limits.MessageBytesMax); {
	case c.isZero:
		c.Reason = "it is all zeros"
		return c
	case h.Checksum() != prepare.Sum(h[16:]):
		c.Reason = "the header's checksum does not match"
		return c
	case h.Cluster() != s.Cluster:
		c.Reason = fmt.Sprintf("it is of cluster %s", h.Cluster())
		return c
	case !valid:
		c.Reason = "the header makes no sense"
		return c
	case h.Op()%slots != slot:
		c.Reason = fmt.Sprintf("it is of op %d, which belongs into slot %d", h.Op(), h.Op()%slots)
		return c
	case h.Command() == prepare.CommandReserved:
		if h.Op() != slot {
			c.Reason = "it is the initial header of another slot"
			return c
		}
		c.Kind = CopyReserved
		return c
	}
	c.Op, c.View, c.SizeBytes, c.Timestamp, c.Requests = h.Op(), h.View(), h.SizeBytes(), h.Timestamp(), h.RequestsCount()
	c.header = vsr.HeaderOf(h)
	c.Checksum, c.Parent, c.CheckpointID = hexOf(h.Checksum()), hexOf(h.Parent()), hexOf(h.CheckpointID())
	switch {
	case h.IsGroup():
		c.Operation = "group"
	case h.Operation() == prepare.OperationRoot:
		c.Operation = "root"
	default:
		c.Operation = h.Operation().String()
	}
	isTwin := uint32(len(buffer)) == f.limits.TwinBytes && offset < f.layout.PreparesAt
	if isTwin && c.SizeBytes > f.limits.TwinBytes {
		c.Kind = CopyHeader
		return c
	}
	padded := buffer[:min(f.sectorsUp(c.SizeBytes), uint32(len(buffer)))]
	if f.sectorsUp(c.SizeBytes) > uint32(len(buffer)) {
		if err := more(c.SizeBytes); err != nil {
			c.Kind, c.Reason, c.isUnread = CopyTorn, err.Error(), true
			return c
		}
		padded = buffer[:f.sectorsUp(c.SizeBytes):f.sectorsUp(c.SizeBytes)]
	}
	c.headerAlone = isZero(padded[prepare.HeaderBytes:min(uint32(len(padded)), f.limits.SectorBytes)])
	c.Kind, c.Reason = CopyTorn, bodyReason(padded, c.SizeBytes)
	if c.Reason == "" {
		c.Kind = CopyWhole
	}
	return c
}

// bodyReason says what is wrong with the body of a prepare, or with the zeros behind it.
func bodyReason(padded []byte, size uint32) string {
	// The header may have changed since it was read.
	if prepare.Header(padded[:prepare.HeaderBytes]).SizeBytes() != size || !prepare.ValidBody(padded[:size]) {
		return "the body's checksum does not match"
	}
	if !isZero(padded[size:]) {
		return "what follows the body is not zero"
	}
	if err := prepare.Validate(padded[:size]); err != nil {
		return err.Error()
	}
	return ""
}

func isZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}
